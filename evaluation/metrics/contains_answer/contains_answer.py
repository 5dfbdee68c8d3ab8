"""Containment: an accepted answer occurs in the prediction, by default as whole words.

`evaluate.load` copies this file elsewhere before it imports it, so it imports nothing of its own package.
"""

import re
import unicodedata
from collections.abc import Sequence

import datasets
import evaluate

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

BORDERS = ("words", "anywhere")

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

    Chinese, Japanese, Thai, Lao, Burmese and Khmer put no space between words. There every character stands for
    itself, so that an answer is found in a sentence, but also inside a longer word.
    """
    return _UNSPACED.sub(r" \1 ", normalize(text)).split()


def contains_words(words: Sequence[str], answer: Sequence[str]) -> bool:
    """Whether the words of `answer` stand in `words` one after the other; no words are found in no words only."""
    if len(answer) == 0:
        return len(words) == 0
    starts = range(len(words) - len(answer) + 1)
    return any(words[start : start + len(answer)] == answer for start in starts)


def contains_verdicts(
    predictions: Sequence[str], references: Sequence[str | Sequence[str]], borders: str = "words"
) -> list[bool]:
    """One verdict a question: does one of its accepted answers occur in the prediction?

    Whatever `answer_match` takes for correct, "words" does too. "anywhere" is the rule of a course exercise, kept
    to compare with what is reported by it: the answer's characters occur somewhere, letter case aside ("art" in
    "party"). An answer without a character is found in nothing.

    Args:
        predictions: One a question.
        references: The accepted answers of each question, or its only one.
        borders: One of `BORDERS`.

    Raises:
        ValueError: If the two lists differ in length, a question has no accepted answer, or `borders` is unknown.
    """
    if borders not in BORDERS:
        raise ValueError(f"unknown borders {borders!r}; choose one of {', '.join(BORDERS)}.")
    if len(predictions) != len(references):
        raise ValueError(f"there are {len(predictions)} predictions for {len(references)} questions.")
    verdicts = []
    for row, (prediction, answers) in enumerate(zip(predictions, references, strict=True)):
        accepted = [answers] if isinstance(answers, str) else answers
        if len(accepted) == 0:
            raise ValueError(f"question {row} has no accepted answer; leave such questions out of the score.")
        if borders == "words":
            words = answer_words(prediction)
            verdicts.append(any(contains_words(words, answer_words(answer)) for answer in accepted))
        else:
            text = prediction.lower()
            verdicts.append(any(answer.strip() and answer.lower() in text for answer in accepted))
    return [bool(verdict) for verdict in verdicts]


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
