"""Answer F1: how many words a prediction shares with the accepted answer that it is closest to.

`evaluate.load` copies this file elsewhere before it imports it, with those siblings whose imports it finds here;
it looks no further. So every sibling that is needed is imported here, and nothing else of this package at all.
"""

from collections.abc import Sequence

import datasets
import evaluate

from .normalisation import answer_words, normalize
from .overlap import answer_f1_scores, word_f1

__all__ = ["AnswerF1", "answer_f1_scores", "answer_words", "normalize", "word_f1"]

_DESCRIPTION = """
Mean over the questions of the harmonic mean of precision and recall of a prediction's words, against the accepted
answer that it is closest to, letter case, white space, punctuation and articles aside.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: list of str, one answer a question.
    references: list of list of str, the accepted answers of each question, or list of str where there is one
        accepted answer a question.

Returns:
    answer_f1: mean over the questions, from 0.0 to 1.0.
    n: number of predictions.

Examples:
    >>> answer_f1 = evaluate.load("evaluation/metrics/answer_f1")
    >>> answer_f1.compute(predictions=["the river Thames", "Rome"], references=[["Thames", "the Isis"], ["Rome"]])
    {'answer_f1': 0.8333333333333333, 'n': 2}
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
class AnswerF1(evaluate.Metric):
    """Mean overlap of words with the closest accepted answer; see `answer_f1_scores`."""

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
        self, predictions: Sequence[str], references: Sequence[str | Sequence[str]]
    ) -> dict[str, float | int]:
        scores = answer_f1_scores(predictions, references)
        return {"answer_f1": sum(scores) / len(scores), "n": len(scores)}
