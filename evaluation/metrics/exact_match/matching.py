"""The arithmetic of exact match, for who needs no `evaluate` module and not the seconds of its import."""

import re
import string
from collections.abc import Sequence

NORMALIZATIONS = ("none", "squad", "triviaqa")

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SQUAD_PUNCTUATION = str.maketrans("", "", string.punctuation)
# TriviaQA also counts typographic quotation marks, and leaves a space where a mark stood.
_TRIVIAQA_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "‘’´`", " "))


def normalize_answer(text: str, normalization: str = "none") -> str:
    """Bring an answer into the form in which it is compared.

    Args:
        text: The answer.
        normalization: "none" returns it as it is. "squad" (Rajpurkar et al. 2016) deletes punctuation, so
            that "U.S." becomes "us"; "triviaqa" (Joshi et al. 2017) replaces punctuation by spaces, so that
            it becomes "u s". Both lower the case, remove the English articles and join words by single
            spaces.

    Raises:
        ValueError: If `normalization` is not one of `NORMALIZATIONS`.
    """
    if normalization == "none":
        return text
    if normalization == "squad":
        bare = text.lower().translate(_SQUAD_PUNCTUATION)
    elif normalization == "triviaqa":
        bare = text.lower().translate(_TRIVIAQA_PUNCTUATION)
    else:
        raise ValueError(f"unknown normalization {normalization!r}; choose one of {', '.join(NORMALIZATIONS)}.")
    return " ".join(_ARTICLES.sub(" ", bare).split())


def is_match(prediction: str, answers: str | Sequence[str], normalization: str = "none") -> bool:
    """Whether `prediction` equals one of the accepted `answers` (or the only one, given as a string)."""
    accepted = [answers] if isinstance(answers, str) else answers
    normalized = normalize_answer(prediction, normalization)
    return any(normalized == normalize_answer(answer, normalization) for answer in accepted)


def exact_match_scores(
    predictions: Sequence[str], references: Sequence[str | Sequence[str]], normalization: str = "none"
) -> list[bool]:
    """One verdict a question: is the prediction one of its accepted answers?

    Raises:
        ValueError: If the two lists differ in length, or a question has no accepted answer.
    """
    if len(predictions) != len(references):
        raise ValueError(f"there are {len(predictions)} predictions for {len(references)} questions.")
    for row, answers in enumerate(references):
        if not isinstance(answers, str) and len(answers) == 0:
            raise ValueError(f"question {row} has no accepted answer; leave such questions out of the score.")
    return [
        is_match(prediction, answers, normalization)
        for prediction, answers in zip(predictions, references, strict=True)
    ]
