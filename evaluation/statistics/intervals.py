"""Intervals for measured numbers: an accuracy on a few hundred questions is uncertain by whole points."""

from collections.abc import Sequence

import numpy as np
import scipy  # whose parts are imported when they are used

_RESAMPLES = 9999  # scipy's default: the interval's ends then move by little from seed to seed
_VALUES_AT_ONCE = 10_000_000  # resampled values held in memory at a time, 80 MB


def wilson_interval(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Chosen over the normal approximation because accuracies here are often near 0, where that one reaches
    below 0 and claims certainty for 0 correct answers.

    Args:
        correct: Number of successes.
        n: Number of trials, at least 1.
        confidence: Share of repeated experiments whose interval holds the true proportion.

    Returns:
        (low, high), both in [0, 1].

    Raises:
        ValueError: If `n` is not positive, or `correct` is not in 0..n.
    """
    if n < 1:
        raise ValueError(f"an interval needs at least one question, but n is {n}.")
    if not 0 <= correct <= n:
        raise ValueError(f"correct must be between 0 and n, but is {correct} of {n}.")
    interval = scipy.stats.binomtest(int(correct), int(n)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap_interval(values: Sequence[float], seed: int, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` (Efron 1979, doi:10.1214/aos/1176344552).

    For means that are not proportions, such as log-probabilities or calibration errors per question.
    Percentile, because the corrected kind is undefined for values that are all equal.

    Args:
        values: One number a question, at least two, all finite.
        seed: Seeds the resampling; the same seed gives the same interval.
        confidence: As for `wilson_interval`.

    Returns:
        (low, high) in the unit of `values`.

    Raises:
        ValueError: If there are fewer than two values, or one is not finite.
    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or len(sample) < 2:
        raise ValueError(f"a bootstrap needs a flat list of two or more values, but got shape {sample.shape}.")
    if not np.isfinite(sample).all():
        raise ValueError(f"value {int(np.argmin(np.isfinite(sample)))} is not finite; leave such values out.")
    interval = scipy.stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=_RESAMPLES,
        batch=max(1, _VALUES_AT_ONCE // len(sample)),
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
