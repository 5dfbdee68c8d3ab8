"""Two systems asked the same questions: which answers differ, and whether that could be chance.

Two accuracies whose intervals overlap may still differ for certain, because both systems find the same questions
hard. What tells is the questions that only one of them answers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scipy  # whose parts are imported when they are used

from closedbook.evaluation.predictions import match_questions


@dataclass(frozen=True)
class PairedComparison:
    """What two systems got right of the same questions.

    Attributes:
        n: Number of questions.
        both: Questions that both answered correctly.
        only_first, only_second: Questions that only one of the two answered correctly: the discordant ones.
        neither: Questions that neither answered correctly.
        difference: Accuracy of the second minus that of the first, in [-1, 1].
        interval: (low, high) of the difference.
        p_value: Of McNemar's exact test: how often a split of the discordant questions as uneven as this one, or
            more, comes of throwing a fair coin for each.
    """

    n: int
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    interval: tuple[float, float]
    p_value: float

    @property
    def accuracies(self) -> tuple[float, float]:
        """Of the first and of the second."""
        return (self.both + self.only_first) / self.n, (self.both + self.only_second) / self.n


def compare_paired(first: Sequence[bool], second: Sequence[bool], confidence: float = 0.95) -> PairedComparison:
    """Compare two systems question by question.

    The test is McNemar's (1947, doi:10.1007/BF02295996) in its exact form, a binomial test of the discordant
    questions. The interval is Bonett and Price's (2012, doi:10.3102/1076998611411915): the normal approximation
    after one question is added to each kind of disagreement. It keeps its promise at the few hundred questions and
    the few disagreements that are usual here, where the unadjusted one claims certainty for equal answers. The
    test is exact and the interval is not: near p = 0.05 one may exclude zero where the other does not.

    Args:
        first, second: Whether each answer is right, in the same order of questions.
        confidence: Of the interval.

    Raises:
        ValueError: If the numbers of answers differ, or there are none.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"a paired comparison needs the same questions, but got {len(first)} and {len(second)}.")
    pairs = [(bool(one), bool(other)) for one, other in zip(first, second, strict=True)]
    n, only_first, only_second = len(pairs), pairs.count((True, False)), pairs.count((False, True))
    discordant = only_first + only_second
    # with no disagreement there is nothing to test, and nothing speaks for a difference
    p_value = scipy.stats.binomtest(only_second, discordant, 0.5).pvalue if discordant else 1.0
    gained, lost = (only_second + 1) / (n + 2), (only_first + 1) / (n + 2)
    center = gained - lost
    reach = scipy.stats.norm.ppf((1 + confidence) / 2) * ((gained + lost - center**2) / (n + 2)) ** 0.5
    return PairedComparison(
        n=n,
        both=pairs.count((True, True)),
        only_first=only_first,
        only_second=only_second,
        neither=pairs.count((False, False)),
        difference=(only_second - only_first) / n,
        interval=(float(max(-1.0, center - reach)), float(min(1.0, center + reach))),
        p_value=float(p_value),
    )


def check_same_questions(
    predictions: Sequence[dict[str, Any]],
    source: str | Path,
    questions: Iterable[dict[str, Any]],
    origin: str | Path,
) -> None:
    """Refuse predictions that do not answer the given questions, one for one and in their order.

    Args:
        predictions: Rows of predictions.jsonl, one a line.
        source: The file they are from.
        questions: What was to be asked: records with `question` and `answers`, of a question file or of another
            prediction file.
        origin: The file they are from.

    Raises:
        ValueError: Naming both files and the first line where they differ.
    """
    try:
        match_questions(predictions, questions)
    except ValueError as error:
        raise ValueError(f"{source} does not match {origin}, line by line: {error}") from error


def p_value_text(value: float) -> str:
    """`0.046`, or `< 0.001`: less than that is never 0, and how much less depends on assumptions."""
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"


def verdicts(predictions: Sequence[dict[str, Any]], source: str | Path) -> list[bool]:
    """Whether each answer is right.

    Raises:
        ValueError: If a row has no verdict because no accepted answer is known.
    """
    for number, row in enumerate(predictions, start=1):
        if row.get("correct") is None:
            raise ValueError(f"{source}, line {number}: no verdict; ask questions whose answers are known")
    return [row["correct"] for row in predictions]
