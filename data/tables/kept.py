"""Tables of documents kept on disk: made once from files, known by what the files hold, read where they lie.

A table is a folder of parts (Arrow files) in the cache of `datasets`, and one file that says what is in it.
Its name is a checksum of everything that it was made from, so nothing ever has to be made anew but what has
changed. A part appears whole or not at all: whoever is killed meanwhile finds the parts that were finished. A
table is made by as many processes as there are processors.
"""

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, concatenate_datasets

FORMAT = 1  # of tables; another makes all of them anew
ABOUT = "table.json"
_BATCH_ROWS = 8192
_ROOM = 1.3  # bytes on disk for a byte of text, line numbers and offsets included
_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Batch:
    """Some rows of a table in the making.

    Attributes:
        titles, texts, sources: a value a row.
        damaged: places that were left out because they could not be read.
        behind: the byte and the line at which reading goes on behind these rows; None where it begins anew.
    """

    titles: Sequence[str]
    texts: Sequence[str]
    sources: Sequence[str]
    damaged: tuple[str, ...] = ()
    behind: tuple[int, int] | None = None


@dataclass(frozen=True)
class About:
    """What is in a table, or in a part of it.

    Attributes:
        documents: rows.
        characters: of all texts.
        alphabet: every character of titles and texts, in the order of code points.
        sha256: of what the table was made from and how; of a part empty.
        damaged: how many places of the files were left out because they could not be read.
        examples: the first of these places.
    """

    documents: int
    characters: int
    alphabet: str
    sha256: str = ""
    damaged: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table that lies on disk.

    Attributes:
        folder: where.
        about: what is in it.
    """

    folder: Path
    about: About

    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.arrow"))

    def dataset(self) -> Dataset:
        """The table as a data set, memory-mapped."""
        return concatenate_datasets([Dataset.from_file(str(path)) for path in self.parts()])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Its rows in order, some thousand at a time.

        The files are read, not mapped: every page of a mapped file that was touched counts as memory of this
            process.
        """
        for path in self.parts():
            with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
                yield from stream


def table_of(dataset: Dataset) -> Table | None:
    """The kept table that a data set is, as a whole and in its order; None for any other data set."""
    folders = {Path(each["filename"]).parent for each in dataset.cache_files}
    if len(folders) != 1 or dataset._indices is not None:
        return None
    (folder,) = folders
    if not (folder / ABOUT).is_file():
        return None
    table = Table(folder, _read_about(folder / ABOUT))
    return table if table.about.documents == len(dataset) else None


def batches_of(dataset: Dataset) -> Iterator[pa.RecordBatch]:
    """The rows of any data set in order, some thousand at a time."""
    table = table_of(dataset)
    if table is not None:
        yield from table.batches()
        return
    for batch in dataset.with_format("arrow").iter(_BATCH_ROWS):
        yield from batch.to_batches()


def about_of(dataset: Dataset) -> About:
    """What is in a data set with `title` and `text`: read off a kept table, counted of any other."""
    table = table_of(dataset)
    if table is not None:
        return table.about
    tally = Tally()
    for batch in batches_of(dataset):
        tally.add(batch.column("title").to_pylist(), batch.column("text").to_pylist())
    return tally.about()


