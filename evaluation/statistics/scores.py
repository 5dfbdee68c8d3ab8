"""What predictions come to, counted as they come: by our own rules, and by the one a set is published with."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from closedbook.evaluation.metrics.answer_match.matching import answer_matches
from closedbook.evaluation.metrics.exact_match.matching import exact_match_scores

# What `correct` and `answer_match` of a result mean, said where a published rule stands beside them.
RULES = {
    "accuracy": "exact match: every character of an accepted answer",
    "answer_match": "equal to an accepted answer but for case, articles, punctuation and spaces",
}


def _contains_by_popqa(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> list[bool]:
    """PopQA's own rule: an accepted answer, as it is, in lower case or capitalised, is in the text."""
    return [
        any(form in said for answer in answers for form in (answer, answer.lower(), answer.capitalize()))
        for said, answers in zip(predictions, references, strict=True)
    ]


# The rule that a set is scored by where it was published, in words and as a function.
PUBLISHED_RULES: dict[str, tuple[str, Callable[[Sequence[str], Sequence[Sequence[str]]], list[bool]]]] = {
    "popqa": ("PopQA's (Mallen et al. 2023): an accepted answer occurs in the text", _contains_by_popqa),
    "trivia_qa": (
        "TriviaQA's (Joshi et al. 2017): exact match after its own normalisation",
        partial(exact_match_scores, normalization="triviaqa"),
    ),
    "nq_open": (
        "NQ open's (Lee et al. 2019): exact match after SQuAD's normalisation",
        partial(exact_match_scores, normalization="squad"),
    ),
}


class Score:
    """Counts of rows of predictions.jsonl, part by part; of a row it keeps its confidence, eight bytes.

    Attributes:
        n: rows.
        correct: of them by `correct`, exact match.
        matches: of them normalised, as the published sets are scored.
    """

    def __init__(self, questions: str) -> None:
        """Counts nothing yet.

        Args:
            questions: the kind of questions, which may be published with a rule.
        """
        self.n = self.correct = self.matches = 0
        self._rule = PUBLISHED_RULES.get(questions)
        self._by_rule = 0
        self._confidences = array("d")  # added up at the end, as all of them would be at once

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count more rows.

        Raises:
            ValueError: if a question has no accepted answer.
        """
        said, accepted = [row["prediction"] for row in rows], [row["answers"] for row in rows]
        self.n += len(rows)
        self.correct += sum(row["correct"] for row in rows)
        self.matches += sum(answer_matches(said, accepted))
        if self._rule is not None:
            self._by_rule += sum(self._rule[1](said, accepted))
        self._confidences.extend(row["confidence"] for row in rows)

    @property
    def mean_confidence(self) -> float:
        """The mean of the models' probabilities of their answers."""
        return sum(self._confidences) / self.n

    def published_rule(self) -> dict[str, Any] | None:
        """What the set's own rule says, in words and numbers; None where it has none."""
        if self._rule is None:
            return None
        return {"rule": self._rule[0], "correct": self._by_rule, "accuracy": self._by_rule / self.n}
