"""Records of a source that is read in its order, over and over, and never held.

A mixture asks a stream for its records by number, as it does a table. The numbers rise, so a stream holds one
stretch of records and reads on when the next one is asked for. The mixture shuffles each stretch; otherwise
records come in the order of the source. A run that goes on asks for a later stretch first: the stream is
opened where the bookmark of a checkpoint says.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from closedbook.modeling.tokenization_char import MASK_CHARACTER, PAD_CHARACTER

STRETCH = 4096  # records that are held, and shuffled among themselves
_KEPT = 16  # bookmarks

Record = dict[str, Any]
Bookmark = dict[str, Any]  # of a source: what JSON can hold
# Where a record is read from: how often the source was begun before, its bookmark, and records behind that.
_Position = tuple[int, Bookmark | None, int]


class Source(ABC):
    """What gives records in an order of its own, and can be opened where it was left.

    Attributes:
        name: for messages.
        forbidden: what no title and no text may hold, because a model would read structure in it.
    """

    name: str
    forbidden: tuple[str, ...] = (PAD_CHARACTER, MASK_CHARACTER, "\0")

    def check(self, records: list[Record]) -> None:
        """Refuse records that hold what is forbidden.

        Raises:
            ValueError: naming the document.
        """
        pattern = re.compile("|".join(map(re.escape, self.forbidden)))
        for record in records:
            found = pattern.search(record["text"]) or pattern.search(record["title"])
            if found is not None:
                place = record.get("source") or f"the document that begins {record['text'][:60]!r}"
                code = f" (U+{ord(found[0]):04X})" if len(found[0]) == 1 else ""
                raise ValueError(
                    f"{self.name}: {place} holds {found[0]!r}{code}, which the model reads as a special token: "
                    "replace it by other characters"
                )

    @abstractmethod
    def read(self, bookmark: Bookmark | None) -> Iterator[tuple[list[Record], Bookmark]]:
        """Some records at a time, each time with the bookmark behind them: from one on, or from the begin."""

    @abstractmethod
    def describe(self) -> Any:
        """What it is, as JSON can say it: a run that goes on has to have the same."""


class Stream:
    """A source, repeated without end, in numbered stretches of `STRETCH` records.

    Args:
        source: of at least one record; one of none is an error when it is read.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._begin({})

    def stretch(self, number: int) -> list[Record]:
        """The records of a stretch, in the order of the source.

        Raises:
            ValueError: for a source without records; and what the source raises where it is damaged.
        """
        if number != self._held_number:
            if self._chunks is None or number < self._next:
                self._open(max(start for start in self._positions if start <= number))
            while self._next <= number:
                self._held = self._read_on()
            self._held_number = number
        return self._held

    def first(self) -> list[Record]:
        """The records at its begin, at most a stretch, none twice.

        Raises:
            ValueError: for a source without records.
        """
        found: list[Record] = []
        for records, _ in self.source.read(None):
            found += records
            if len(found) >= STRETCH:
                break
        if not found:
            raise ValueError(self._is_empty())
        self.source.check(found[:STRETCH])
        return found[:STRETCH]

    def bookmark(self, number: int) -> dict[str, Any]:
        """From where a stretch is read, for a checkpoint. Reads up to there where that is not known yet."""
        if number not in self._positions:
            self.stretch(number - 1)
        turn, bookmark, behind = self._positions[number]
        return {"stretch": number, "turn": turn, "bookmark": bookmark, "behind": behind}

    def go_on(self, kept: dict[str, Any]) -> None:
        """Open it where the bookmark of a checkpoint says."""
        self._begin({kept["stretch"]: (kept["turn"], kept["bookmark"], kept["behind"])})

    def _begin(self, positions: dict[int, _Position]) -> None:
        self._positions = {0: (0, None, 0)} | positions  # stretch -> where it begins
        self._chunks: Iterator[tuple[list[Record], _Position]] | None = None
        self._next = 0  # stretch to be read next
        self._held_number, self._held = -1, []

    def _open(self, number: int) -> None:
        self._chunks, self._next = self._read(*self._positions[number]), number
        self._left: list[Record] = []
        self._position = self._positions[number]  # of the first record that is left

    def _read_on(self) -> list[Record]:
        assert self._chunks is not None
        found: list[Record] = []
        while len(found) < STRETCH:
            if not self._left:
                self._left, self._position = next(self._chunks)
            taken = self._left[: STRETCH - len(found)]
            found, self._left = found + taken, self._left[len(taken) :]
            turn, bookmark, behind = self._position
            self._position = (turn, bookmark, behind + len(taken))
        self.source.check(found)
        self._next += 1
        self._positions[self._next] = self._position
        for old in sorted(self._positions)[1:-_KEPT]:
            del self._positions[old]
        return found

    def _read(self, turn: int, bookmark: Bookmark | None, behind: int) -> Iterator[tuple[list[Record], _Position]]:
        while True:
            is_whole, some = bookmark is None, False
            for records, after in self.source.read(bookmark):
                some = some or bool(records)
                yield records[behind:], (turn, bookmark, behind)
                behind, bookmark = max(0, behind - len(records)), after
            if is_whole and not some:
                raise ValueError(self._is_empty())
            turn, bookmark, behind = turn + 1, None, 0

    def _is_empty(self) -> str:
        return f"{self.source.name} holds no documents: there is nothing to stream"

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__ | {"_chunks": None, "_next": 0, "_held_number": -1, "_held": []}
        return {name: value for name, value in state.items() if name not in ("_left", "_position")}
