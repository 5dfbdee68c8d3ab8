"""Exact match with lists of accepted answers, as an `evaluate` module and as plain functions.

`evaluate.load` copies this file elsewhere before it imports it, with those siblings whose imports it finds here;
it looks no further. So every sibling that is needed is imported here, and nothing else of this package at all.
"""

from collections.abc import Sequence

import datasets
import evaluate

from .matching import NORMALIZATIONS, exact_match_scores, is_match, normalize_answer

__all__ = ["NORMALIZATIONS", "ExactMatch", "exact_match_scores", "is_match", "normalize_answer"]

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
