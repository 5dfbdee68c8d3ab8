"""Thresholds keep their promise as often as they say, and equal confidences share a fate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from closedbook.evaluation.knowing.abstention import (
    NUM_THRESHOLDS,
    abstain_on_predictions,
    check_threshold,
    choose_threshold,
    clopper_pearson_upper,
    describe_abstention,
)


def draw(n: int, seed: int, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, rounded up to that many steps, in answers that are right as often as their square root."""
    generator = np.random.default_rng(seed)
    confidences = generator.random(n)
    if steps:
        confidences = np.ceil(confidences * steps) / steps
    return confidences, generator.random(n) < confidences**0.5


@pytest.mark.parametrize(("errors", "n"), [(0, 10), (3, 50), (49, 50), (50, 50), (0, 0)])
def test_the_bound_is_scipys_exact_one_sided_interval(errors, n):
    expected = stats.binomtest(errors, n, alternative="less").proportion_ci(0.97, "exact").high if n else 1.0
    assert clopper_pearson_upper(errors, n, 0.03) == pytest.approx(expected)


def test_the_figures_in_the_documentation_are_true():
    for promise, needed in ((0.1, 57), (0.05, 117)):
        assert clopper_pearson_upper(0, needed, 0.05 / NUM_THRESHOLDS) <= promise
        assert clopper_pearson_upper(0, needed - 1, 0.05 / NUM_THRESHOLDS) > promise


@pytest.mark.parametrize("steps", [None, 8], ids=["all different", "many ties"])
def test_the_promise_is_broken_no_more_often_than_said(steps):
    """Against the true error rate above the threshold, which is known here: the mean of 1 - sqrt(confidence)."""
    promise, delta, trials, broken, given_any = 0.2, 0.2, 200, 0, 0
    for seed in range(trials):
        chosen = choose_threshold(*draw(300, seed, steps), max_error_rate=promise, delta=delta)
        if chosen.threshold is None:
            continue
        given_any += 1
        if steps:
            values = np.arange(1, steps + 1) / steps
            truth = float(np.mean(1 - values[values >= chosen.threshold] ** 0.5))
        else:
            low = chosen.threshold
            truth = 1 - (2 / 3) * (1 - low**1.5) / (1 - low)
        broken += truth > promise
    assert given_any > trials / 2
    # the number of broken promises is at most binomial: 1 in 1000 runs of the test would be above this
    assert broken <= stats.binom.ppf(0.999, trials, delta)


CASES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans(), st.booleans()), min_size=1, max_size=60
)


@given(CASES, st.floats(0, 1), st.floats(0.01, 0.99))
def test_a_chosen_threshold_is_usable_and_says_what_it_does(cases, promise, delta):
    confidences, correct, refused = zip(*cases, strict=True)
    chosen = choose_threshold(confidences, correct, refused, max_error_rate=promise, delta=delta)
    check = check_threshold(confidences, correct, refused, threshold=chosen.threshold, max_error_rate=promise)
    assert (check["answered"], check["errors"], check["n"]) == (chosen.answered, chosen.errors, len(cases))
    assert check["coverage"] == chosen.coverage
    if chosen.threshold is None:
        assert (chosen.answered, chosen.upper_bound) == (0, None)
        assert check["kept"] and not check["disproved"] and check["error_rate"] is None
    else:
        assert 0 <= chosen.threshold <= 1
        assert chosen.errors <= promise * chosen.answered + 1e-9
        assert chosen.upper_bound <= promise


@given(CASES, st.randoms())
def test_the_order_of_answers_does_not_matter(cases, shuffler):
    shuffled = cases.copy()
    shuffler.shuffle(shuffled)
    one, other = (
        choose_threshold(*zip(*some, strict=True), max_error_rate=0.3, delta=0.3) for some in (cases, shuffled)
    )
    assert one == other


def test_a_model_that_is_always_right_answers_everything_and_one_that_is_never_right_nothing():
    confidences = np.linspace(0.1, 0.9, 200)
    assert choose_threshold(confidences, np.ones(200), max_error_rate=0.1).threshold == 0
    assert choose_threshold(confidences, np.zeros(200), max_error_rate=0.1).threshold is None


def test_a_promise_of_any_error_rate_is_always_kept():
    assert choose_threshold([0.3], [False], max_error_rate=1.0).threshold == 0


