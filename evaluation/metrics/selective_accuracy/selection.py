"""The arithmetic of selective accuracy, for who needs no `evaluate` module and not the seconds of its import."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

COVERAGES = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class RiskCoverageCurve:
    """What comes of answering only where the confidence is at least a threshold, from the highest one down.

    One point a distinct confidence, so that equal confidences are answered or abstained from together.

    Attributes:
        thresholds: `(points,)`, falling.
        answered: `(points,)`, number of answers given.
        errors: `(points,)`, how many of them are wrong.
        n: Number of questions, refused ones included.
    """

    thresholds: np.ndarray
    answered: np.ndarray
    errors: np.ndarray
    n: int

    @property
    def coverage(self) -> np.ndarray:
        """Share of the questions that are answered."""
        return self.answered / self.n

    @property
    def risk(self) -> np.ndarray:
        """Share of the answers given that are wrong."""
        return self.errors / self.answered

    def expected_errors(self, num_answers: float | np.ndarray) -> np.ndarray:
        """Errors among that many most confident answers, where ties are broken by chance: the exact expectation.

        Of k answers with equal confidence, e of them wrong, any j hold j e / k wrong ones on average.
        """
        return np.interp(num_answers, [0, *self.answered], [0, *self.errors])


def risk_coverage_curve(
    confidences: Sequence[float], correct: Sequence[bool], refused: Sequence[bool] | None = None
) -> RiskCoverageCurve:
    """Selective risk at every coverage (Geifman and El-Yaniv 2017).

    Args:
        confidences: How sure the model is; only their order matters.
        correct: Whether each answer is right.
        refused: Which questions the model declined itself; they are never answered. None: none.

    Raises:
        ValueError: If the lists differ in length or are empty, a confidence is not a number, or a verdict is
            neither 0 nor 1.
    """
    scores, right = np.asarray(confidences, dtype=np.float64), np.asarray(correct)
    declined = np.zeros(scores.shape, dtype=bool) if refused is None else np.asarray(refused)
    if scores.ndim != 1 or scores.shape != right.shape or scores.shape != declined.shape or not len(scores):
        raise ValueError(
            "confidences, verdicts and refusals have to be lists of one length, but are "
            f"{scores.shape}, {right.shape}, {declined.shape}."
        )
    if np.isnan(scores).any():
        raise ValueError(
            f"a confidence has to be a number, but that of answer {int(np.isnan(scores).argmax())} is not."
        )
    for name, flags in (("verdict", right), ("refusal", declined)):
        known = np.array([flag in (0, 1) for flag in flags.tolist()])
        if not known.all():
            row = int(known.argmin())
            raise ValueError(f"a {name} has to be 0 or 1, but that of answer {row} is {flags[row]!r}.")
    kept = ~declined.astype(bool)
    values, place = np.unique(scores[kept], return_inverse=True)
    answered = np.bincount(place, minlength=len(values))[::-1].cumsum()
    wrong = (~right[kept].astype(bool)).astype(np.int64)
    errors = np.bincount(place, weights=wrong, minlength=len(values))[::-1].cumsum().astype(np.int64)
    return RiskCoverageCurve(values[::-1], answered, errors, len(scores))


def aurc(curve: RiskCoverageCurve) -> float | None:
    """Area under the risk-coverage curve: the mean selective risk at 1, 2, ..., m answers (Geifman et al. 2019).

    m is the number of questions not refused. The risk at i answers is `expected_errors(i) / i`, so that the area
    does not depend on the order of equal confidences. Areas of two systems compare if both answer everything; one
    that refuses is not charged for the coverage that it cannot reach, so its coverage has to be said beside it.
    None if everything was refused.
    """
    if not len(curve.answered):
        return None
    counts = np.arange(1, curve.answered[-1] + 1)
    return float(np.mean(curve.expected_errors(counts) / counts))


def accuracy_at_coverage(curve: RiskCoverageCurve, coverage: float) -> float | None:
    """Share of right answers among the most confident ones, at least a share `coverage` of all questions.

    The fewest questions that make up the coverage are answered, ties broken by chance (the exact expectation).
    None if refusals leave fewer answers than that.

    Raises:
        ValueError: If `coverage` is not above 0 and up to 1.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"a coverage has to be above 0 and up to 1, but is {coverage}.")
    num_answers = math.ceil(coverage * curve.n - 1e-9)  # 0.07 * 100 is 7.000000000000001
    if not len(curve.answered) or num_answers > curve.answered[-1]:
        return None
    return 1 - float(curve.expected_errors(num_answers)) / num_answers
