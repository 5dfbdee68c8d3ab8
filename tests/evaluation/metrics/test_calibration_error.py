"""Bins, calibration error and Brier score agree with scikit-learn, and no order of answers matters."""

from itertools import pairwise
from pathlib import Path

import evaluate
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from closedbook.evaluation.metrics.calibration_error import calibration_error as module
from closedbook.evaluation.metrics.calibration_error.calibration_error import (
    brier_score,
    expected_calibration_error,
    reliability_bins,
)

FOLDER = Path(module.__file__).parent
ANSWERS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50)
TIED = st.lists(st.tuples(st.sampled_from([0, 0.125, 0.5, 1]), st.booleans()), min_size=1, max_size=50)


@pytest.fixture(scope="module")
def metric(tmp_path_factory) -> evaluate.Metric:
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metrics")))


@pytest.mark.parametrize("num_bins", [1, 4, 10])
def test_bins_without_ties_are_scikit_learns_quantile_bins(num_bins):
    generator = np.random.default_rng(num_bins)
    confidences = generator.permutation(np.linspace(0.01, 0.99, 10 * num_bins))
    correct = generator.random(10 * num_bins) < confidences
    accuracies, means = calibration_curve(correct, confidences, n_bins=num_bins, strategy="quantile")
    bins = reliability_bins(confidences, correct, num_bins)
    assert [b.n for b in bins] == [10] * num_bins
    assert [b.accuracy for b in bins] == pytest.approx(accuracies)
    assert [b.confidence for b in bins] == pytest.approx(means)
    expected = np.mean(np.abs(accuracies - means))
    assert expected_calibration_error(confidences, correct, num_bins) == pytest.approx(expected)


@given(ANSWERS)
def test_the_brier_score_is_scikit_learns(answers):
    confidences, correct = zip(*answers, strict=True)
    expected = brier_score_loss(correct, confidences, labels=[False, True])
    assert brier_score(confidences, correct) == pytest.approx(expected)


@given(ANSWERS | TIED, st.integers(1, 12), st.randoms())
def test_bins_hold_every_answer_once_keep_ties_together_and_know_no_order(answers, num_bins, shuffler):
    bins = reliability_bins(*zip(*answers, strict=True), num_bins)
    assert sum(b.n for b in bins) == len(answers)
    assert sum(b.correct for b in bins) == sum(right for _, right in answers)
    assert 1 <= len(bins) <= num_bins
    assert all(b.low <= b.confidence <= b.high for b in bins)
    assert all(below.high < above.low for below, above in pairwise(bins))
    shuffled = answers.copy()
    shuffler.shuffle(shuffled)
    for b, other in zip(bins, reliability_bins(*zip(*shuffled, strict=True), num_bins), strict=True):
        assert (b.low, b.high, b.n, b.correct) == (other.low, other.high, other.n, other.correct)


@given(ANSWERS, st.integers(1, 12))
def test_one_bin_knows_the_mean_only_and_more_bins_know_no_less(answers, num_bins):
    confidences, correct = zip(*answers, strict=True)
    overall = abs(np.mean(confidences) - np.mean(correct))
    assert expected_calibration_error(confidences, correct, 1) == pytest.approx(overall)
    assert overall - 1e-9 <= expected_calibration_error(confidences, correct, num_bins) <= 1


def test_certain_and_right_is_no_error_certain_and_wrong_the_greatest():
    assert expected_calibration_error([1, 1, 0], [1, 1, 0]) == brier_score([1, 1, 0], [1, 1, 0]) == 0
    assert expected_calibration_error([1, 0], [0, 1]) == brier_score([1, 0], [0, 1]) == 1


def test_the_folder_loads_offline_and_its_example_is_true(metric):
    sample = {"predictions": [0.9, 0.8, 0.3, 0.2], "references": [1, 1, 1, 0]}
    result = metric.compute(**sample, num_bins=2)
    assert result == pytest.approx({"expected_calibration_error": 0.2, "brier": 0.145, "n": 4})
    assert f"# {result}" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert metric.compute(**sample | {"references": [True, True, True, False]}, num_bins=2) == result


@pytest.mark.parametrize(
    ("confidences", "correct", "options", "message"),
    [
        ([], [], {}, "one length"),
        ([0.5], [1, 0], {}, "one length"),
        ([0.5, -0.1], [1, 0], {}, r"in \[0, 1\], but that of answer 1 is -0.1"),
        ([float("nan")], [1], {}, r"in \[0, 1\], but that of answer 0 is nan"),
        ([0.5, 0.5], [1, 2], {}, "0 or 1, but that of answer 1"),
        ([0.5], [None], {}, "0 or 1, but that of answer 0"),
        ([0.5], [1], {"num_bins": 0}, "num_bins must be at least 1"),
    ],
)
def test_unusable_input_is_refused(confidences, correct, options, message):
    with pytest.raises(ValueError, match=message):
        reliability_bins(confidences, correct, **options)
