"""From files to documents: which parts of which files are read how, some thousand documents at a time."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from closedbook.data.documents.markdown import read_markdown
from closedbook.data.documents.tables import read_table, table_rows
from closedbook.data.documents.titles import title_at_head, title_of_file
from closedbook.data.documents.walk import MARKDOWN, TABLES, readable
from closedbook.data.tables.blocks import (
    Scan,
    Span,
    check_unchanged,
    is_compressed,
    kind_of,
    read_blocks,
    scan_file,
)
from closedbook.data.tables.kept import Batch
from closedbook.data.text_files import read_file

PIECE_BYTES = 64 << 20  # of files, read by one process and kept as one part
_BATCH_ROWS = 8192
Found = tuple[int, str, str]  # line in which it begins, title, text
Piece = Sequence[tuple[Span, os.stat_result]]  # each span with the state that its file has to have


@dataclass(frozen=True)
class Reader:
    """How the files of a folder, or one file, become documents; travels to other processes.

    Attributes:
        folder: that the files' paths are below.
        is_alone: whether it is one file that was named, which of text is read by its lines.
        unit: see `load_documents`.
        title_column, text_column: of tables.
        skip_damaged: leave out lines and rows that cannot be read, and name them in the batches.
    """

    folder: Path
    is_alone: bool
    unit: str = "auto"
    title_column: str | None = None
    text_column: str | None = None
    skip_damaged: bool = False

    def __call__(self, piece: "Piece") -> Iterator[Batch]:
        """The documents of some spans, in order.

        Raises:
            ValueError: as `read` does, and if a file is another by now than the one that was looked at.
        """
        for span, state in piece:
            yield from self.read(span)
            check_unchanged(span.path, state, span.path.stat())

    def read(self, span: Span) -> Iterator[Batch]:
        """The documents of a span.

        Raises:
            ValueError: naming file and line, for what cannot be read and is not to be left out.
        """
        path = span.path
        damaged: list[int] | None = [] if self.skip_damaged else None
        if not self.can_be_cut(path):
            found = self._rows(path, damaged)
            while some := list(islice(found, _BATCH_ROWS)):
                yield self._batch(path, *_columns(some), damaged)
            if damaged:
                yield self._batch(path, [], [], [], damaged)
            return
        has_some = False
        for block in read_blocks(span, skip_damaged=self.skip_damaged):
            if self.by_lines(path):
                if damaged is not None:
                    damaged += block.damaged
                # no tuple a line: a million of them keep the garbage collector busier than the reading
                places = [place for place, line in enumerate(block.lines) if line.strip(" ")]
                texts = block.lines
                if len(places) < len(texts):
                    texts = [texts[place] for place in places]
                lines = [block.first_line + place for place in places]
                batch = self._batch(path, lines, [""] * len(texts), texts, damaged)
            else:
                rows = list(table_rows(span, self.title_column, self.text_column, damaged, block))
                batch = self._batch(path, *_columns(rows), damaged)
            has_some = has_some or bool(batch.texts or batch.damaged)
            yield replace(batch, behind=(block.next_byte, block.first_line + len(block)))
        if not has_some and span == Span(path) and not self.by_lines(path):
            read_table(path, self.title_column, self.text_column)  # which says what is missing

    def by_lines(self, path: Path) -> bool:
        """Whether a document of this file is one of its lines, and the file may be cut between any two."""
        kind = kind_of(path)
        if kind in TABLES or kind in MARKDOWN:
            return False
        return self.unit == "line" or (self.unit == "auto" and self.is_alone)

    def can_be_cut(self, path: Path) -> bool:
        """Whether parts of the file can be read apart from each other."""
        return self.by_lines(path) or kind_of(path) == ".jsonl"

    def scan(self, path: Path) -> Scan:
        """The checksum of a file, and the spans of it that can be read apart from each other."""
        return scan_file(path, PIECE_BYTES if self.can_be_cut(path) else None)

    def _rows(self, path: Path, damaged: list[int] | None) -> Iterator[Found]:
        """The documents of a file that is read as a whole."""
        kind = kind_of(path)
        if kind in TABLES:
            yield from table_rows(Span(path), self.title_column, self.text_column, damaged)
            return
        try:
            text = read_whole(path)
        except ValueError:
            if damaged is None:
                raise
            damaged.append(1)
            return
        file = self._named(path)
        file = file.removesuffix(path.suffix) if is_compressed(path) else file
        if kind in MARKDOWN:
            yield from _markdown(text, file, "heading" if self.unit == "auto" else self.unit)
        else:
            line = 1 + len(text) - len(text.lstrip("\n"))
            yield line, title_at_head(text) or title_of_file(file), text.strip("\n")

    def _batch(
        self,
        path: Path,
        lines: Sequence[int],
        titles: Sequence[str],
        texts: Sequence[str],
        damaged: list[int] | None,
    ) -> Batch:
        """Some documents as a batch, with what could not be read since the last one."""
        file = self._named(path)
        places = tuple(f"{path}:{line}" for line in damaged or ())
        if damaged:
            damaged.clear()
        return Batch(titles, texts, [f"{file}:{line}" for line in lines], places)

    def _named(self, path: Path) -> str:
        """The file as it is named in the documents' places."""
        return readable(path.relative_to(self.folder))


def _columns(rows: list[Found]) -> tuple[Sequence[int], Sequence[str], Sequence[str]]:
    """Lines, titles and texts."""
    lines, titles, texts = zip(*rows, strict=True) if rows else ((), (), ())
    return lines, titles, texts


def read_whole(path: Path) -> str:
    """The characters of a text file that is one document, or one page of several; as `read_file`, decompressed.

    Raises:
        ValueError: as `read_file` does.
    """
    if not is_compressed(path):
        return read_file(path)
    text = "\n".join(line for block in read_blocks(Span(path)) for line in block.lines)
    if not text.strip():
        raise ValueError(f"{path} is empty: there is nothing to load from it")
    return text


def pieces_of(spans: Piece, sizes: Sequence[int]) -> list[Piece]:
    """Spans put together to pieces of about one size, in their order."""
    pieces: list[Piece] = []
    piece: list[tuple[Span, os.stat_result]] = []
    filled = 0
    for span, size in zip(spans, sizes, strict=True):
        if piece and filled + size > PIECE_BYTES:
            pieces.append(tuple(piece))
            piece, filled = [], 0
        piece.append(span)
        filled += size
    return [*pieces, tuple(piece)] if piece else pieces


def _markdown(text: str, file: str, unit: str) -> Iterator[Found]:
    title, sections = read_markdown(text, title_of_file(file))
    if unit == "line":
        for section in sections:
            for block in section.blocks:
                yield from ((line, section.title, part) for line, part in block if part.strip())
        return
    if unit == "heading":
        yield from ((part.line, part.title, f"{part.title}\n\n{part.body}") for part in sections if part.blocks)
        return
    parts = [f"{part.heading}\n\n{part.body}".strip("\n") for part in sections]
    body = "\n\n".join(parts)
    begins = body == title or body.startswith(f"{title}\n")
    if any(part.blocks for part in sections):
        yield 1, title, body if begins else f"{title}\n\n{body}"
