"""Abstention: answer only where the model is sure enough, and promise how often it is wrong then.

Risk-coverage curve, AURC and accuracy at a coverage are those of the metric `selective_accuracy` (Geifman and
El-Yaniv 2017, arXiv:1705.08500; AURC: Geifman et al. 2019, arXiv:1805.08206). Here they are taken of rows of
predictions.jsonl, and a threshold is chosen on held-out people and checked on others.

One rule throughout: an answer is given if its confidence is at least the threshold, and the model did not refuse
by itself. A threshold of 0 holds back nothing else. Equal confidences share a fate.

The promise. With probability 1 - delta over the choice of held-out people, at most a share `max_error_rate` of the
answers given about *other* people of the same kind are wrong. How it is kept, for any model and confidence:
1. Thresholds are tried that leave the most confident 5%, 10%, ..., 95% of the held-out people, and 0. They are
   chosen by looking at confidences only, never at which answers are right.
2. Let t be the confidence of the person next in line. Given t and how many are above it, the people above t are
   independent draws from all people above t, so their errors are binomial; t itself is left out. An upper
   Clopper-Pearson bound on the error rate then holds for each of the 20 with probability 1 - delta / 20, for all
   of them at once with probability 1 - delta (Bonferroni).
3. Of the thresholds whose bound is at most the promised rate, the one that answers most is taken.
This is Geifman and El-Yaniv's SGR with one change: theirs looks at the errors to decide which threshold to try
next, and its correction counts only those tried. A list fixed in advance needs no such argument ("Learn then
Test", Angelopoulos et al. 2021, arXiv:2110.01052).

What it costs: even without an error, n answers prove an error rate of 1 - (delta / 20)^(1 / n) at best: a promise
of 10% takes 57 of them at delta = 0.05, one of 5% takes 117.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy  # whose parts are imported when they are used

from closedbook.evaluation.metrics.selective_accuracy.selection import (
    COVERAGES,
    accuracy_at_coverage,
    aurc,
    risk_coverage_curve,
)
from closedbook.evaluation.predictions import check_disjoint, confidence_and_verdict
from closedbook.evaluation.statistics.intervals import wilson_interval

NUM_THRESHOLDS = 20


def clopper_pearson_upper(errors: int, n: int, delta: float) -> float:
    """The error rate that the true one exceeds with probability `delta` at most, given `errors` among `n`.

    Clopper and Pearson 1934 (doi:10.1093/biomet/26.4.404), one-sided. 1 where there are only errors, or nothing.

    Raises:
        ValueError: If `errors` is not in 0..n, or `delta` not between 0 and 1.
    """
    if not 0 <= errors <= n:
        raise ValueError(f"errors must be between 0 and n, but is {errors} of {n}.")
    if not 0 < delta < 1:
        raise ValueError(f"delta has to be between 0 and 1, but is {delta}.")
    return 1.0 if errors == n else float(scipy.stats.beta.ppf(1 - delta, errors + 1, n - errors))


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what it did to the held-out people.

    Attributes:
        threshold: Answers are given from this confidence on; None: none can be given with this promise.
        max_error_rate: The promised error rate among answers given.
        delta: How probable it is at most that the choice of held-out people led to a broken promise.
        n: Number of held-out people.
        answered: How many of them are answered with this threshold.
        errors: How many of these answers are wrong.
        upper_bound: Of the error rate among people above the threshold; None without a threshold.
    """

    threshold: float | None
    max_error_rate: float
    delta: float
    n: int
    answered: int
    errors: int
    upper_bound: float | None

    @property
    def coverage(self) -> float:
        """Share of the held-out people that are answered."""
        return self.answered / self.n


def choose_threshold(
    confidences: Sequence[float],
    correct: Sequence[bool],
    refused: Sequence[bool] | None = None,
    *,
    max_error_rate: float,
    delta: float = 0.05,
) -> Threshold:
    """The threshold that answers most while keeping the promised error rate; the module says how.

    Args:
        confidences: In [0, 1], of people that were not trained on. One question a person: answers about one
            person are right or wrong together, and do not count as independent.
        correct: Whether each answer is right.
        refused: What the model refused by itself; None: nothing.
        max_error_rate: The promise, in [0, 1].
        delta: Probability of a broken promise, between 0 and 1.

    Raises:
        ValueError: If one of these is out of its range, or the lists do not fit together.
    """
    if not 0 <= max_error_rate <= 1:
        raise ValueError(f"max_error_rate has to be in [0, 1], but is {max_error_rate}.")
    if not 0 < delta < 1:
        raise ValueError(f"delta has to be between 0 and 1, but is {delta}.")
    values, right, declined = _columns(confidences, correct, refused)
    n = len(values)
    falling = np.sort(np.where(declined, -1.0, values))[::-1]  # refused ones come last
    ranks = {math.ceil(step * n / NUM_THRESHOLDS) for step in range(1, NUM_THRESHOLDS)}
    nexts = {float(falling[rank]) for rank in ranks if rank < n}
    # "above t" written as "from this number on"; above -1 is everything that was not refused
    tried = {0.0} | {max(0.0, math.nextafter(t, math.inf)) for t in nexts if t < 1}
    best = Threshold(None, max_error_rate, delta, n, 0, 0, None)
    for threshold in tried:
        given = ~declined & (values >= threshold)
        answered, errors = int(given.sum()), int((given & ~right).sum())
        bound = clopper_pearson_upper(errors, answered, delta / NUM_THRESHOLDS)
        if bound <= max_error_rate and (best.threshold is None or threshold < best.threshold):
            best = Threshold(threshold, max_error_rate, delta, n, answered, errors, bound)
    return best


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
    values, right, declined = _columns(confidences, correct, refused)
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


def _columns(
    confidences: Sequence[float], correct: Sequence[bool], refused: Sequence[bool] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    risk_coverage_curve(confidences, correct, refused)  # complains about lists that do not fit together
    values = np.asarray(confidences, dtype=np.float64)
    outside = (values < 0) | (values > 1)
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(f"a confidence has to be in [0, 1], but that of answer {row} is {values[row]}.")
    declined = np.zeros(values.shape, dtype=bool) if refused is None else np.asarray(refused, dtype=bool)
    return values, np.asarray(correct, dtype=bool), declined


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
) -> dict[str, Any]:
    """Choose a threshold on held-out people and check it on the predictions.

    Returns:
        `confidence`; `chosen`, the fields of `Threshold` and its `coverage`; `check` as `check_threshold` gives
        it; and what `describe_abstention` gives of the predictions.

    Raises:
        ValueError: If the two share an entity, or a row lacks the confidence or a verdict; as `choose_threshold`.
    """
    check_disjoint(held_out, predictions)
    chosen = choose_threshold(
        *confidence_and_verdict(held_out, confidence), max_error_rate=max_error_rate, delta=delta
    )
    columns = confidence_and_verdict(predictions, confidence)
    return {
        "confidence": confidence,
        "chosen": asdict(chosen) | {"coverage": chosen.coverage},
        "check": check_threshold(*columns, threshold=chosen.threshold, max_error_rate=max_error_rate),
        **describe_abstention(*columns),
    }
