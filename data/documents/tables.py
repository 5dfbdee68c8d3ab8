"""Rows of a table as documents: JSON lines, CSV, TSV and parquet, with the line in which each begins."""

import csv
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from closedbook.data.documents.titles import title_at_head
from closedbook.data.hub_rows import json_at
from closedbook.data.tables.blocks import Block, Span, kind_of, read_blocks
from closedbook.data.text_files import HALF_CHARACTER

TEXT_COLUMN, TITLE_COLUMN = "text", "title"
_PARQUET_ROWS = 8192  # read at once

Row = tuple[int, str, str]  # line, title, text


def read_table(path: Path, title_column: str | None = None, text_column: str | None = None) -> list[Row]:
    """The documents of a table, each with its line (of a parquet file: its row), counted from 1.

    Args:
        path: a `.jsonl`, `.csv`, `.tsv` or `.parquet` file; all but the last may be compressed.
        title_column: that of the titles; by default `title` where there is one, and else a title is what
            `title_at_head` finds in the text. A row may leave its title empty.
        text_column: that of the texts; by default `text`.

    Raises:
        ValueError: naming file and line, for a column that is missing, with those that there are; for a text or
            title that is no text; for damaged lines.
        FileNotFoundError: where there is no such file.
    """
    return list(table_rows(Span(path), title_column, text_column))


def table_rows(
    span: Span,
    title_column: str | None = None,
    text_column: str | None = None,
    damaged: list[int] | None = None,
    block: Block | None = None,
) -> Iterator[Row]:
    """The documents of a part of a table, one after the other; see `read_table`.

    Args:
        span: of JSON lines any part; of other tables the whole file.
        title_column, text_column: as there.
        damaged: gets the lines of rows that cannot be read, which are then left out; without it they are errors.
        block: of JSON lines, the lines of the span that are meant; without it all of them.
    """
    path, texts, titles = span.path, text_column or TEXT_COLUMN, title_column or TITLE_COLUMN
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path (now in {Path.cwd()})")
    num_rows, some = 0, False
    for line, row in _rows(span, damaged, block):
        num_rows += 1
        text, title = row.get(texts), row.get(titles)
        if texts not in row or (title_column and title_column not in row):
            missing, flag = (texts, "text_column") if texts not in row else (title_column, "title_column")
            raise ValueError(
                f"{path}:{line} has no column {missing!r}; it has: {', '.join(row)}: name one with --{flag}"
            )
        for name, value in ((texts, text), (titles, title)):
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{path}:{line}: the column {name!r} holds {value!r:.60}, which is no text")
        if text and text.strip():
            some = True
            yield line, " ".join((title or "").split()) or title_at_head(text), text
    if not some and span == Span(path) and block is None and not damaged:
        if num_rows == 0 and not path.read_bytes().strip():
            raise ValueError(f"{path} is empty: there is nothing to load from it")
        if num_rows == 0:
            raise ValueError(f"{path} names columns, and has no row: there is nothing to load from it")
        raise ValueError(f"{path}: none of its {num_rows:,} rows has a text in the column {texts!r}")


def _rows(span: Span, damaged: list[int] | None, block: Block | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and row of a table, in order."""
    kind = kind_of(span.path)
    if kind == ".parquet":
        return _parquet(span.path, damaged)
    if kind == ".jsonl":
        blocks = read_blocks(span, skip_damaged=damaged is not None) if block is None else [block]
        return _json_lines(span.path, blocks, damaged)
    return _csv(span.path, "\t" if kind == ".tsv" else ",", damaged)


def _json_lines(
    path: Path, blocks: Iterable[Block], damaged: list[int] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    for block in blocks:
        if damaged is not None:
            damaged += block.damaged
        for line, text in enumerate(block.lines, start=block.first_line):
            if not text.strip(" "):
                continue
            try:
                row = json_at(text, f"{path}:{line}")
                if not isinstance(row, dict):
                    raise ValueError(f"{path}:{line} is no JSON object: {text[:60]!r}")
                if any(HALF_CHARACTER.search(value) for value in row.values() if isinstance(value, str)):
                    raise ValueError(
                        f"{path}:{line} holds half a surrogate pair, which is no character: repair it"
                    )
            except ValueError:
                if damaged is None:
                    raise
                damaged.append(line)
                continue
            yield line, row


def _csv(path: Path, delimiter: str, damaged: list[int] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(_lines(path, damaged), delimiter=delimiter, strict=True)
    line = 1
    try:
        names = list(reader.fieldnames or ())
        if len(set(names)) < len(names):
            raise ValueError(f"{path}:1 names a column twice: {', '.join(names)}")
        line = reader.line_num + 1
        for row in reader:
            if None in row or None in row.values():
                if damaged is None:
                    raise ValueError(
                        f"{path}:{line} has not as many fields as there are columns ({', '.join(names)}): a field "
                        f"that holds {delimiter!r} or a line break stands in double quotes"
                    )
                damaged.append(line)
            else:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        if damaged is None:
            raise ValueError(f"{path}:{line} is no CSV: {error}") from error
        damaged.append(line)  # where the next row would begin is not known


def _lines(path: Path, damaged: list[int] | None) -> Iterator[str]:
    """The lines of a file with their ends, which a quoted field may hold; of damaged ones the end alone."""
    for block in read_blocks(Span(path), skip_damaged=damaged is not None):
        if damaged is not None:
            damaged += block.damaged
        for text in block.lines:
            yield text + "\n"


def _parquet(path: Path, damaged: list[int] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row by row; of a file with a damaged group of rows, the groups around it."""
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            row = 1
            for group in range(file.num_row_groups):
                numbers, size = count(row), file.metadata.row_group(group).num_rows
                try:
                    for batch in file.iter_batches(_PARQUET_ROWS, row_groups=[group]):
                        yield from zip(numbers, batch.to_pylist(), strict=False)
                except (pa.ArrowException, OSError) as error:
                    if damaged is None:
                        raise ValueError(
                            f"{path}: rows {row:,} to {row + size - 1:,} cannot be read ({error}): make the file "
                            "again, or leave them out with --skip_damaged"
                        ) from error
                    damaged.append(row)
                row += size
    except (pa.ArrowException, OSError) as error:
        if damaged is None:
            raise ValueError(f"{path} is no parquet file: {error}") from error
        damaged.append(1)
