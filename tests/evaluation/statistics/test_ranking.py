"""The area under the curve, against scikit-learn and by its laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from closedbook.evaluation.statistics.ranking import area_under_roc

NUMBERS = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=20)  # few values, so that there are ties


@given(NUMBERS, NUMBERS)
def test_it_is_that_of_scikit_learn_and_turns_round(above, below):
    found = area_under_roc(above, below)
    assert found == pytest.approx(roc_auc_score([1] * len(above) + [0] * len(below), above + below))
    assert found + area_under_roc(below, above) == pytest.approx(1.0)


def test_an_empty_group_ranks_nowhere():
    assert area_under_roc([], [0.1]) is None and area_under_roc([0.1], []) is None
