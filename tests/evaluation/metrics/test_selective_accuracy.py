"""Risk, coverage and the area under their curve, with ties and refusals, against a count by hand."""

import math
from itertools import permutations
from pathlib import Path

import evaluate
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from closedbook.evaluation.metrics.selective_accuracy import selective_accuracy as module
from closedbook.evaluation.metrics.selective_accuracy.selective_accuracy import (
    accuracy_at_coverage,
    aurc,
    risk_coverage_curve,
)

FOLDER = Path(module.__file__).parent
LEVELS = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
CASES = st.lists(st.tuples(st.sampled_from(LEVELS), st.booleans(), st.booleans()), min_size=1, max_size=30)


@pytest.fixture(scope="module")
def metric(tmp_path_factory) -> evaluate.Metric:
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metrics")))


def mean_over_tie_orders(confidences, correct) -> tuple[float, list[float]]:
    """AURC and accuracy of the first i answers, averaged over all orders that sort by confidence."""
    areas, accuracies = [], []
    for order in permutations(range(len(correct))):
        sorted_confidences = [confidences[i] for i in order]
        if sorted_confidences != sorted(confidences, reverse=True):
            continue
        wrong = np.cumsum([1 - correct[i] for i in order])
        risks = wrong / np.arange(1, len(correct) + 1)
        areas.append(risks.mean())
        accuracies.append(1 - risks)
    return float(np.mean(areas)), np.mean(accuracies, axis=0).tolist()


@pytest.mark.parametrize(
    ("confidences", "correct"),
    [
        ([0.9, 0.8, 0.3, 0.2], [1, 1, 0, 1]),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [1, 0, 0, 1, 1]),
        ([0.9, 0.5, 0.5, 0.5, 0.1, 0.1], [0, 1, 0, 1, 1, 0]),
    ],
)
def test_ties_count_as_the_mean_over_all_their_orders(confidences, correct):
    curve = risk_coverage_curve(confidences, correct)
    area, accuracies = mean_over_tie_orders(confidences, correct)
    assert aurc(curve) == pytest.approx(area)
    for i, expected in enumerate(accuracies, start=1):
        assert accuracy_at_coverage(curve, i / len(correct)) == pytest.approx(expected)


@given(CASES, st.randoms())
def test_neither_order_nor_scale_of_confidences_matters(cases, shuffler):
    shuffled = cases.copy()
    shuffler.shuffle(shuffled)
    curve, other = (risk_coverage_curve(*zip(*some, strict=True)) for some in (cases, shuffled))
    confidences, correct, refused = zip(*cases, strict=True)
    stretched = risk_coverage_curve([math.exp(3 * p) - 7 for p in confidences], correct, refused)
    for changed in (other, stretched):
        assert aurc(curve) == aurc(changed)
        assert (curve.coverage.tolist(), curve.risk.tolist()) == (changed.coverage.tolist(), changed.risk.tolist())
        assert accuracy_at_coverage(curve, 0.5) == accuracy_at_coverage(changed, 0.5)


@given(CASES)
def test_every_point_is_the_accuracy_of_the_answers_at_or_above_its_threshold(cases):
    confidences, correct, refused = map(np.array, zip(*cases, strict=True))
    curve = risk_coverage_curve(confidences, correct, refused)
    assert (np.diff(curve.thresholds) < 0).all()
    assert set(curve.thresholds) == set(confidences[~refused])
    for threshold, coverage, risk in zip(curve.thresholds, curve.coverage, curve.risk, strict=True):
        given_ = (confidences >= threshold) & ~refused
        assert coverage == given_.mean()
        assert 1 - risk == pytest.approx(accuracy_score(np.ones(given_.sum(), dtype=bool), correct[given_]))


@given(CASES)
def test_the_confidence_of_a_refusal_does_not_matter(cases):
    confidences, correct, refused = zip(*cases, strict=True)
    moved = [1 - p if declined else p for p, declined in zip(confidences, refused, strict=True)]
    curve, other = (risk_coverage_curve(some, correct, refused) for some in (confidences, moved))
    assert aurc(curve) == aurc(other)
    assert curve.answered.tolist() == other.answered.tolist()


def test_a_good_order_has_a_smaller_area_than_a_bad_one():
    correct = [1, 1, 1, 0]
    good, blind, bad = (aurc(risk_coverage_curve(p, correct)) for p in ([4, 3, 2, 1], [1, 1, 1, 1], [1, 2, 3, 4]))
    assert good < blind < bad
    assert blind == pytest.approx(0.25)  # the error rate of all


def test_the_coverage_is_reached_with_the_fewest_answers():
    curve = risk_coverage_curve(range(100, 0, -1), [1] * 7 + [0] * 93)
    assert accuracy_at_coverage(curve, 0.07) == 1.0
    assert accuracy_at_coverage(curve, 0.0701) == pytest.approx(7 / 8)


def test_refusals_limit_the_coverage(metric):
    result = metric.compute(
        predictions=[0.9, 0.8, 0.7, 0.6], references=[1, 0, 1, 1], refused=[False, False, True, True]
    )
    assert result["accuracy_at"] == {"0.5": 0.5, "0.8": None, "0.95": None}
    assert result["answered"] == 0.5
    everything = metric.compute(predictions=[0.9], references=[1], refused=[True])
    assert (everything["aurc"], everything["answered"]) == (None, 0.0)


def test_the_folder_loads_offline_and_its_example_is_true(metric):
    result = metric.compute(predictions=[0.9, 0.8, 0.3, 0.2], references=[1, 1, 0, 1], coverages=[0.5, 1.0])
    assert result["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)
    assert result["accuracy_at"] == {"0.5": 1.0, "1.0": 0.75}
    assert f"# {result}" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (([], []), "one length"),
        (([0.5], [1, 0]), "one length"),
        (([0.5], [1], [True, False]), "one length"),
        (([0.5, float("nan")], [1, 0]), "a number, but that of answer 1 is not"),
        (([0.5], [None]), "verdict has to be 0 or 1, but that of answer 0"),
        (([0.5], [1], [0.5]), "refusal has to be 0 or 1, but that of answer 0"),
    ],
)
def test_unusable_lists_are_refused(lists, message):
    with pytest.raises(ValueError, match=message):
        risk_coverage_curve(*lists)


@pytest.mark.parametrize("coverage", [0, -0.1, 1.1])
def test_a_coverage_that_does_not_exist_is_refused(coverage):
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        accuracy_at_coverage(risk_coverage_curve([0.5], [1]), coverage)
