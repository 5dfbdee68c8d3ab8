"""Reads the arms of an in-context sweep: what every run answered, and what its answers are worth."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closedbook.evaluation.prompting.arm_files import ArmFormat, arm_paths, read_arm_file

NO_SELECTION = "none"  # what an arm without demonstrations says of their selection and their order
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
    return [_as_run(path, read_incontext_arm(path)) for path in arm_paths(folder)]


def read_incontext_arm(path: str | Path) -> list[dict[str, Any]]:
    """The lines of one arm, as `answer_in_context` gives them, with the arm.

    Raises:
        ValueError: As `read_arms` does.
    """
    records = read_arm_file(path, _FORMAT)
    names = _as_named_now(records[0]["scores"]).keys()
    for number, record in enumerate(records, start=1):
        record["scores"] = _as_named_now(record["scores"])
        if record["scores"].keys() != names:
            others = ", ".join(record["scores"])
            raise ValueError(f"{path}, line {number} has the scores {others}, line 1 has others.")
    return records


def _as_run(path: Path, records: list[dict[str, Any]]) -> ArmRun:
    ordered = sorted(records, key=lambda record: record["row"])
    first = ordered[0]
    return ArmRun(
        arm=first["arm"],
        source=str(path),
        rows=tuple(record["row"] for record in ordered),
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


def _is_score(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) and 0 <= value <= 1


_FORMAT = ArmFormat(
    fields={
        "scores": (
            lambda value: isinstance(value, dict) and bool(value) and all(map(_is_score, value.values())),
            "an object of scores between 0 and 1",
        )
    },
    settings=(*SETTINGS, *DRAWS),
    counts=("num_shots", *DRAWS),
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
