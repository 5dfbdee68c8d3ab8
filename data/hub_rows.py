"""Rows of published data sets: from the Hub, or from a local copy in the same columns.

A source is one text, so that it can stand in a flag or a recipe: a file (`.jsonl`, `.json`, `.tsv`, `.csv`,
`.parquet`), a folder that `datasets.load_dataset` opens, `hf://...` paths of parquet files, or the name of a
data set on the Hub. Options of the loader may follow a question mark, as in a web address:

    akariasai/PopQA?relation=place of birth
    mandarjoshi/trivia_qa?split=train
"""

import csv
import inspect
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from datasets import Dataset, load_dataset

from closedbook.data.question_columns import rows_of
from closedbook.data.text_files import parse_json, read_file, stream_lines, stream_text

FILE_TYPES = (".jsonl", ".json", ".tsv", ".csv", ".parquet")
csv.field_size_limit(2**24)  # characters; the default of 131,072 is less than some lists of aliases


def with_options(load: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """The loader for sources that may carry options: `name?option=value&option=value`.

    A file that has such a name itself is read as it is. Raises `ValueError` for an option that the loader lacks.
    """
    parameters = inspect.signature(load).parameters.values()
    kinds = {item.name: type(item.default) for item in parameters if item.kind is item.KEYWORD_ONLY}
    known = list(kinds)

    @wraps(load)
    def load_source(source: str | Path, **options: Any) -> Dataset:
        name, _, query = str(source).partition("?")
        if not query or Path(source).exists():
            return load(source, **options)
        for option, value in parse_qsl(query, keep_blank_values=True):
            if option not in known or option == "with_answers":
                listed = ", ".join(other for other in known if other != "with_answers")
                raise ValueError(f"unknown option {option!r} in {str(source)!r}; known here: {listed}")
            options[option] = _as_said(option, value, kinds[option])
        return load(name, **options)

    return load_source


def _as_said(option: str, value: str, kind: type) -> Any:
    """The value of an option, which a source can only write: of a switch True or False, not a text that is
    true."""
    if kind is not bool:
        return value
    said = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(value.lower())
    if said is None:
        raise ValueError(f"{option}={value}: the option is a switch, say true or false")
    return said


def read_rows(
    source: str | Path,
    columns: Sequence[str],
    *,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
) -> Iterator[dict]:
    """The rows of a source, each a dict with at least `columns`, as they are read.

    Args:
        source: see the top of this file.
        columns: those that have to be there.
        config, split, revision: of a data set on the Hub, and the split of a folder that has several; a file is
            read whole.

    Raises:
        FileNotFoundError: where a path with the ending of a file names none.
        ValueError: for a missing column or split (with those that there are), a file of another type or without
            rows, or a data set on the Hub that is a script. What `load_dataset` raises besides passes through.
    """
    path = Path(source)
    if path.is_file() and path.suffix != ".parquet":
        return _with_columns(path, columns)
    dataset = _load_dataset(source, config, split, revision)
    _check_columns(source, columns, dataset.column_names)
    return rows_of(dataset.select_columns(list(columns)))


def _with_columns(path: Path, columns: Sequence[str]) -> Iterator[dict]:
    """The rows of a file as they come; a column has to be in every one of them.

    Raises:
        ValueError: for a row without a column, or a file without it, with those that there are.
    """
    for number, row in enumerate(_read_file(path), start=1):
        if missing := [name for name in columns if name not in row]:
            _check_columns(path, columns, dict.fromkeys(name for each in _read_file(path) for name in each))
            raise ValueError(
                f"{path}: row {number} has no {', '.join(map(repr, missing))}: complete it, or leave it out"
            )
        yield row


def _check_columns(source: str | Path, columns: Sequence[str], found: Collection[str]) -> None:
    missing = [name for name in columns if name not in found]
    if missing:
        raise ValueError(f"{source} has no column {', '.join(map(repr, missing))}; it has: {', '.join(found)}")


def _load_dataset(source: str | Path, config: str | None, split: str, revision: str | None) -> Dataset:
    path, name = Path(source), str(source)
    if path.is_file() or name.startswith("hf://"):
        return load_dataset("parquet", data_files=name, split="train")
    if path.is_dir():
        splits = load_dataset(name)
        if split not in splits and len(splits) > 1:
            raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(splits)}")
        return splits[split] if split in splits else next(iter(splits.values()))
    if path.suffix in FILE_TYPES:
        raise FileNotFoundError(f"{source}: there is no such file; check the path (now in {Path.cwd()})")
    try:
        return load_dataset(name, config, split=split, revision=revision)
    except RuntimeError as error:
        if "script" not in str(error):
            raise
        raise ValueError(
            f"{name} is a script, which the library `datasets` no longer runs. Read the Hub's parquet copy, where "
            f"there is one: hf://datasets/{name}@refs%2Fconvert%2Fparquet/{config or 'default'}/{split}/*.parquet "
            f"or give a file ({', '.join(FILE_TYPES)}) with its columns"
        ) from error


def _read_file(path: Path) -> Iterator[dict]:
    """The rows of a file, one after the other; a `.json` file, which is one value, is read whole."""
    if path.suffix in (".tsv", ".csv"):
        rows = _read_table(path)
    elif path.suffix == ".jsonl":
        rows = (json_at(line, f"{path}:{number}") for number, line in stream_lines(path))
    elif path.suffix == ".json":
        content = json_at(read_file(path), str(path))
        if isinstance(content, dict) and isinstance(content.get("Data"), list):  # TriviaQA's own archive
            content = content["Data"]
        rows = iter(content if isinstance(content, list) else [content] * (not isinstance(content, dict)))
    else:
        raise ValueError(f"{path} is of no type that can be read: {', '.join(FILE_TYPES)}")
    is_empty = True
    for row in rows:
        if not isinstance(row, dict):
            break
        is_empty = False
        yield row
    else:
        if not is_empty:
            return
    raise ValueError(
        f"{path} does not hold a list of JSON objects, or none at all: check that it is the file you meant"
    )


def _read_table(path: Path) -> Iterator[dict]:
    rows = csv.DictReader(stream_text(path), delimiter="\t" if path.suffix == ".tsv" else ",")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise ValueError(f"{path}: row {number} has not as many fields as there are columns")
        yield row


def json_at(text: str, where: str) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: naming the place; `where` is the file, or the file and its line.
    """
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        line = f":{error.lineno}" if "\n" in text else ""
        raise ValueError(
            f"{where}{line}: not JSON ({error.msg}, column {error.colno}): repair the file"
        ) from error
    except ValueError as error:  # a key that is given twice
        raise ValueError(f"{where}: {error}") from error