def test_a_threshold_separates_what_is_below_from_what_is_above():
    confidences = np.repeat([0.9, 0.2], 200)
    correct = np.repeat([True, False], 200)
    chosen = choose_threshold(confidences, correct, max_error_rate=0.05)
    assert 0.2 < chosen.threshold <= 0.9
    assert (chosen.answered, chosen.errors, chosen.coverage) == (200, 0, 0.5)
    with_refusals = choose_threshold(confidences, correct, confidences < 0.5, max_error_rate=0.05)
    assert with_refusals.threshold == 0  # the model itself declined all the others
    assert with_refusals.answered == 200


def test_an_answer_exactly_at_the_threshold_is_given():
    check = check_threshold([0.5, 0.499, 1.0], [True, True, False], threshold=0.5, max_error_rate=0.1)
    assert (check["answered"], check["errors"], check["error_rate"]) == (2, 1, 0.5)
    assert not check["kept"]
    interval = stats.binomtest(1, 2).proportion_ci(method="wilson")
    assert check["error_interval"] == pytest.approx([interval.low, interval.high])
    assert not check["disproved"]  # two answers disprove nothing
    many = check_threshold([0.5] * 100, [False] * 100, threshold=0.0, max_error_rate=0.1)
    assert many["disproved"]


def test_refusals_are_abstained_from_whatever_their_confidence():
    check = check_threshold([1.0, 0.9], [False, True], [True, False], threshold=0.0, max_error_rate=0.0)
    assert (check["answered"], check["errors"], check["coverage"]) == (1, 0, 0.5)


@pytest.mark.parametrize("threshold", [-0.01, 1.01, math.nan])
def test_thresholds_and_promises_outside_0_to_1_are_refused(threshold):
    with pytest.raises(ValueError, match=r"threshold has to be in \[0, 1\]"):
        check_threshold([0.5], [True], threshold=threshold, max_error_rate=0.1)
    with pytest.raises(ValueError, match=r"max_error_rate has to be in \[0, 1\]"):
        check_threshold([0.5], [True], threshold=0.5, max_error_rate=threshold)
    with pytest.raises(ValueError, match=r"max_error_rate has to be in \[0, 1\]"):
        choose_threshold([0.5], [True], max_error_rate=threshold)
    with pytest.raises(ValueError, match=r"confidence has to be.* answer 0"):
        choose_threshold([threshold], [True], max_error_rate=0.1)


@pytest.mark.parametrize("delta", [0, 1])
def test_a_delta_that_promises_nothing_or_too_much_is_refused(delta):
    with pytest.raises(ValueError, match="delta has to be between 0 and 1"):
        choose_threshold([0.5], [True], max_error_rate=0.1, delta=delta)


def test_a_bound_for_impossible_counts_is_refused():
    with pytest.raises(ValueError, match="errors must be between 0 and n, but is 3 of 2"):
        clopper_pearson_upper(3, 2, 0.1)


def test_the_curve_says_what_each_threshold_does():
    description = describe_abstention([0.9, 0.9, 0.4, 0.1], [True, False, True, True], [False, False, False, True])
    assert description["curve"] == {
        "threshold": [0.9, 0.4],
        "coverage": [0.5, 0.75],
        "risk": pytest.approx([0.5, 1 / 3]),
    }
    assert description["answered"] == 0.75
    assert description["accuracy_at"] == {"0.5": 0.5, "0.8": None, "0.95": None}


def prediction(number: int, confidence: float, correct: bool, **fields) -> dict:
    named = {"confidences": {"margin": confidence}, "confidence": 0.5}
    return {"entity": f"Person {number}", "correct": correct, **named, **fields}


def test_a_threshold_is_chosen_on_some_people_and_checked_on_others():
    (held_p, held_right), (p, right) = draw(500, 1), draw(400, 2)
    held_out = [prediction(i, float(a), bool(b)) for i, (a, b) in enumerate(zip(held_p, held_right, strict=True))]
    asked = [prediction(1000 + i, float(a), bool(b)) for i, (a, b) in enumerate(zip(p, right, strict=True))]
    result = abstain_on_predictions(held_out, asked, "margin", max_error_rate=0.25)
    chosen = choose_threshold(held_p, held_right, max_error_rate=0.25)
    assert result["chosen"]["threshold"] == chosen.threshold
    assert result["chosen"]["coverage"] == chosen.coverage
    assert result["check"] == check_threshold(p, right, threshold=chosen.threshold, max_error_rate=0.25)
    assert result["aurc"] == describe_abstention(p, right)["aurc"]
    assert result["check"]["kept"] and 0.2 < result["check"]["coverage"] < 1
    with pytest.raises(ValueError, match="'Person 1000', on whom something is fitted"):
        abstain_on_predictions(asked, asked, "margin", max_error_rate=0.25)
