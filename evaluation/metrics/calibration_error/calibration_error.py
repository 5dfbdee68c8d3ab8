"""Calibration error: do answers given with confidence p turn out right a share p of the time?

`evaluate.load` copies this file elsewhere before it imports it, so it imports nothing of its own package.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
import evaluate
import numpy as np

_DESCRIPTION = """
Expected calibration error over bins of equal mass, and Brier score, of confidences in right and wrong answers.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: list of float, the confidence in each answer, from 0 to 1.
    references: list of int or bool, whether the answer is right: 1 or 0.
    num_bins: how many bins of equally many answers the error is taken over; default 10.

Returns:
    expected_calibration_error: mean distance of a bin's accuracy from its confidence, from 0.0 to 1.0.
    brier: mean squared distance of confidence and verdict, from 0.0 to 1.0.
    n: number of answers.

Examples:
    >>> calibration_error = evaluate.load("evaluation/metrics/calibration_error")
    >>> calibration_error.compute(predictions=[0.9, 0.8, 0.3, 0.2], references=[1, 1, 1, 0], num_bins=2)
    {'expected_calibration_error': 0.19999999999999996, 'brier': 0.145, 'n': 4}
"""

_CITATION = """
@inproceedings{guo2017calibration,
    title = {On Calibration of Modern Neural Networks},
    author = {Guo, Chuan and Pleiss, Geoff and Sun, Yu and Weinberger, Kilian Q.},
    booktitle = {Proceedings of ICML},
    year = {2017},
}
@inproceedings{nixon2019measuring,
    title = {Measuring Calibration in Deep Learning},
    author = {Nixon, Jeremy and Dusenberry, Michael W. and Zhang, Linchuan and Jerfel, Ghassen and Tran, Dustin},
    booktitle = {CVPR Workshops},
    year = {2019},
}
@article{brier1950verification,
    title = {Verification of Forecasts Expressed in Terms of Probability},
    author = {Brier, Glenn W.},
    journal = {Monthly Weather Review},
    year = {1950},
}
"""

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


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class CalibrationError(evaluate.Metric):
    """Expected calibration error and Brier score."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(
        self, predictions: Sequence[float], references: Sequence[int], num_bins: int = NUM_BINS
    ) -> dict[str, float | int]:
        return {
            "expected_calibration_error": expected_calibration_error(predictions, references, num_bins),
            "brier": brier_score(predictions, references),
            "n": len(predictions),
        }
