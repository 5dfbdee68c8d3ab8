"""The rule that a set is scored by where it was published, beside our own."""

import pytest

from closedbook.data.hub_questions import HUB_QUESTION_SETS
from closedbook.evaluation.statistics.scores import PUBLISHED_RULES


@pytest.mark.parametrize(
    ("kind", "said", "right"),
    [
        ("popqa", "She was born in London, England.", True),
        ("popqa", "she was born in london", True),
        ("popqa", "LONDON", False),
        ("popqa", "Paris", False),
        ("trivia_qa", "the London!", True),
        ("trivia_qa", "in London", False),
        ("nq_open", "The London.", True),
        ("nq_open", "in London", False),
    ],
)
def test_a_published_set_is_judged_by_its_own_rule_too(kind, said, right):
    assert kind in HUB_QUESTION_SETS
    rule, judge = PUBLISHED_RULES[kind]
    assert rule
    assert list(judge([said], [["London", "Londinium"]])) == [right]
