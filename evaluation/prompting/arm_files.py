"""Reads the arms of a sweep of any kind: `arms/*.jsonl`, an arm a file and a question a line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedbook.evaluation.files import read_json_objects

# Name of a field -> whether a value fits, and in words what it has to be.
Fields = Mapping[str, tuple[Callable[[Any], bool], str]]


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


TRUTH = (lambda value: isinstance(value, bool), "true or false")

_FIELDS: Fields = {
    "arm": (lambda value: isinstance(value, dict), "an object"),
    "row": (is_count, "a number of a question, from 0 on"),
    "question": (lambda value: isinstance(value, str), "a string"),
    "new_tokens": (is_count, "a number of tokens"),
    "complete": TRUTH,
    "dropped": (is_count, "a number of demonstrations"),
}


@dataclass(frozen=True)
class ArmFormat:
    """What stands in the lines of one kind of sweep.

    Attributes:
        fields: Of a line, beside those that every kind has: arm, row, question, new_tokens, complete, dropped.
        settings: Names that the arm itself has.
        counts: Those of them that are whole numbers from 0 on.
    """

    fields: Fields
    settings: Sequence[str]
    counts: Sequence[str]


def arm_paths(folder: str | Path) -> list[Path]:
    """The arm files of a sweep's folder, sorted.

    Raises:
        FileNotFoundError: If it holds none.
    """
    paths = sorted(Path(folder).glob("arms/*.jsonl"))
    if not paths:
        raise FileNotFoundError(f"there is no arms/*.jsonl in {folder}; name the output folder of a sweep.")
    return paths


def read_arm_file(path: str | Path, form: ArmFormat) -> list[dict[str, Any]]:
    """The lines of one arm, each an answer; row i of the list stands in line i + 1.

    Raises:
        ValueError: If a line is no record of an answer, or the lines are not of one arm, each about another
            question; the message names file and line.
    """
    records = read_json_objects(path)
    asked = set()
    for number, record in enumerate(records, start=1):
        where = f"{path}, line {number}"
        _check_record(record, form, where)
        if record["arm"] != records[0]["arm"]:
            raise ValueError(f"{where} is of another arm than line 1; a file holds the answers of one arm.")
        if record["row"] in asked:
            raise ValueError(
                f"{where} answers question {record['row']} again; delete the file, run its arm again."
            )
        asked.add(record["row"])
    return records


def _check_record(record: Mapping[str, Any], form: ArmFormat, where: str) -> None:
    for field, (fits, words) in {**_FIELDS, **form.fields}.items():
        if field not in record or not fits(record[field]):
            found = f"is {record[field]!r:.60}" if field in record else "is missing"
            raise ValueError(f"{where}: {field} has to be {words}, but {found}.")
    arm = record["arm"]
    missing = [name for name in form.settings if name not in arm]
    if missing:
        raise ValueError(f"{where}: the arm lacks {', '.join(missing)}.")
    for name in form.counts:
        if not is_count(arm[name]):
            raise ValueError(f"{where}: the arm's {name} has to be a whole number, but is {arm[name]!r}.")
