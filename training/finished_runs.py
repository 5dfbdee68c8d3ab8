"""Finished runs are not repeated: one law, and the places where commands keep their runs.

A run is finished if and only if its record was written, in one step and last of all, together with the description
of all that shapes it. Hence:

* A record of another description is refused before anything is run. The message names the file, everything that
  differs, and what to do: use another folder, or move the file away.
* A run that was broken off left no record, or one without its description. Its stages go on from
  their last good checkpoints, or begin again where there is none; until then it counts nowhere.
* A damaged record is named with its line. It is not taken for a run that was broken off, nor made again unasked.

A description is JSON-ready, and compared whole: what only one of the two names differs, too. Of the four kinds of
places a `RunFolder` holds one run, a `RunsFile` many of them, each file of `ArmFiles` one arm of a sweep, and a
`GrowingFile` the rows of one run that is so long that it keeps what it has.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from closedbook.evaluation.files import naming, read_json_object, write_json_atomic, write_jsonl_atomic
from closedbook.evaluation.results import where_it_is
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run
from closedbook.training.keeping.checkpoints import last_good_checkpoint

DESCRIPTION_FILE = "budget.json"  # in a run's folder, before its first stage
SWEEP_FILE = "sweep.json"  # in a sweep's folder, before its first arm
_ABSENT = object()  # the value of what a description does not name


def digest(described: Any, digits: int = 8) -> str:
    """The first digits of a hash of something JSON-ready: for the names of folders, and instead of long lists."""
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:digits]


def read_record(path: Path) -> dict[str, Any] | None:
    """The content of a record, or of a description; None where there is none.

    Raises:
        ValueError: if the file is damaged; the message names file and line.
    """
    return read_json_object(path) if path.exists() else None


def refuse_another(source: Path, what: str, known: Any, wanted: Mapping[str, Any]) -> None:
    """Refuse a record whose description is not the wanted one.

    Args:
        source: the file that it stands in.
        what: "a run", "a sweep" and so on, for the message.
        known: its description, as it was read.
        wanted: that of the runs which are to be made.

    Raises:
        ValueError: naming the file, everything that differs, as it is there and as it was wanted, and what to do.
    """
    other = _differences(known, json.loads(json.dumps(wanted)))
    if other:
        told = "; ".join(f"{name}: {there} there, {now} now" for name, (there, now) in other.items())
        raise ValueError(
            f"{source} is of {what} with another {', '.join(other)}, which does not compare ({told}); use another "
            "folder for what this command writes, or move that file away"
        )


def _differences(known: Any, wanted: Any, name: str = "") -> dict[str, tuple[str, str]]:
    """What differs between two descriptions: dotted name -> how it is in either."""
    if isinstance(known, dict) and isinstance(wanted, dict):
        names: Iterable[Any] = dict.fromkeys([*wanted, *known])
        pairs = {part: (known.get(part, _ABSENT), wanted.get(part, _ABSENT)) for part in names}
    elif isinstance(known, list) and isinstance(wanted, list) and len(known) == len(wanted):
        pairs = dict(enumerate(zip(known, wanted, strict=True)))
    else:
        return {} if known == wanted else {name or "description": (_told(known), _told(wanted))}
    found = {}
    for part, pair in pairs.items():
        found |= _differences(*pair, f"{name}.{part}" if name else str(part))
    return found


def _told(value: Any) -> str:
    return "nothing" if value is _ABSENT else f"{value!r:.200}"


@dataclass(frozen=True)
class RunFolder:
    """A folder a run: its stages, and the record that is written when all of them are done.

    A stage is a run of its own that the folder's description describes: its run file is its record, and it is
    finished when that has the loss which is measured last. One command at a time may write to the folder.

    Attributes:
        folder: of the stages. Before the first of them it is written there by which description they are made.
        description: of the run.
        record: the file of its record.
        key: under which the record holds the description; None where the name of the folder is a digest of it.
    """

    folder: Path
    description: Mapping[str, Any]
    record: Path
    key: str | None = "budget"

    def finished(self) -> dict[str, Any] | None:
        """The record of the run; None if it was broken off or never begun.

        Raises:
            ValueError: if the run, finished or not, is of another description, or a file is damaged.
        """
        record = read_record(self.record)
        if record is not None and self.key in record:
            refuse_another(self.record, "a run", record[self.key], self.description)
        self._check_begun()
        return record if record is not None and (self.key is None or self.key in record) else None

    def stage(self, name: str, train: Callable[[dict[str, Any]], Run]) -> Run:
        """Run a stage unless it is finished; returns its record.

        Args:
            name: of the stage's folder in this one.
            train: runs it, given the settings of its folder: `output_dir`, and if it was broken off `resume`, or
                `overwrite` where it has no good checkpoint.

        Raises:
            ValueError: if the folder was begun by another description, or a file is damaged.
        """
        self._check_begun()
        write_json_atomic(self.folder / DESCRIPTION_FILE, self.description)
        output = self.folder / name
        known = read_run(output)
        if known.last.is_finished:
            return known
        again = {}
        if last_good_checkpoint(output) is not None:
            again = {"resume": True}
        elif (output / RUN_FILE).exists():
            again = {"overwrite": True}
        return train({"output_dir": str(output)} | again)

    def finish(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Write the record of the run, with its description; returns what was written."""
        described = dict(record) if self.key is None else {**record, self.key: self.description}
        write_json_atomic(self.record, described)
        return described

    def _check_begun(self) -> None:
        begun = read_record(self.folder / DESCRIPTION_FILE)
        if begun is not None:
            refuse_another(self.folder / DESCRIPTION_FILE, "a run", begun, self.description)


