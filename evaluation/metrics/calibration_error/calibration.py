"""The arithmetic of calibration, for who needs no `evaluate` module and not the seconds of its import."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NUM_BINS = 10  # of 500 answers, 50 a bin: its accuracy is then known to within 0.14


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of about equal confidence: `low` to `high`, `confidence` on average; `correct` of `n` are right."""

    low: float
    high: float
    confidence: float
    correct: int
    n: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.correct / self.n


def check_confidences(confidences: Sequence[float], correct: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, float64 and bool.

    Raises:
        ValueError: If they differ in length, are empty, or hold anything but numbers in [0, 1] and verdicts.
    """
    p, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct)
    if p.ndim != 1 or p.shape != right.shape or not len(p):
        raise ValueError(
            f"confidences and verdicts have to be lists of one length, but are {p.shape}, {right.shape}."
        )
    outside = ~((p >= 0) & (p <= 1))  # written so that not-a-number is outside too
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(f"a confidence has to be in [0, 1], but that of answer {row} is {p[row]}.")
    known = np.array([verdict in (0, 1) for verdict in right.tolist()])
    if not known.all():
        row = int(known.argmin())
        raise ValueError(f"a verdict has to be 0 or 1, but that of answer {row} is {right[row]!r}.")
    return p, right.astype(bool)


def reliability_bins(
    confidences: Sequence[float], correct: Sequence[bool], num_bins: int = NUM_BINS
) -> list[ReliabilityBin]:
    """Bins of equal mass: sorted by confidence, the answers are cut into `num_bins` parts of equally many.

    Equal mass and not equal width, because a small model's confidences crowd at one end, and a bin of three
    answers says nothing (Nixon et al. 2019). Equal confidences are never separated, as nothing but their order in
    the list could say which goes where: they all go where their middle belongs. So bins are unequal where
    confidences take few values, and there may be fewer than `num_bins`.

    Raises:
        ValueError: If `num_bins` is below 1; as `check_confidences`.
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, but is {num_bins}.")
    p, right = check_confidences(confidences, correct)
    _, value, counts = np.unique(p, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2  # answers below, and half of the equal ones
    number = np.minimum((middle * num_bins / len(p)).astype(int), num_bins - 1)[value]
    bins = []
    for members in (number == b for b in np.unique(number)):
        inside = p[members]
        bins.append(
            ReliabilityBin(
                low=float(inside.min()),
                high=float(inside.max()),
                # rounding may carry the mean of equal numbers past them
                confidence=float(np.clip(inside.mean(), inside.min(), inside.max())),
                correct=int(right[members].sum()),
                n=int(members.sum()),
            )
        )
    return bins


def expected_calibration_error(
    confidences: Sequence[float], correct: Sequence[bool], num_bins: int = NUM_BINS
) -> float:
    """Mean distance of accuracy and confidence over `reliability_bins`, weighted by their numbers of answers.

    With finitely many answers it is above 0 even for perfect confidences: compare it between equal numbers of
    answers and of bins only.

    Raises:
        ValueError: As `reliability_bins`.
    """
    bins = reliability_bins(confidences, correct, num_bins)
    return sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / sum(b.n for b in bins)


def brier_score(confidences: Sequence[float], correct: Sequence[bool]) -> float:
    """Mean squared distance of confidence and verdict (Brier 1950, in its form for two outcomes).

    Raises:
        ValueError: As `check_confidences`.
    """
    p, right = check_confidences(confidences, correct)
    return float(np.mean((p - right) ** 2))
