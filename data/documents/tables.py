"""Rows of a table as documents: JSON lines, CSV, TSV and parquet, with the line in which each begins."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset

from closedbook.data.documents.titles import title_at_head
from closedbook.data.hub_rows import json_at
from closedbook.data.text_files import HALF_CHARACTER, numbered_lines, read_file

TEXT_COLUMN, TITLE_COLUMN = "text", "title"

Row = tuple[int, str, str]  # line, title, text


def read_table(path: Path, title_column: str | None = None, text_column: str | None = None) -> list[Row]:
    """The documents of a table, each with its line (of a parquet file: its row), counted from 1.

    Args:
        path: a `.jsonl`, `.csv`, `.tsv` or `.parquet` file.
        title_column: that of the titles; by default `title` where there is one, and else a title is what
            `title_at_head` finds in the text. A row may leave its title empty.
        text_column: that of the texts; by default `text`.

    Raises:
        ValueError: naming file and line, for a column that is missing, with those that there are; for a text or
            title that is no text; for damaged lines.
        FileNotFoundError: where there is no such file.
    """
    texts = text_column or TEXT_COLUMN
    found: list[Row] = []
    columns: dict[str, None] = {}
    num_rows = 0
    for line, row in _rows(path):
        num_rows += 1
        columns |= dict.fromkeys(row)
        text, title = row.get(texts), row.get(title_column or TITLE_COLUMN)
        if texts not in row or (title_column and title_column not in row):
            missing, flag = (texts, "text_column") if texts not in row else (title_column, "title_column")
            raise ValueError(
                f"{path}:{line} has no column {missing!r}; it has: {', '.join(row)}: name one with --{flag}"
            )
        for name, value in ((texts, text), (title_column or TITLE_COLUMN, title)):
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{path}:{line}: the column {name!r} holds {value!r:.60}, which is no text")
        if text and text.strip():
            found.append((line, " ".join((title or "").split()) or title_at_head(text), text))
    if not found:
        raise ValueError(f"{path}: none of its {num_rows} rows has a text in the column {texts!r}")
    return found


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line and row of a table, in order."""
    if path.suffix.lower() == ".parquet":
        yield from enumerate(_parquet(path), start=1)
    elif path.suffix.lower() == ".jsonl":
        for line, text in numbered_lines(path):
            row = json_at(text, f"{path}:{line}")
            if not isinstance(row, dict):
                raise ValueError(f"{path}:{line} is no JSON object: {text[:60]!r}")
            if any(HALF_CHARACTER.search(value) for value in row.values() if isinstance(value, str)):
                raise ValueError(f"{path}:{line} holds half a surrogate pair, which is no character: repair it")
            yield line, row
    else:
        yield from _csv(path, "\t" if path.suffix.lower() == ".tsv" else ",")


def _csv(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_file(path), newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        names = list(reader.fieldnames or ())
        if len(set(names)) < len(names):
            raise ValueError(f"{path}:1 names a column twice: {', '.join(names)}")
        line = reader.line_num + 1
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(
                    f"{path}:{line} has not as many fields as there are columns ({', '.join(names)}): a field "
                    f"that holds {delimiter!r} or a line break stands in double quotes"
                )
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{line} is no CSV: {error}") from error


def _parquet(path: Path) -> Dataset:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path (now in {Path.cwd()})")
    try:
        return Dataset.from_parquet(str(path))
    except Exception as error:  # what the reader raises for a damaged file has no common kind
        raise ValueError(f"{path} is no parquet file: {error}") from error
