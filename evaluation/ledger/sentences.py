"""Sentences of a document with their places: of prose as of Markdown, so that each can be found again in its file.

A text is cut at blank lines, headings, list entries, table rows and fenced code first, because no sentence runs
across them, and then at full stops, question and exclamation marks before a capital letter or a digit. A full stop
after an initial ("J. Walker") or a usual abbreviation ("Dr. Walker") ends nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"\s*(?:```|~~~)")
_HEADING = re.compile(r"\s*#{1,6}\s")
_ENTRY = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_ROW = re.compile(r"\s*\|")
_END = re.compile(r"[.!?][\"'”’)\]*_]*(?=\s+[\"'“‘(\[*_]*[^\W_a-zß-öø-ÿ])")
_NO_END = re.compile(
    r"(?:\b[^\W\d_]|\b(?:Capt|Col|Dr|Fr|Gen|Lt|Maj|Mr|Mrs|Ms|Prof|Rev|Sgt|St|Ste|Jr|Sr|No|Nr|vs|approx|ca|cf|etc|Inc"
    r"|Ltd|Co))\.$"
)


@dataclass(frozen=True)
class Sentence:
    """`text[start:end]` of a document, and how many line breaks stand before it."""

    text: str
    start: int
    line: int


def sentences(text: str) -> list[Sentence]:
    """The sentences of a document in their order, without headings, tables and code."""
    found = []
    line = counted = 0
    for start, end in _blocks(text):
        for first, last in _cut(text, start, end):
            line, counted = line + text.count("\n", counted, first), first
            found.append(Sentence(text[first:last], first, line))
    return found


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Stretches across which no sentence runs, marks of list entries left out."""
    start = end = position = 0
    is_code = False
    for line in text.splitlines(keepends=True):
        fence = bool(_FENCE.match(line))
        entry = _ENTRY.match(line)
        apart = is_code or fence or not line.strip() or _HEADING.match(line) or _ROW.match(line)
        if apart or entry:
            yield from [(start, end)] if end > start else []
            start = end = position + len(line)
        if entry and not apart:
            start = position + entry.end()
        if not apart:
            end = position + len(line)
        is_code ^= fence
        position += len(line)
    yield from [(start, end)] if end > start else []


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for stop in [*(match.end() for match in _END.finditer(text, start, end)), end]:
        piece = text[start:stop]
        if stop < end and _NO_END.search(piece.rstrip("\"'”’)]*_")):
            continue
        first = start + len(piece) - len(piece.lstrip())
        last = first + len(piece.strip())
        if last > first:
            yield first, last
        start = stop
