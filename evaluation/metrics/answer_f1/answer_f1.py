"""Answer F1: how many words a prediction shares with the accepted answer that it is closest to.

`evaluate.load` copies this file elsewhere before it imports it, so it imports nothing of its own package.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import datasets
import evaluate

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

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.IGNORECASE)
# Marks inside one word; all others stand between two words.
_INNER_MARKS = frozenset(".'’‘`´")
# Letters of scripts that put no space between words: Thai and Lao, Burmese, Khmer, kana, and Chinese characters.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff])"
)


def normalize(text: str) -> str:
    """Even out letter case, white space, punctuation and articles, as the metric `answer_match` does by default.

    Full stops and apostrophes vanish, all other marks become spaces; an answer that is nothing but articles and
    marks ("The The", "!!!") keeps them.
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    bare = _ARTICLES.sub("", "".join(map(_without_mark, text)))
    return " ".join((bare if bare.strip() else text).split())


def _without_mark(character: str) -> str:
    if character in _INNER_MARKS:
        return ""
    return " " if unicodedata.category(character).startswith("P") else character


def answer_words(text: str) -> list[str]:
    """The words of a text after `normalize`: what white space separates.

    Chinese, Japanese, Thai, Lao, Burmese and Khmer put no space between words. There every character counts as a
    word, as is usual for those languages (MLQA, Lewis et al. 2020, counts Chinese so).
    """
    return _UNSPACED.sub(r" \1 ", normalize(text)).split()


def word_f1(words: Sequence[str], answer: Sequence[str]) -> float:
    """Harmonic mean of the shares of `words` and of `answer` that the other one has too.

    A word counts as often as it stands in both. Two texts without words are the same and score 1.
    """
    if not words and not answer:
        return 1.0
    shared = (Counter(words) & Counter(answer)).total()
    return 2 * shared / (len(words) + len(answer))


def answer_f1_scores(predictions: Sequence[str], references: Sequence[str | Sequence[str]]) -> list[float]:
    """One score a question, in [0, 1]: the best over its accepted answers; 1 for all that `answer_match` accepts.

    Raises:
        ValueError: If the two lists differ in length, or a question has no accepted answer.
    """
    if len(predictions) != len(references):
        raise ValueError(f"there are {len(predictions)} predictions for {len(references)} questions.")
    scores = []
    for row, (prediction, answers) in enumerate(zip(predictions, references, strict=True)):
        accepted = [answers] if isinstance(answers, str) else answers
        if len(accepted) == 0:
            raise ValueError(f"question {row} has no accepted answer; leave such questions out of the score.")
        words = answer_words(prediction)
        scores.append(max(word_f1(words, answer_words(answer)) for answer in accepted))
    return scores


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
