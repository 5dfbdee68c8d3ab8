"""Names, places, dates and numbers in a text, by rule: no labels, no other model.

An entity is
- a run of words with a capital letter, also across the small words inside names ("University of Oxford",
  "Rio de Janeiro"), but not across a comma: "Columbus, Ohio" is two;
- a date ("3 April 1920", "April 3, 1920", "April 1920"), whole;
- any other number ("1957", "25").

Words that merely begin a sentence ("He", "The", "Born") are no entities. Salient spans in the sense of Guu et al.
(2020, REALM, section 4.3: named entities and dates), found without their tagger.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
INNER_WORDS = "of|the|de|la|le|les|du|des|del|della|der|den|di|da|do|dos|das|van|von|zu|zur|y|e|en|al|el|upon|on"
# Words that get their capital from the start of a sentence, not from being a name.
SENTENCE_WORDS = frozenset(
    word
    for line in (
        "a after all also although among an and as at because before born both but by during each educated for",
        "from following he her here his however i if in it its later many most no not of on one originally other",
        "raised she since so some such that the their there these they this those through to together under until",
        "upon was we were when where which while who with",
    )
    for word in line.split()
)
_LETTER = r"[^\W\d_]"
_WORD = rf"{_LETTER}(?:[\w'’`\-]*\w)?"  # hyphens and apostrophes inside, not at the end
_INITIAL = rf"(?:{_LETTER}\.)+(?:{_LETTER}\.?)?(?!\w)"  # "J.", "U.S."
_DATE = rf"(?:\d{{1,2}} (?:{MONTHS})|(?:{MONTHS}) \d{{1,2}}(?=,? \d{{4}}|\b))(?:,? \d{{4}})?|(?:{MONTHS}) \d{{4}}"
_NUMBER = r"\d+(?:[.,]\d+)*"
_PIECE = re.compile(rf"(?P<date>\b(?:{_DATE})\b)|(?P<initial>{_INITIAL})|(?P<word>{_WORD})|(?P<number>{_NUMBER})")
_INNER = re.compile(rf" (?:(?:{INNER_WORDS}) ){{0,2}}")


@dataclass(frozen=True)
class Entity:
    """A span of a text: `text[start:end]`, where `start` and `end` count characters."""

    text: str
    start: int
    end: int


@lru_cache(maxsize=65_536)  # a corpus is walked through many times; finding costs more than corrupting
def find_entities(text: str) -> tuple[Entity, ...]:
    """The entities of `text` in their order, none overlapping another."""
    runs: list[list] = []  # [start, end, whether further names may join]
    for piece in _PIECE.finditer(text):
        start, end = piece.span()
        if piece.lastgroup in ("date", "number"):
            runs.append([start, end, False])
            continue
        word = piece.group()
        if not word[0].isupper() and not word[0].istitle():
            continue
        if runs and runs[-1][2] and _INNER.fullmatch(text, runs[-1][1], start):
            runs[-1][1] = end
        elif word.lower() not in SENTENCE_WORDS:
            runs.append([start, end, True])
    return tuple(Entity(text[start:end], start, end) for start, end, _ in runs)
