"""What a threshold does, and the curve that says what each would do."""

import math

import pytest
from scipy import stats

from closedbook.evaluation.knowing.abstention import abstain_on_predictions, check_threshold, describe_abstention
from closedbook.evaluation.knowing.promise import choose_threshold


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


def test_a_threshold_is_chosen_on_some_people_and_checked_on_others(draw):
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
