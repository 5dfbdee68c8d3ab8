"""Answers in the form in which they are compared, and questions paired with what is accepted for them.

This file is the same in `answer_match`, `answer_f1` and `contains_answer`, to the byte (a test holds it so). A
copy each, because an `evaluate` module has to travel as one folder: `evaluate.load` copies files beside the module
and no others, and where it copies them to, this package need not be.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence

DIFFERENCES = ("case", "white_space", "punctuation", "articles", "accents")
IGNORED = ("case", "white_space", "punctuation", "articles")

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.IGNORECASE)
# Marks inside one word; all others stand between two words.
_INNER_MARKS = frozenset(".'’‘`´")
# Letters of scripts that put no space between words: Thai and Lao, Burmese, Khmer, kana, and Chinese characters.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff])"
)


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


def answer_words(text: str) -> list[str]:
    """The words of a text after `normalize`: what white space separates.

    Chinese, Japanese, Thai, Lao, Burmese and Khmer put no space between words. There every character counts as a
    word, as is usual for those languages (MLQA, Lewis et al. 2020, counts Chinese so); so an answer is found in a
    sentence, but also inside a longer word.
    """
    return _UNSPACED.sub(r" \1 ", normalize(text)).split()


def says_the_same(prediction: str, answers: Sequence[str], ignore: Collection[str] = IGNORED) -> bool:
    """Whether a prediction is one of the accepted answers once what `ignore` names is evened out."""
    return normalize(prediction, ignore) in {normalize(answer, ignore) for answer in answers}


def with_accepted_answers(
    predictions: Sequence[str], references: Sequence[str | Sequence[str]]
) -> list[tuple[str, Sequence[str]]]:
    """Each prediction with the list of its question's accepted answers, of which a plain string is the only one.

    Raises:
        ValueError: If the two lists differ in length, or a question has no accepted answer.
    """
    if len(predictions) != len(references):
        raise ValueError(f"there are {len(predictions)} predictions for {len(references)} questions.")
    accepted = [[answers] if isinstance(answers, str) else answers for answers in references]
    for row, answers in enumerate(accepted):
        if len(answers) == 0:
            raise ValueError(f"question {row} has no accepted answer; leave such questions out of the score.")
    return list(zip(predictions, accepted, strict=True))
