"""Abstention: answer only where the model is sure enough, and promise how often it is wrong then.

Risk-coverage curve, AURC and accuracy at a coverage are those of the metric `selective_accuracy` (Geifman and
El-Yaniv 2017, arXiv:1705.08500; AURC: Geifman et al. 2019, arXiv:1805.08206). Here they are taken of rows of
predictions.jsonl, and a threshold is chosen on held-out people and checked on others.

One rule throughout: an answer is given if its confidence is at least the threshold, and the model did not refuse
by itself. A threshold of 0 holds back nothing else. Equal confidences share a fate.

How a threshold is chosen so that it keeps a promise is in `promise.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from closedbook.evaluation.knowing.promise import choose_threshold, columns
from closedbook.evaluation.metrics.selective_accuracy.selection import (
    COVERAGES,
    accuracy_at_coverage,
    aurc,
    risk_coverage_curve,
)
from closedbook.evaluation.predictions import check_disjoint, confidence_and_verdict
from closedbook.evaluation.statistics.intervals import wilson_interval


def check_threshold(
    confidences: Sequence[float],
    correct: Sequence[bool],
    refused: Sequence[bool] | None = None,
    *,
    threshold: float | None,
    max_error_rate: float,
) -> dict[str, Any]:
    """What a threshold does to people on whom it was not chosen.

    Args:
        confidences, correct, refused: As for `choose_threshold`.
        threshold: Answers are given from this confidence on; None: none is given.
        max_error_rate: What was promised.

    Returns:
        `threshold`, `max_error_rate`, `n`, `answered`, `coverage` and `coverage_interval`, `errors`, `error_rate`
        and `error_interval` (None where nothing is answered), `kept` (whether the error rate is at most the
        promised one; an empty promise is kept), and `disproved` (whether even the interval's lower end is above
        it). Intervals are Wilson's, 95%.

    Raises:
        ValueError: If the threshold or the promise is outside [0, 1], or the lists do not fit together.
    """
    for name, value in (("threshold", threshold), ("max_error_rate", max_error_rate)):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name} has to be in [0, 1], but is {value}.")
    values, right, declined = columns(confidences, correct, refused)
    given = ~declined & (values >= threshold) if threshold is not None else np.zeros_like(declined)
    n, answered, errors = len(values), int(given.sum()), int((given & ~right).sum())
    interval = wilson_interval(errors, answered) if answered else None
    return {
        "threshold": threshold,
        "max_error_rate": max_error_rate,
        "n": n,
        "answered": answered,
        "coverage": answered / n,
        "coverage_interval": list(wilson_interval(answered, n)),
        "errors": errors,
        "error_rate": errors / answered if answered else None,
        "error_interval": None if interval is None else list(interval),
        "kept": errors <= max_error_rate * answered,
        "disproved": interval is not None and interval[0] > max_error_rate,
    }


def describe_abstention(
    confidences: Sequence[float],
    correct: Sequence[bool],
    refused: Sequence[bool] | None = None,
    coverages: Sequence[float] = COVERAGES,
) -> dict[str, Any]:
    """Risk-coverage curve and its numbers, ready for a results file.

    Returns:
        `n`, `answered` (share not refused), `aurc`, `accuracy_at` (by coverage as text, None where refusals leave
        too few answers), and `curve`: lists `threshold`, `coverage` and `risk`, from the highest threshold down.

    Raises:
        ValueError: If the lists do not fit together, or a coverage is not above 0 and up to 1.
    """
    curve = risk_coverage_curve(confidences, correct, refused)
    return {
        "n": curve.n,
        "answered": float(curve.coverage[-1]) if len(curve.answered) else 0.0,
        "aurc": aurc(curve),
        "accuracy_at": {str(coverage): accuracy_at_coverage(curve, coverage) for coverage in coverages},
        "curve": {
            "threshold": curve.thresholds.tolist(),
            "coverage": curve.coverage.tolist(),
            "risk": curve.risk.tolist(),
        },
    }


def abstain_on_predictions(
    held_out: Sequence[Mapping[str, Any]],
    predictions: Sequence[Mapping[str, Any]],
    confidence: str = "sequence_probability",
    *,
    max_error_rate: float,
    delta: float = 0.05,
    strangers: Sequence[float] | None = None,
    max_stranger_rate: float | None = None,
) -> dict[str, Any]:
    """Choose a threshold on held-out people, and strangers, and check it on the predictions.

    Arguments but the rows are as for `choose_threshold`.

    Returns:
        `confidence`; `chosen`, the fields of `Threshold` and its `coverage`; `check` as `check_threshold` gives
        it; and what `describe_abstention` gives of the predictions.

    Raises:
        ValueError: If the two share an entity, or a row lacks the confidence or a verdict; as `choose_threshold`.
    """
    check_disjoint(held_out, predictions)
    chosen = choose_threshold(
        *confidence_and_verdict(held_out, confidence),
        max_error_rate=max_error_rate,
        delta=delta,
        strangers=strangers,
        max_stranger_rate=max_stranger_rate,
    )
    columns = confidence_and_verdict(predictions, confidence)
    return {
        "confidence": confidence,
        "chosen": asdict(chosen) | {"coverage": chosen.coverage},
        "check": check_threshold(*columns, threshold=chosen.threshold, max_error_rate=max_error_rate),
        **describe_abstention(*columns),
    }
