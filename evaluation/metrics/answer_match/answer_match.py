"""Answer match: equal to an accepted answer once differences of spelling that do not matter are ignored.

`evaluate.load` copies this file elsewhere before it imports it, so it imports nothing of its own package.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence

import datasets
import evaluate

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

DIFFERENCES = ("case", "white_space", "punctuation", "articles", "accents")
IGNORED = ("case", "white_space", "punctuation", "articles")

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.IGNORECASE)
# Marks inside one word; all others stand between two words.
_INNER_MARKS = frozenset(".'’‘`´")


def normalize(text: str, ignore: Collection[str] = IGNORED) -> str:
    """Bring an answer into the form in which it is compared.

    In this order, each where `ignore` names it: letters are case-folded; accents are taken off; of the
    punctuation (Unicode's category P), full stops and apostrophes vanish, so that "U.S." is "US" and "O'Hara" is
    "OHara", and all other marks become spaces, so that "Paris,France" is "Paris, France" and
    "Stratford-upon-Avon" may be written without hyphens; the English articles a, an, the go as whole words; runs
    of white space become one space, and none is left at the ends. Whatever is ignored, the two ways in which
    Unicode writes an accented letter are the same.

    An answer that is nothing but articles and marks ("The The", "!!!") keeps them: else all such answers would
    be the same.

    Args:
        text: The answer.
        ignore: Any of `DIFFERENCES`.

    Raises:
        ValueError: If `ignore` names something else.
    """
    unknown = [name for name in ignore if name not in DIFFERENCES]
    if isinstance(ignore, str) or unknown:
        raise ValueError(f"ignore has to be a list of names out of {', '.join(DIFFERENCES)}, but is {ignore!r}.")
    text = unicodedata.normalize("NFC", text)
    if "case" in ignore:
        text = unicodedata.normalize("NFC", text.casefold())
    if "accents" in ignore:
        letters = (c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
        text = unicodedata.normalize("NFC", "".join(letters))
    bare = text
    if "punctuation" in ignore:
        bare = "".join(map(_without_mark, bare))
    if "articles" in ignore:
        bare = _ARTICLES.sub("", bare)
    bare = bare if bare.strip() else text
    return " ".join(bare.split()) if "white_space" in ignore else bare


def _without_mark(character: str) -> str:
    if character in _INNER_MARKS:
        return ""
    return " " if unicodedata.category(character).startswith("P") else character


def answer_matches(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    ignore: Collection[str] = IGNORED,
) -> list[bool]:
    """One verdict a question: does the prediction say the same as one of its accepted answers?

    Raises:
        ValueError: If the two lists differ in length, a question has no accepted answer, or `ignore` is unknown.
    """
    if len(predictions) != len(references):
        raise ValueError(f"there are {len(predictions)} predictions for {len(references)} questions.")
    verdicts = []
    for row, (prediction, answers) in enumerate(zip(predictions, references, strict=True)):
        accepted = [answers] if isinstance(answers, str) else answers
        if len(accepted) == 0:
            raise ValueError(f"question {row} has no accepted answer; leave such questions out of the score.")
        verdicts.append(normalize(prediction, ignore) in {normalize(answer, ignore) for answer in accepted})
    return verdicts


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
