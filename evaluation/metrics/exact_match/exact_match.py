"""Exact match with lists of accepted answers, as an `evaluate` module and as plain functions.

`evaluate.load` copies this file elsewhere before it imports it, so it imports nothing of its own package.
"""

import re
import string
from collections.abc import Sequence

import datasets
import evaluate

_DESCRIPTION = """
Share of predictions that equal one of the accepted answers, as they are or after normalization.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: list of str, one answer a question.
    references: list of list of str, the accepted answers of each question (the first is the canonical one,
        aliases follow), or list of str where there is one accepted answer a question.
    normalization: "none" (default) compares the strings as they are; "squad" and "triviaqa" first lower the
        case and remove articles, punctuation and superfluous spaces, each as the benchmark of that name does.

Returns:
    exact_match: share of correct predictions, from 0.0 to 1.0.
    correct: number of correct predictions.
    n: number of predictions.

Examples:
    >>> exact_match = evaluate.load("evaluation/metrics/exact_match")
    >>> exact_match.compute(predictions=["Köln", "Rome"], references=[["Cologne", "Köln"], ["Paris"]])
    {'exact_match': 0.5, 'correct': 1, 'n': 2}
"""

_CITATION = """
@inproceedings{rajpurkar2016squad,
    title = {{SQuAD}: 100,000+ Questions for Machine Comprehension of Text},
    author = {Rajpurkar, Pranav and Zhang, Jian and Lopyrev, Konstantin and Liang, Percy},
    booktitle = {Proceedings of EMNLP},
    year = {2016},
}
@inproceedings{joshi2017triviaqa,
    title = {{TriviaQA}: A Large Scale Distantly Supervised Challenge Dataset for Reading Comprehension},
    author = {Joshi, Mandar and Choi, Eunsol and Weld, Daniel S. and Zettlemoyer, Luke},
    booktitle = {Proceedings of ACL},
    year = {2017},
}
"""

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


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class ExactMatch(evaluate.Metric):
    """Share of exact matches; see `normalize_answer` for the normalizations."""

    def _info(self) -> evaluate.MetricInfo:
        prediction = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=[
                datasets.Features({"predictions": prediction, "references": datasets.List(prediction)}),
                datasets.Features({"predictions": prediction, "references": prediction}),
            ],
        )

    def _compute(
        self,
        predictions: Sequence[str],
        references: Sequence[str | Sequence[str]],
        normalization: str = "none",
    ) -> dict[str, float | int]:
        scores = exact_match_scores(predictions, references, normalization)
        return {"exact_match": sum(scores) / len(scores), "correct": sum(scores), "n": len(scores)}