@dataclass(frozen=True)
class RunsFile:
    """Many runs in one JSON file, all of one description; one command at a time may write to it.

    Attributes:
        path: of the file.
        description: fields of the file, by name.
        holds: the field with the runs.
    """

    path: Path
    description: Mapping[str, Any]
    holds: str = "runs"

    def finished(self) -> Any:
        """The runs in the file, or in the one where version 0.1 kept them; None where there is none yet.

        Raises:
            ValueError: if they are of another description, or the file is damaged.
        """
        path = where_it_is(self.path)
        content = read_record(path)
        if content is None:
            return None
        known = {name: content[name] for name in self.description if name in content}
        refuse_another(path, "runs", known, self.description)
        if not isinstance(content.get(self.holds), list | dict):
            raise ValueError(f"{path} holds no {self.holds}; restore it, or move it away to have it made again.")
        return content[self.holds]

    def write(self, content: Mapping[str, Any]) -> None:
        """Write the runs, what they say together, and their description."""
        write_json_atomic(self.path, {**content, **self.description})


@dataclass(frozen=True)
class ArmFiles:
    """A JSON-lines file an arm, `arms/<digest>.jsonl`, beside `sweep.json`, what all arms have in common.

    Several processes may write arms, as long as none is written before all have called `missing`.

    Attributes:
        folder: of the sweep.
        description: of what all arms have in common; `asked`, how many questions an arm answers, is part of it.
        read_arm: reads the file of an arm, a dictionary a line, with `arm` and `row`; its errors name the line.
    """

    folder: Path
    description: Mapping[str, Any]
    read_arm: Callable[[Path], Sequence[Mapping[str, Any]]]

    def path(self, arm: Any) -> Path:
        """The file of an arm, a dataclass with `digest(description)`."""
        return self.folder / "arms" / f"{arm.digest(self.description)}.jsonl"

    def missing(self, arms: Iterable[Any]) -> list[Any]:
        """Those of the arms that are not finished; changes nothing.

        Raises:
            ValueError: if the folder has arms of another sweep, or of one that is not known, or a file is damaged:
                all arms that are there are read.
        """
        files = sorted(self.folder.glob("arms/*.jsonl"))
        if files:
            self._check_sweep()
        named = {self.path(arm): arm for arm in arms}
        for file in files:
            rows, asked = self.read_arm(file), self.description["asked"]
            if sorted(row["row"] for row in rows) != list(range(asked)):
                raise ValueError(
                    f"{file} answers {len(rows)} questions, not those {asked} that are asked; restore it, or move "
                    "it away to have it made again."
                )
            if file in named:
                refuse_another(file, "an arm", rows[0]["arm"], asdict(named[file]))
        return [arm for file, arm in named.items() if file not in files]

    def begin(self) -> None:
        """Write what the arms have in common; what a sweep that stopped before its first arm wrote is replaced."""
        write_json_atomic(self.folder / SWEEP_FILE, self.description)

    def write(self, arm: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the answers of an arm, all at once."""
        file = self.path(arm)
        named = {"arm": asdict(arm), "arm_hash": file.stem}
        write_jsonl_atomic(file, (named | dict(row) for row in rows))

    def _check_sweep(self) -> None:
        source = self.folder / SWEEP_FILE
        known = read_record(source)
        if known is None:
            raise ValueError(
                f"{self.folder} has arms, but no {SWEEP_FILE} that says of which sweep; use another --output_dir, "
                "or move the folder away"
            )
        refuse_another(source, "a sweep", known, self.description)


class GrowingFile:
    """A JSON-lines file that grows part by part beside its place, and moves there when it is whole.

    Until then its rows stand in `<name>.partial`, and `<name>.partial.json` says of which run they are and
    how many of them count: a part is on the disk before it is counted, so whatever a killed run wrote after
    that is cut off. Several processes may read it, as long as none writes before all have called `begun`; one
    at a time may write.

    Attributes:
        path: where the file shall be.
        partial: where its rows are until it is whole.
        num_rows: that count.
    """

    def __init__(self, path: Path, description: Mapping[str, Any]) -> None:
        """Names the places, and touches none of them.

        Args:
            path: where the file shall be.
            description: of all that its rows depend on.
        """
        self.path = path
        self.partial = path.with_name(f"{path.name}.partial")
        self.num_rows = 0
        self._record = path.with_name(f"{path.name}.partial.json")
        self._description = description
        self._size = 0
        self._hash = hashlib.sha256()

    def begun(self) -> int:
        """How many rows there are already; changes nothing but what this object knows.

        A run that ended before its first part counted is no run: what it left is replaced, whatever it was of.

        Raises:
            ValueError: if the rows are of another description, or changed since they were counted, or nothing says
                of which run they are.
        """
        state = read_record(self._record)
        if state is None and self.partial.exists():
            raise ValueError(
                f"{self.partial} has rows, but no {self._record.name} says of which run: move it away, or write "
                "to another folder"
            )
        if state is None or not state.get("rows"):
            return 0
        refuse_another(self._record, "a run", state.get("description"), self._description)
        rows, wanted = (state.get(name) for name in ("rows", "bytes"))
        if not (isinstance(rows, int) and isinstance(wanted, int)):
            raise ValueError(f"{self._record} does not say how many rows and bytes count: {self._remedy()}")
        self.num_rows, self._size = rows, wanted
        self._check(state.get("sha256"))
        return self.num_rows

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows that count, one after the other."""
        if not self.num_rows:
            return
        with open(self._file(), "rb") as file:
            for number, line in enumerate(file):
                if number == self.num_rows:
                    return
                yield json.loads(line)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows, which count from then on.

        Raises:
            OSError: naming the file, if the disk is full; the rows before still count.
            ValueError: if a number is infinite or not a number, which JSON cannot hold.
        """
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
        content = "".join(lines).encode()
        if not self.num_rows:
            self._count()  # so that no rows are there of which nothing says whose they are
        with naming(self.partial), open(self.partial, "r+b" if self.num_rows else "wb") as file:
            file.truncate(self._size)  # what a run wrote that was killed before it counted
            file.seek(self._size)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._hash.update(content)
        self._size += len(content)
        self.num_rows += len(lines)
        self._count()

    def finish(self) -> None:
        """Move the rows to their place; `forget` follows when what is made of them is written, too."""
        if self.partial.exists():
            os.replace(self.partial, self.path)

    def forget(self) -> None:
        """End the run: from now on nobody goes on with it, and rows that were not moved are wanted no more."""
        self.partial.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)

    def _count(self) -> None:
        counted = {"rows": self.num_rows, "bytes": self._size, "sha256": self._hash.hexdigest()}
        write_json_atomic(self._record, {"description": self._description, **counted})

    def _file(self) -> Path:
        """Where the rows are: a run that was killed right before its end has moved them."""
        return self.path if self.path.exists() and not self.partial.exists() else self.partial

    def _check(self, wanted: Any) -> None:
        """Refuse rows that are not what was counted."""
        file, left, lines = self._file(), self._size, 0
        self._hash = hashlib.sha256()
        if file.exists():
            with open(file, "rb") as source:
                while left and (block := source.read(min(left, 1 << 20))):
                    self._hash.update(block)
                    left, lines = left - len(block), lines + block.count(b"\n")
        if left or lines != self.num_rows or self._hash.hexdigest() != wanted:
            raise ValueError(f"{file} changed since its {self.num_rows:,} rows were written: {self._remedy()}")

    def _remedy(self) -> str:
        return f"restore it, or move it and {self._record.name} away to have all of it made again"