def keep_table(
    recipe: object,
    pieces: Sequence[Any],
    read: Callable[[Any], Iterable[Batch]],
    features: Features,
    size: int,
) -> Table:
    """The table of what `read` makes of `pieces`, made where there is none yet.

    Args:
        recipe: all that its rows depend on, as JSON can say it: the files' checksums, and how they are read.
        pieces: what one part is made of, each; in the order of the rows.
        read: from a piece to its rows.
        features: strings: `title`, `text`, `source`.
        size: bytes of the files, from which it is told beforehand whether the disk has room.

    Raises:
        ValueError: for a disk without room, naming it; and what `read` raises, of the first piece that does.
    """
    described = json.dumps([FORMAT, recipe], sort_keys=True, default=str)
    key = hashlib.sha256(described.encode()).hexdigest()
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "closedbook" / key[:32]
    if (folder / ABOUT).is_file():
        return Table(folder, _read_about(folder / ABOUT))
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(len(pieces)) if not _about_part(folder, number).is_file()]
    needed, free = int(_ROOM * size * len(missing) / len(pieces)), shutil.disk_usage(folder).free
    if free < needed:
        raise ValueError(
            _without_room(folder, f"it has {free >> 20:,} MiB, and about {needed >> 20:,} are needed")
        )
    try:
        _make_parts(folder, missing, pieces, read, features)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ValueError(_without_room(folder, "it is full now")) from error
    parts = [_read_about(_about_part(folder, number)) for number in range(len(pieces))]
    examples = tuple(place for part in parts for place in part.examples)[:3]
    about = About(
        sum(part.documents for part in parts),
        sum(part.characters for part in parts),
        "".join(sorted(set("").union(*(part.alphabet for part in parts)))),
        key,
        sum(part.damaged for part in parts),
        examples,
    )
    _write(folder / ABOUT, json.dumps(asdict(about)).encode())
    return Table(folder, about)


def _without_room(folder: Path, why: str) -> str:
    return (
        f"no room for the documents' table in {folder.parent} ({why}): set HF_DATASETS_CACHE to a folder on "
        "another disk; what is finished is kept"
    )


def _make_parts(
    folder: Path,
    missing: Sequence[int],
    pieces: Sequence[Any],
    read: Callable[[Any], Iterable[Batch]],
    features: Features,
) -> None:
    """Make the parts with these numbers, several at a time where the system can fork."""
    jobs = [(folder, number, pieces[number], read, features) for number in missing]
    processes = min(len(jobs), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    if processes < 2:
        for job in jobs:
            _make_part(*job)
        return
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        # in order, so that the first damaged place is named, whoever finds one first
        for outcome in [pool.apply_async(_make_part, job) for job in jobs]:
            outcome.get()


def _make_part(
    folder: Path, number: int, piece: Any, read: Callable[[Any], Iterable[Batch]], features: Features
) -> None:
    """Write one part, and what is in it."""
    schema = pa.schema({name: pa.string() for name in features}).with_metadata(features.arrow_schema.metadata)
    tally = Tally()
    path = folder / f"part-{number:06}.arrow"
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        with pa.OSFile(str(unfinished), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
            for batch in read(piece):
                tally.add(batch.titles, batch.texts, batch.damaged)
                columns = [pa.array(column, pa.string()) for column in (batch.titles, batch.texts, batch.sources)]
                for start in range(0, len(batch.texts), _BATCH_ROWS):
                    cut = [column.slice(start, _BATCH_ROWS) for column in columns]
                    stream.write_batch(pa.record_batch(cut, schema=schema))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _write(_about_part(folder, number), json.dumps(asdict(tally.about())).encode())


def _about_part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06}.json"


def _write(path: Path, content: bytes) -> None:
    """Write a small file whole; two that make the same table write the same."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read_about(path: Path) -> About:
    content = json.loads(path.read_text(encoding="utf-8"))
    return About(**content | {"examples": tuple(content["examples"])})


class Tally:
    """Counts documents as they go by."""

    def __init__(self) -> None:
        self.documents = self.characters = self.damaged = 0
        self.examples: list[str] = []
        self._seen = np.zeros(_CODE_POINTS, dtype=bool)

    def add(self, titles: Sequence[str], texts: Sequence[str], damaged: Sequence[str] = ()) -> None:
        """Count some more."""
        self.documents += len(texts)
        self.damaged += len(damaged)
        self.examples += damaged[: 3 - len(self.examples)]
        for column in (titles, texts):
            joined = "".join(column)
            if column is texts:
                self.characters += len(joined)
            # four bytes a character: a set of Python's takes ten times as long
            self._seen[np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)] = True

    def about(self) -> About:
        alphabet = "".join(map(chr, np.flatnonzero(self._seen).tolist()))
        return About(
            self.documents, self.characters, alphabet, damaged=self.damaged, examples=tuple(self.examples)
        )
