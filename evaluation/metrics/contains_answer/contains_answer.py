"""Containment: an accepted answer occurs in the prediction, by default as whole words.

`evaluate.load` copies this file elsewhere before it imports it, with those siblings whose imports it finds here;
it looks no further. So every sibling that is needed is imported here, and nothing else of this package at all.
"""

from collections.abc import Sequence

import datasets
import evaluate

from .containment import BORDERS, contains_verdicts, contains_words
from .normalisation import answer_words, normalize

__all__ = ["BORDERS", "ContainsAnswer", "answer_words", "contains_verdicts", "contains_words", "normalize"]

_DESCRIPTION = """
Share of predictions in which one of the accepted answers occurs as whole words, letter case, white space,
punctuation and articles aside.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: list of str, one answer a question.
    references: list of list of str, the accepted answers of each question, or list of str where there is one
        accepted answer a question.
    borders: "words" (default) finds an answer as whole words only, after letter case, white space, punctuation and
        articles were evened out; "anywhere" finds it also inside words, and evens out nothing but letter case.

Returns:
    contains_answer: share of predictions that contain an answer, from 0.0 to 1.0.
    correct: number of them.
    n: number of predictions.

Examples:
    >>> contains_answer = evaluate.load("evaluation/metrics/contains_answer")
    >>> contains_answer.compute(predictions=["It is Rome.", "a party"], references=[["Rome"], ["Art"]])
    {'contains_answer': 0.5, 'correct': 1, 'n': 2}
"""

_CITATION = """
@inproceedings{joshi2017triviaqa,
    title = {{TriviaQA}: A Large Scale Distantly Supervised Challenge Dataset for Reading Comprehension},
    author = {Joshi, Mandar and Choi, Eunsol and Weld, Daniel S. and Zettlemoyer, Luke},
    booktitle = {Proceedings of ACL},
    year = {2017},
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class ContainsAnswer(evaluate.Metric):
    """Share of predictions that contain an answer; see `contains_verdicts`."""

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
        borders: str = "words",
    ) -> dict[str, float | int]:
        verdicts = contains_verdicts(predictions, references, borders)
        return {"contains_answer": sum(verdicts) / len(verdicts), "correct": sum(verdicts), "n": len(verdicts)}
