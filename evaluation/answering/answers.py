"""Answers as they come out of a model. Imports nothing heavy: who reads or writes predictions needs no model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One generated answer.

    Attributes:
        text: What the model wrote after the question, without the end mark.
        log_probability: Natural logarithm of the model's probability of the whole answer given the question:
            the sum over its tokens, end mark included. For an incomplete answer: of the tokens so far.
        complete: Whether the model wrote the end mark within the number of tokens allowed.
    """

    text: str
    log_probability: float
    complete: bool

    @property
    def confidence(self) -> float:
        """The model's probability of the whole answer, in [0, 1]."""
        return math.exp(self.log_probability)


@dataclass(frozen=True)
class Candidate:
    """A possible answer, in its most probable wording.

    Attributes:
        text: That wording.
        log_probability: Natural logarithm of the probability of all its wordings that were found.
    """

    text: str
    log_probability: float


@dataclass(frozen=True)
class ScoredAnswer:
    """A greedy answer and how sure the model is of it.

    Attributes:
        answer: The greedy answer, as `answer_questions` gives it.
        confidences: One number in [0, 1] for each of `confidence.CONFIDENCES`.
        candidates: What beam search found, and the greedy answer: distinct answers, the most probable first.
        samples: The sampled answers.
    """

    answer: Answer
    confidences: dict[str, float]
    candidates: tuple[Candidate, ...]
    samples: tuple[str, ...]

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "ScoredAnswer":
        """The answer that `dataclasses.asdict` made `kept` of, by way of JSON."""
        return cls(
            Answer(**kept["answer"]),
            dict(kept["confidences"]),
            tuple(Candidate(**candidate) for candidate in kept["candidates"]),
            tuple(kept["samples"]),
        )
