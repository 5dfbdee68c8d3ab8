"""Names, places, dates and numbers in a text, by rule: no labels, no other model.

An entity is
- a run of words with a capital letter, also across the small words inside names ("University of Oxford",
  "Rio de Janeiro"), but not across a comma: "Columbus, Ohio" is two;
- a date ("3 April 1920", "April 3, 1920", "April 1920"), whole;
- any other number ("1957", "25").

An entity is called a place where it stands as places do: after "in", "at", "from", "near", "of" or "to", after
another place and a comma, or right after a date ("(26 February 1840 Columbus, Ohio"). That takes in schools and
dukedoms; it is meant to leave out most people, titles and works.

Words that merely begin a sentence ("He", "The", "Born") are no entities. Salient spans in the sense of Guu et al.
(2020, REALM, section 3.4: named entities and dates), found without their tagger.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

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
_LEADING_TO_PLACE = re.compile(r"\b(?:[Ii]n|[Aa]t|[Ff]rom|[Nn]ear|of|to)(?: the)? $")
_INNER = re.compile(rf" (?:(?:{INNER_WORDS}) ){{0,2}}")


Kind = Literal["name", "place", "date", "number"]


@dataclass(frozen=True)
class Entity:
    """A span of a text: `text[start:end]`, where `start` and `end` count characters, and its `kind`."""

    text: str
    start: int
    end: int
    kind: Kind


@lru_cache(maxsize=65_536)  # a corpus is walked through many times; finding costs more than corrupting
def find_entities(text: str) -> tuple[Entity, ...]:
    """The entities of `text` in their order, none overlapping another."""
    runs: list[list] = []  # [start, end, kind]; a name may still grow
    for piece in _PIECE.finditer(text):
        start, end = piece.span()
        if piece.lastgroup in ("date", "number"):
            runs.append([start, end, piece.lastgroup])
            continue
        word = piece.group()
        if not word[0].isupper() and not word[0].istitle():
            continue
        if runs and runs[-1][2] == "name" and _INNER.fullmatch(text, runs[-1][1], start):
            runs[-1][1] = end
        elif word.lower() not in SENTENCE_WORDS:
            runs.append([start, end, "name"])
    entities: list[Entity] = []
    for start, end, kind in runs:
        if kind == "name" and _stands_as_place(text, start, entities[-1] if entities else None):
            kind = "place"
        entities.append(Entity(text[start:end], start, end, kind))
    return tuple(entities)


def _stands_as_place(text: str, start: int, before: Entity | None) -> bool:
    if _LEADING_TO_PLACE.search(text, max(0, start - 12), start):
        return True
    if before is None:
        return False
    between = text[before.end : start]
    return (before.kind == "place" and between.replace(" ", "") == ",") or (
        before.kind in ("date", "number") and not between.strip(" ,;")
    )
