"""Answer match: equal to an accepted answer once differences of spelling that do not matter are ignored.

`evaluate.load` copies this file elsewhere before it imports it, with those siblings whose imports it finds here;
it looks no further. So every sibling that is needed is imported here, and nothing else of this package at all.
"""

from collections.abc import Collection, Sequence

import datasets
import evaluate

from .matching import answer_matches
from .normalisation import DIFFERENCES, IGNORED, normalize

__all__ = ["DIFFERENCES", "IGNORED", "AnswerMatch", "answer_matches", "normalize"]

_DESCRIPTION = """
Share of predictions that say the same as one of the accepted answers, letter case, white space, punctuation and
articles aside.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: list of str, one answer a question.
    references: list of list of str, the accepted answers of each question, or list of str where there is one
        accepted answer a question.
    ignore: which differences do not count, any of "case", "white_space", "punctuation", "articles" (together the
        default) and "accents"; an empty list compares the strings as they are.

Returns:
    answer_match: share of predictions that match, from 0.0 to 1.0.
    correct: number of them.
    n: number of predictions.

Examples:
    >>> answer_match = evaluate.load("evaluation/metrics/answer_match")
    >>> answer_match.compute(predictions=["the hague.", "Rome"], references=[["Hague"], ["Paris"]])
    {'answer_match': 0.5, 'correct': 1, 'n': 2}
"""

_CITATION = """
@inproceedings{rajpurkar2016squad,
    title = {{SQuAD}: 100,000+ Questions for Machine Comprehension of Text},
    author = {Rajpurkar, Pranav and Zhang, Jian and Lopyrev, Konstantin and Liang, Percy},
    booktitle = {Proceedings of EMNLP},
    year = {2016},
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class AnswerMatch(evaluate.Metric):
    """Share of answers that match; see `normalize` for what is ignored."""

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
        ignore: Collection[str] = IGNORED,
    ) -> dict[str, float | int]:
        verdicts = answer_matches(predictions, references, ignore)
        return {"answer_match": sum(verdicts) / len(verdicts), "correct": sum(verdicts), "n": len(verdicts)}
