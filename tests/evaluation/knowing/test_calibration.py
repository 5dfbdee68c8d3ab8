"""Scalings find back what they were made to find, never change an order, and agree with scikit-learn's fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from closedbook.evaluation.knowing.calibration import (
    Scaling,
    calibrate_predictions,
    describe_calibration,
    fit_scaling,
    negative_log_likelihood,
)


def answers(n: int, temperature: float, bias: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidences for which `Scaling(temperature, bias)` is right, and verdicts drawn from it."""
    generator = np.random.default_rng(seed)
    confidences = generator.uniform(0.02, 0.98, n)
    return confidences, generator.random(n) < expit(logit(confidences) / temperature + bias)


def rows(confidences, correct, first: int = 0, **fields) -> list[dict]:
    return [
        {"entity": f"Person {first + i}", "confidence": float(p), "correct": bool(right), **fields}
        for i, (p, right) in enumerate(zip(confidences, correct, strict=True))
    ]


VERDICTS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_verdicts_is_found_back(temperature):
    fitted = fit_scaling(*answers(20_000, temperature, 0.0, seed=1))
    assert fitted.temperature == pytest.approx(temperature, rel=0.06)
    assert fitted.bias == 0


def test_temperature_and_bias_are_found_back_together():
    fitted = fit_scaling(*answers(20_000, 2.0, -1.0, seed=2), with_bias=True)
    assert fitted.temperature == pytest.approx(2.0, rel=0.08)
    assert fitted.bias == pytest.approx(-1.0, abs=0.06)


@pytest.mark.parametrize("with_bias", [False, True])
def test_the_fit_is_scikit_learns_logistic_regression_of_platts_targets(with_bias):
    confidences, correct = answers(300, 1.5, 0.4, seed=3)
    num_right = correct.sum()
    targets = np.where(correct, (num_right + 1) / (num_right + 2), 1 / (len(correct) - num_right + 2))
    # a soft target is two answers, one right and one wrong, with these weights
    logits = np.tile(logit(confidences), 2)[:, None]
    verdicts = np.repeat([1, 0], len(correct))
    weights = np.concatenate([targets, 1 - targets])
    model = LogisticRegression(C=1e12, fit_intercept=with_bias, tol=1e-10, max_iter=10_000)
    model.fit(logits, verdicts, sample_weight=weights)
    fitted = fit_scaling(confidences, correct, with_bias=with_bias)
    assert 1 / fitted.temperature == pytest.approx(model.coef_[0, 0], rel=1e-3)
    assert fitted.bias == pytest.approx(float(model.intercept_[0]) if with_bias else 0.0, abs=1e-3)


@given(VERDICTS, st.booleans())
def test_any_answers_can_be_fitted_and_their_order_stays(pairs, with_bias):
    confidences, correct = zip(*pairs, strict=True)
    fitted = fit_scaling(confidences, correct, with_bias=with_bias)
    assert fitted.temperature > 0 and np.isfinite([fitted.temperature, fitted.bias]).all()
    scaled = fitted.apply(confidences)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    assert (np.diff(scaled[np.argsort(confidences, kind="stable")]) >= 0).all()


@given(VERDICTS, st.randoms())
def test_the_order_of_answers_does_not_matter_to_the_fit(pairs, shuffler):
    shuffled = pairs.copy()
    shuffler.shuffle(shuffled)
    one, other = (fit_scaling(*zip(*some, strict=True)) for some in (pairs, shuffled))
    # of the slope, which may be next to nothing; the search stops where the loss is flat
    assert 1 / one.temperature == pytest.approx(1 / other.temperature, rel=1e-2, abs=1e-3)


def test_a_temperature_of_one_changes_nothing_and_never_moves_a_half():
    assert Scaling(1.0).apply([0.2, 0.5, 0.9]).tolist() == pytest.approx([0.2, 0.5, 0.9])
    assert Scaling(7.0).apply([0.5]).tolist() == [0.5]


def test_certainty_counts_as_odds_of_a_million_or_as_told():
    assert Scaling(1.0).apply([0.0, 1.0]).tolist() == pytest.approx([1e-6, 1 - 1e-6])
    assert Scaling(1.0, extreme=1 / 16).apply([0.0, 1.0]).tolist() == pytest.approx([1 / 16, 15 / 16])


def test_the_likelihood_is_scikit_learns_log_loss():
    confidences, correct = answers(100, 1.0, 0.0, seed=4)
    assert negative_log_likelihood(confidences, correct) == pytest.approx(log_loss(correct, confidences))


@pytest.mark.parametrize(
    ("confidences", "options", "message"),
    [
        ([1.2, 0.5], {}, r"in \[0, 1\], but that of answer 0 is 1.2"),
        ([0.5], {}, "one length"),
        ([0.5, 0.5], {"extreme": 0.5}, "extreme has to be between 0 and 0.5"),
    ],
)
def test_unusable_input_is_refused(confidences, options, message):
    with pytest.raises(ValueError, match=message):
        fit_scaling(confidences, [True, False], **options)
    if not options and len(confidences) == 2:
        with pytest.raises(ValueError, match=message):
            Scaling(1.0).apply(confidences)


def test_overconfident_predictions_are_better_after_than_before():
    held_out, asked = (answers(2000, 4.0, 0.0, seed=seed) for seed in (5, 6))
    result = calibrate_predictions(rows(*held_out), rows(*asked, first=9999))
    assert result["fitted_on"] == 2000
    assert result["temperature"] == pytest.approx(4, rel=0.2)
    for name in ("expected_calibration_error", "brier", "negative_log_likelihood"):
        assert result["after"][name] < result["before"][name]
    assert result["before"] == describe_calibration(*asked)
    assert sum(b["n"] for b in result["after"]["bins"]) == result["after"]["n"] == 2000


def test_refused_answers_take_no_part_in_calibration():
    held_out, asked = (rows(*answers(50, 1.0, 0.0, seed=seed), first=1000 * seed) for seed in (7, 8))
    noise = rows([0.99] * 30, [False] * 30, first=50_000, refused=True)
    assert calibrate_predictions(held_out + noise[:15], asked + noise[15:]) == calibrate_predictions(
        held_out, asked
    )
    with pytest.raises(ValueError, match="refused all 15 evaluated"):
        calibrate_predictions(held_out, noise[15:])


def test_fitting_on_the_people_evaluated_is_refused():
    some = rows(*answers(10, 1.0, 0.0, seed=9))
    with pytest.raises(ValueError, match="'Person 0', on whom something is fitted"):
        calibrate_predictions(some, some)
