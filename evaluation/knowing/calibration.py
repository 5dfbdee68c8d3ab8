"""Calibration: how far confidences are from how often answers are right, and what brings them closer.

Bins, expected calibration error and Brier score are those of the metric `calibration_error`. Here they are taken
of rows of predictions.jsonl, and a scaling of the confidences is fitted on people held out of training.

The scaling acts on the confidence in an answer as a whole, as a logit: p' = sigmoid(logit(p) / T). T is the
temperature (Guo et al. 2017, arXiv:1706.04599), applied to the two outcomes "right" and "wrong" rather than to
the tokens, so that it can be fitted on the predictions alone and serves any confidence. It cannot move p = 0.5,
so where accuracy is high although all confidences are below 0.5 (long answers, margins), `with_bias` adds one
number, p' = sigmoid(logit(p) / T + b), which is Platt's scaling (1999). Neither changes the order of answers.

A refusal is no answer whose confidence could be wrong: refused rows take no part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy  # whose parts are imported when they are used

from closedbook.evaluation.metrics.calibration_error.calibration import (
    NUM_BINS,
    ReliabilityBin,
    brier_score,
    check_confidences,
    expected_calibration_error,
    reliability_bins,
)
from closedbook.evaluation.predictions import check_disjoint, confidence_and_verdict

# The odds 1 : a million stand for certainty, whose logit is infinite.
_EXTREME = 1e-6


@dataclass(frozen=True)
class Scaling:
    """p' = sigmoid(logit(p) / temperature + bias).

    Attributes:
        temperature: Above 0; above 1 it takes confidence away from both ends.
        bias: What is added to the logit.
        extreme: Confidences are moved into [extreme, 1 - extreme] first.
    """

    temperature: float
    bias: float = 0.0
    extreme: float = _EXTREME

    def apply(self, confidences: Sequence[float]) -> np.ndarray:
        """The scaled confidences, float64.

        Raises:
            ValueError: If a confidence is outside [0, 1].
        """
        values = np.asarray(confidences, dtype=np.float64)
        check_confidences(values, np.zeros(values.shape, dtype=bool))
        return scipy.special.expit(_logits(values, self.extreme) / self.temperature + self.bias)


def _logits(confidences: np.ndarray, extreme: float) -> np.ndarray:
    return scipy.special.logit(np.clip(confidences, extreme, 1 - extreme))


def fit_scaling(
    confidences: Sequence[float],
    correct: Sequence[bool],
    *,
    with_bias: bool = False,
    extreme: float = _EXTREME,
) -> Scaling:
    """The scaling under which the verdicts are most probable (least negative log-likelihood).

    The verdicts are taken as Platt takes them: (r + 1) / (r + 2) instead of 1 and 1 / (w + 2) instead of 0, for r
    right and w wrong answers. So the best scaling is finite even if all answers, or all confident ones, are right.
    The problem is convex in 1 / temperature and bias, so where the search starts does not matter.

    Args:
        confidences: In [0, 1], of people that were not trained on and are not evaluated.
        correct: Whether each answer is right.
        with_bias: Whether to fit the bias too.
        extreme: See `Scaling`. For the share of S samples that agree, 1 / (2 S) keeps the shares 0 and 1, which
            say "rarer than can be seen", from outweighing all others.

    Raises:
        ValueError: If a confidence is outside [0, 1], the lists differ in length or are empty, or `extreme` is not
            between 0 and 0.5.
    """
    if not 0 < extreme < 0.5:
        raise ValueError(f"extreme has to be between 0 and 0.5, but is {extreme}.")
    p, right = check_confidences(confidences, correct)
    logits = _logits(p, extreme)
    num_right = int(right.sum())
    targets = np.where(right, (num_right + 1) / (num_right + 2), 1 / (len(right) - num_right + 2))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = parameters[0] * logits + (parameters[1] if with_bias else 0.0)
        residual = (scipy.special.expit(scaled) - targets) / len(targets)
        gradient = [residual @ logits, residual.sum()] if with_bias else [residual @ logits]
        return float(np.mean(np.logaddexp(0, scaled) - targets * scaled)), np.array(gradient)

    # a slope of 0 or below would make all confidences equal, or turn their order round
    bounds = [(1e-3, None), (None, None)] if with_bias else [(1e-3, None)]
    start = np.array([1.0, 0.0][: len(bounds)])
    options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 1000}
    fitted = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return Scaling(1 / float(fitted[0]), float(fitted[1]) if with_bias else 0.0, extreme)


def negative_log_likelihood(confidences: Sequence[float], correct: Sequence[bool]) -> float:
    """Mean negative log-likelihood of the verdicts in nats; confidences of 0 and 1 count as 1e-6 and 1 - 1e-6.

    Raises:
        ValueError: As `check_confidences`.
    """
    p, right = check_confidences(confidences, correct)
    p = np.clip(p, _EXTREME, 1 - _EXTREME)
    return float(-np.mean(np.log(np.where(right, p, 1 - p))))


def describe_calibration(
    confidences: Sequence[float], correct: Sequence[bool], num_bins: int = NUM_BINS
) -> dict[str, Any]:
    """All numbers on the calibration of some answers, ready for a results file.

    Returns:
        `n`, `accuracy`, `mean_confidence`, `expected_calibration_error`, `brier`, `negative_log_likelihood`, and
        `bins`: a list of `low`, `high`, `confidence`, `accuracy`, `correct`, `n`.

    Raises:
        ValueError: As `reliability_bins`.
    """
    p, right = check_confidences(confidences, correct)
    bins: list[ReliabilityBin] = reliability_bins(p, right, num_bins)
    return {
        "n": len(p),
        "accuracy": float(right.mean()),
        "mean_confidence": float(p.mean()),
        "expected_calibration_error": expected_calibration_error(p, right, num_bins),
        "brier": brier_score(p, right),
        "negative_log_likelihood": negative_log_likelihood(p, right),
        "bins": [asdict(b) | {"accuracy": b.accuracy} for b in bins],
    }


def calibrate_predictions(
    held_out: Sequence[Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Any]],
    confidence: str = "sequence_probability",
    *,
    with_bias: bool = False,
    extreme: float = _EXTREME,
    num_bins: int = NUM_BINS,
) -> dict[str, Any]:
    """Fit a scaling on held-out people, and describe the predictions without and with it.

    Args:
        held_out: Rows about people to fit on: neither trained on nor in `predictions`.
        predictions: Rows to describe.
        confidence: Which of the confidences.
        with_bias, extreme: As for `fit_scaling`.
        num_bins: As for `reliability_bins`.

    Returns:
        `confidence`, `fitted_on` (how many held-out answers), `temperature`, `bias`, `extreme`, and `before` and
        `after`, each as `describe_calibration` gives it.

    Raises:
        ValueError: If the two share an entity, a row lacks the confidence or a verdict, or all rows of one side
            were refused.
    """
    check_disjoint(held_out, predictions)
    fit_p, fit_right = _not_refused(held_out, confidence, "held-out")
    p, right = _not_refused(predictions, confidence, "evaluated")
    scaling = fit_scaling(fit_p, fit_right, with_bias=with_bias, extreme=extreme)
    return {
        "confidence": confidence,
        "fitted_on": len(fit_p),
        **asdict(scaling),
        "before": describe_calibration(p, right, num_bins),
        "after": describe_calibration(scaling.apply(p), right, num_bins),
    }


def _not_refused(rows: Sequence[Mapping[str, Any]], confidence: str, which: str) -> tuple[np.ndarray, np.ndarray]:
    values, correct, refused = confidence_and_verdict(rows, confidence)
    if refused.all():
        raise ValueError(
            f"the model refused all {len(rows)} {which} questions: there is no confidence to calibrate."
        )
    return values[~refused], correct[~refused]
