"""Reads the arms of an in-context sweep: what every run answered, and what its answers are worth."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closedbook.evaluation.prompting.incontext import NO_SELECTION

DRAWS = ("seed", "order_seed")
SETTINGS = ("num_shots", "selection", "order", "decoding", "num_sequences", "temperature")


@dataclass(frozen=True)
class ArmRun:
    """The answers of one arm, a question a place.

    Attributes:
        arm: Its settings, `seed` and `order_seed` among them.
        source: The file it is from, for messages.
        rows: Rows of the question file, ascending.
        questions: Their wordings.
        scores: By metric, each in [0, 1].
        new_tokens: Tokens generated for the question, by all hypotheses together.
        complete: Whether the answer ended.
        dropped: Demonstrations left out because the prompt was too long.
    """

    arm: dict[str, Any]
    source: str
    rows: tuple[int, ...]
    questions: tuple[str, ...]
    scores: dict[str, np.ndarray]
    new_tokens: np.ndarray
    complete: np.ndarray
    dropped: np.ndarray

    @property
    def draw(self) -> tuple[int, int]:
        """Its seed and its order seed."""
        return self.arm["seed"], self.arm["order_seed"]


def read_arms(folder: str | Path) -> list[ArmRun]:
    """Read every `arms/*.jsonl` of a sweep's folder, a file an arm and a line a question.

    Raises:
        FileNotFoundError: If the folder holds no such file.
        ValueError: If a line is no record of an answer, or the lines of a file are not of one arm; the message
            names file and line.
    """
    paths = sorted(Path(folder).glob("arms/*.jsonl"))
    if not paths:
        raise FileNotFoundError(f"there is no arms/*.jsonl in {folder}; name the output folder of a sweep.")
    return [_read_arm(path) for path in paths]


def _read_arm(path: Path) -> ArmRun:
    records: dict[int, dict[str, Any]] = {}
    first: dict[str, Any] = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path}, line {number}"
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(
                    f"{where} is not JSON ({error}); delete the file and run its arm again."
                ) from error
            _check_record(record, where)
            record["scores"] = _as_named_now(record["scores"])
            first = first or record
            if record["arm"] != first["arm"]:
                raise ValueError(f"{where} is of another arm than line 1; a file holds the answers of one arm.")
            if record["scores"].keys() != first["scores"].keys():
                raise ValueError(f"{where} has the scores {', '.join(record['scores'])}, line 1 has others.")
            if record["row"] in records:
                raise ValueError(
                    f"{where} answers question {record['row']} again; delete the file, run its arm again."
                )
            records[record["row"]] = record
    if not records:
        raise ValueError(f"{path} is empty; delete it and run its arm again.")
    ordered = [records[row] for row in sorted(records)]
    return ArmRun(
        arm=first["arm"],
        source=str(path),
        rows=tuple(sorted(records)),
        questions=tuple(record["question"] for record in ordered),
        scores={name: np.array([float(record["scores"][name]) for record in ordered]) for name in first["scores"]},
        new_tokens=np.array([record["new_tokens"] for record in ordered]),
        complete=np.array([record["complete"] for record in ordered]),
        dropped=np.array([record["dropped"] for record in ordered]),
    )


def _as_named_now(scores: dict[str, Any]) -> dict[str, Any]:
    """Version 0.1 called the normalised measure `exact_match`, which now means to the letter everywhere."""
    if "answer_match" in scores:
        return scores
    return {"answer_match" if name == "exact_match" else name: value for name, value in scores.items()}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_score(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) and 0 <= value <= 1


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "arm": (lambda value: isinstance(value, dict), "an object"),
    "row": (_is_count, "a number of a question, from 0 on"),
    "question": (lambda value: isinstance(value, str), "a string"),
    "scores": (
        lambda value: isinstance(value, dict) and bool(value) and all(map(_is_score, value.values())),
        "an object of scores between 0 and 1",
    ),
    "new_tokens": (_is_count, "a number of tokens"),
    "complete": (lambda value: isinstance(value, bool), "true or false"),
    "dropped": (_is_count, "a number of demonstrations"),
}


def _check_record(record: Any, where: str) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"{where} has to be a JSON object, but is {record!r:.60}.")
    for field, (fits, words) in _FIELDS.items():
        if field not in record or not fits(record[field]):
            found = f"is {record[field]!r:.60}" if field in record else "is missing"
            raise ValueError(f"{where}: {field} has to be {words}, but {found}.")
    missing = [name for name in (*SETTINGS, *DRAWS) if name not in record["arm"]]
    if missing:
        raise ValueError(f"{where}: the arm lacks {', '.join(missing)}.")
    for name in ("num_shots", *DRAWS):
        if not _is_count(record["arm"][name]):
            raise ValueError(
                f"{where}: the arm's {name} has to be a whole number, but is {record['arm'][name]!r}."
            )


def arm_label(arm: dict[str, Any]) -> str:
    """`8 shots, nearest, near first, beam 4`: the settings in words; a zero-shot arm has no selection."""
    shots = arm["num_shots"]
    words = [f"{shots} shot{'s' if shots != 1 else ''}" if shots else "zero-shot"]
    return ", ".join([*words, *filter(None, [demonstrations_label(arm)]), decoding_label(arm)])


def demonstrations_label(arm: dict[str, Any]) -> str:
    """`nearest, near first`: which demonstrations, and in which order, where there is a choice."""
    return ", ".join(name.replace("_", " ") for name in (arm["selection"], arm["order"]) if name != NO_SELECTION)


def decoding_label(arm: dict[str, Any]) -> str:
    """`greedy`, `beam 4`, `sample, T = 1`, and settings that are not known here by their names."""
    words = arm["decoding"].replace("_", "-")
    if arm["num_sequences"] > 1:
        words += f" {arm['num_sequences']}"
    if arm["decoding"] not in ("greedy", "beam"):
        words += f", T = {arm['temperature']:g}"
    others = [f"{name} = {value}" for name, value in sorted(arm.items()) if name not in (*SETTINGS, *DRAWS)]
    return ", ".join([words, *others]).replace("_", " ")
