"""Questions as columns: collected row by row in the memory of a few rows, repeated ones found and made one.

A million questions as Python objects take a gigabyte and more. As Arrow's columns they are a file that the library
`datasets` maps into memory, in its own folder for such files, which goes when the process ends; what fits into one
block stays in memory.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from tempfile import mkstemp
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features
from datasets.fingerprint import get_temporary_cache_files_directory
from datasets.table import InMemoryTable

OnConflict = Literal["error", "first", "merge", "keep"]

BLOCK = 1 << 14  # rows that are Python objects at a time: more is no faster


@dataclass(frozen=True)
class Repeated:
    """A question that came up before with other answers.

    Attributes:
        question: as it was asked.
        line, first_line: of the file: where it came again, and where it came first.
        answers, first_answers: given in these lines.
    """

    question: str
    line: int
    first_line: int
    answers: list[str]
    first_answers: list[str]


@dataclass(frozen=True)
class Questions:
    """Questions of a source, each once.

    Attributes:
        dataset: in the order of each question's first row.
        num_rows: of the source.
        num_repeated: rows that were dropped, because an earlier one has the same question and the same answers.
        num_conflicts: rows with the question of an earlier one, and other answers.
        first_conflict: the first of these.
    """

    dataset: Dataset
    num_rows: int
    num_repeated: int
    num_conflicts: int
    first_conflict: Repeated | None


def collect_questions(
    rows: Iterable[tuple[Any, ...]], features: Features, on_conflict: OnConflict = "merge"
) -> Questions:
    """Questions as columns, and what becomes of those that come up more than once.

    Memory is that of a block of rows and 30 bytes a question, whatever their number; questions that come up again
    are looked at a group at a time.

    Args:
        rows: the number of a row or line, then what `features` names, of which the first two are `question`, a
            text, and `answers`, a list of texts.
        features: of the columns.
        on_conflict: of rows with a question of an earlier one and other answers: "first" drops them, "error", too,
            and the caller complains; "merge" adds their answers to those of the first; "keep" leaves them.
    """
    store, lines, hashes, remaining = _Store(features), [], [], iter(rows)
    is_more = True
    while is_more:
        block = _Block(features)
        is_more = block.fill(remaining)
        lines.append(block.line_numbers())
        hashes.append(block.hashes())
        store.add(block.table())
    return _resolve(store.finish(), np.concatenate(lines), np.concatenate(hashes), on_conflict)


def question_blocks(questions: Dataset, columns: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
    """Some columns of a data set, a block of rows after the other: for whoever looks at all rows of a large
    one."""
    chosen = questions.select_columns(list(columns)).with_format(None)
    for start in range(0, len(chosen), BLOCK):
        yield chosen[start : start + BLOCK]


def rows_of(questions: Dataset) -> Iterator[dict[str, Any]]:
    """The rows of a data set one by one, from blocks of it, which is many times faster."""
    for block in question_blocks(questions, questions.column_names):
        names = list(block)
        for values in zip(*block.values(), strict=True):
            yield dict(zip(names, values, strict=True))


class _Block:
    """Rows on their way into a table: as lists of texts, which the garbage collector need not look into."""

    def __init__(self, features: Features) -> None:
        self._schema = features.arrow_schema
        self._lines: list[int] = []
        self._questions: list[str] = []
        self._answers: list[str] = []  # of all rows
        self._ends: list[int] = [0]  # of each row's answers
        self._more: list[list[str]] = [[] for _ in self._schema.names[2:]]

    def fill(self, rows: Iterator[tuple[Any, ...]]) -> bool:
        """Take rows until there are enough; returns whether there may be more."""
        lines, questions, answers, ends = self._lines, self._questions, self._answers, self._ends
        for line, question, accepted, *more in islice(rows, BLOCK):
            lines.append(line)
            questions.append(question)
            answers += accepted
            ends.append(len(answers))
            for column, value in zip(self._more, more, strict=True):
                column.append(value)
        return len(lines) == BLOCK

    def line_numbers(self) -> np.ndarray:
        return np.array(self._lines, dtype=np.int64)

    def hashes(self) -> np.ndarray:
        return np.fromiter(map(hash, self._questions), dtype=np.int64, count=len(self._lines))

    def table(self) -> pa.Table:
        answers = pa.ListArray.from_arrays(pa.array(self._ends, pa.int32()), pa.array(self._answers, pa.string()))
        more = [pa.array(column, pa.string()) for column in self._more]
        return pa.table([pa.array(self._questions, pa.string()), answers, *more], schema=self._schema)


class _Store:
    """Tables, one after the other: in memory while there is one, from the second on in a file."""

    def __init__(self, features: Features) -> None:
        self._schema = features.arrow_schema
        self._first = self._schema.empty_table()
        self._path = ""
        self._writer: pa.RecordBatchStreamWriter | None = None

    def add(self, table: pa.Table) -> None:
        if not len(table):
            return
        if self._writer is None and not len(self._first):
            self._first = table
            return
        if self._writer is None:
            handle, self._path = mkstemp(suffix=".arrow", dir=get_temporary_cache_files_directory())
            os.close(handle)
            self._sink = pa.OSFile(self._path, "wb")
            self._writer = pa.ipc.new_stream(self._sink, self._schema)
            self._write(self._first)
        self._write(table)

    def _write(self, table: pa.Table) -> None:
        assert self._writer is not None, "it was made for the second table"
        try:
            self._writer.write_table(table)
        except OSError as error:  # which names no file: the disk may be full
            raise OSError(error.errno, error.strerror, self._path) from error

    def finish(self) -> Dataset:
        if self._writer is None:
            return Dataset(InMemoryTable(self._first))
        self._writer.close()
        self._sink.close()
        return Dataset.from_file(self._path)


def _resolve(dataset: Dataset, lines: np.ndarray, hashes: np.ndarray, on_conflict: OnConflict) -> Questions:
    """Drop repeated rows, and do with conflicting ones what `on_conflict` says."""
    kept = np.ones(len(lines), dtype=bool)
    merged: dict[int, list[str]] = {}
    num_repeated = num_conflicts = 0
    conflicts: list[tuple[int, Repeated]] = []
    for question, group in _of_same_question(dataset, hashes):
        places, known = [], set()  # of rows that say something new
        answers: dict[str, None] = {}
        for place, own in group:
            if frozenset(own) in known:
                kept[place] = False
                num_repeated += 1
                continue
            if places:
                num_conflicts += 1
                if len(places) == 1:
                    first = places[0]
                    found = Repeated(question, int(lines[place]), int(lines[first]), own, list(answers))
                    conflicts = [min([*conflicts, (place, found)], key=lambda pair: pair[0])]
            places.append(place)
            known.add(frozenset(own))
            answers.update(dict.fromkeys(own))
        if on_conflict != "keep":
            kept[places[1:]] = False
        if on_conflict == "merge" and len(places) > 1:
            merged[places[0]] = list(answers)
    if not kept.all():
        dataset = _without(dataset, kept, merged)
    first_conflict = conflicts[0][1] if conflicts else None
    return Questions(dataset, len(lines), num_repeated, num_conflicts, first_conflict)


def _of_same_question(dataset: Dataset, hashes: np.ndarray) -> Iterator[tuple[str, list[tuple[int, list[str]]]]]:
    """Questions that come up more than once, each with the places and answers of its rows, in their order."""
    order = np.argsort(hashes, kind="stable")
    is_next_alike = hashes[order][1:] == hashes[order][:-1]
    is_alike = np.zeros(len(order), dtype=bool)
    is_alike[1:] |= is_next_alike
    is_alike[:-1] |= is_next_alike
    again = order[is_alike]

    def rows() -> Iterator[tuple[int, int, str, list[str]]]:
        for start in range(0, len(again), BLOCK):
            places = again[start : start + BLOCK]
            block = dataset[places.tolist()]
            yield from zip(
                places.tolist(), hashes[places].tolist(), block["question"], block["answers"], strict=True
            )

    for _, group in groupby(rows(), key=lambda row: row[1]):
        by_question: dict[str, list[tuple[int, list[str]]]] = {}  # a hash may be that of two questions
        for place, _, question, answers in group:
            by_question.setdefault(question, []).append((place, answers))
        yield from ((question, found) for question, found in by_question.items() if len(found) > 1)


def _without(dataset: Dataset, kept: np.ndarray, merged: dict[int, list[str]]) -> Dataset:
    """The rows that are kept, with more answers where they were merged."""
    store = _Store(dataset.features)
    column = dataset.column_names.index("answers")
    for start in range(0, len(dataset), BLOCK):
        table = dataset.data.table.slice(start, BLOCK)
        here = [place for place in range(start, start + len(table)) if place in merged]
        if here:
            answers = table.column(column).to_pylist()
            for place in here:
                answers[place - start] = merged[place]
            field = table.schema.field(column)
            table = table.set_column(column, field, pa.array(answers, type=field.type))
        store.add(table.filter(pa.array(kept[start : start + len(table)])))
    return store.finish()
