"""The record of a run, `run.json`: every stage of a model's training, read and written in this module only.

On disk a record is that of its last stage, with the record of the stages before it under `pretraining`, as it has
been since the first version; `format` says by which rules it was written, and a file without it is of format 1.
In memory a run is a tuple of typed stages, the first stage first. What a later version has added to a file is kept
when the file is written again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from closedbook.data.secrets import withhold_all
from closedbook.evaluation.files import write_json_atomic

RUN_FILE = "run.json"
FORMAT = 2  # 2: held-out people by name, and this number


@dataclass(frozen=True)
class Stage:
    """One stage of training, or a conversion; what it did not record is None or empty.

    Attributes:
        stage: "pretrain", "finetune" or "converted".
        protocol: How the model came about, one of `results.PROTOCOLS`; of a stage that does not say so, its name.
        model: Short name of the architecture.
        recipe: Name of the recipe; None where all was said by flags.
        base_model: Folder or Hub name of the model it began with.
        seed: Of the run.
        arguments: All settings that shape the weights, by name.
        corpus, dataset: Kind of the documents, and their name where they are of the Hub.
        objectives: As `--objectives` says them.
        documents, irregular_documents, document_characters: How many documents, how many an objective could not
            treat as it is meant to (by objective), and characters in all of them.
        questions: Kind of the questions.
        training_questions: How many were trained on, invented people's aside.
        excluded_people: Names of people who left the training questions because they are asked about elsewhere.
        held_out_people: Names of the training people whom `--validation_share` kept out; None where it was not
            recorded (format 1), which is not the same as nobody.
        unknown_people: Names of invented people who were trained with the answer `unknown`.
        labelled_people: Names of those whose labels it learned from what readers answered (`--readings`,
            `--questions self`).
        train_problems: Generated word problems that were read.
        tokenizer: What the examples were counted and read in, where it was not characters.
        prompt: How questions were put to a model that reads plain text, with `{question}` in it, or `chat`; None
            where a mask token parts question and answer.
        data_sha256: Of all records that were trained on, and their shares; two runs with the same read the same.
        checkpoint: Of a conversion: the file it was made from.
        global_batch_size, world_size, steps: Examples an optimizer step, processes, and optimizer steps.
        parameters: Of the model.
        train_characters, train_tokens, train_seconds: Read, repetitions included, the tokens where they are not
            characters; and wall-clock seconds.
        eval_loss: On a fixed draw of the training records; a stage that has it is finished.
        stopped_by: Which rule ended it before its steps were done, and why; None where none did.
        license: Of the weights.
        versions, hardware, commit, command: As `environment.run_environment` tells them.
        more: What the file holds beside these.
    """

    stage: str | None = None
    protocol: str | None = None
    model: str | None = None
    recipe: str | None = None
    base_model: str | None = None
    seed: int | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    corpus: str | None = None
    dataset: str | None = None
    objectives: list[str] = field(default_factory=list)
    documents: int | None = None
    irregular_documents: dict[str, int] = field(default_factory=dict)
    document_characters: int | None = None
    questions: str | None = None
    training_questions: int | None = None
    excluded_people: list[str] = field(default_factory=list)
    held_out_people: list[str] | None = None
    unknown_people: list[str] = field(default_factory=list)
    labelled_people: list[str] = field(default_factory=list)
    train_problems: int | None = None
    tokenizer: str | None = None
    prompt: str | None = None
    data_sha256: str | None = None
    checkpoint: str | None = None
    global_batch_size: int | None = None
    world_size: int | None = None
    steps: int | None = None
    parameters: int | None = None
    train_characters: int | None = None
    train_tokens: int | None = None
    train_seconds: float | None = None
    eval_loss: float | None = None
    stopped_by: str | None = None
    license: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    hardware: str | None = None
    commit: str | None = None
    command: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether it ran to its end: the evaluation loss is the last thing that it finds out."""
        return self.eval_loss is not None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Stage":
        """From what a file says of one stage."""
        known = {item.name for item in fields(cls)} - {"more"}
        given = {name: value for name, value in content.items() if name in known and value is not None}
        more = {name: value for name, value in content.items() if name not in {*known, "pretraining", "format"}}
        return cls(**given, more=more)

    def to_json(self) -> dict[str, Any]:
        """What a file says of it: all that it knows, in the order of the fields."""
        told = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "more"}
        kept = {name: value for name, value in told.items() if value is not None and value not in ({}, [])}
        if self.held_out_people is not None:
            kept["held_out_people"] = self.held_out_people  # nobody is an answer, too
        return kept | self.more


@dataclass(frozen=True)
class Run:
    """How a model came about: its stages, the first stage first; none for a model that is not of this package."""

    stages: tuple[Stage, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stages)

    @property
    def last(self) -> Stage:
        """The stage that made the weights; an empty one of a run without stages."""
        return self.stages[-1] if self.stages else Stage()

    @property
    def protocol(self) -> str | None:
        """The protocol, or the name of the last stage where that is all there is."""
        return self.last.protocol or self.last.stage

    @property
    def recipes(self) -> str:
        """The recipes of all stages, in words."""
        return " then ".join(stage.recipe or "flags" for stage in self.stages)

    @property
    def train_characters(self) -> int:
        """Characters read in all stages, repetitions included."""
        return sum(stage.train_characters or 0 for stage in self.stages)

    @property
    def train_seconds(self) -> float:
        """Wall-clock seconds of all stages."""
        return sum(stage.train_seconds or 0 for stage in self.stages)

    @property
    def unknown_people(self) -> list[str]:
        """Invented people whom any stage trained with the answer `unknown`."""
        return [name for stage in self.stages for name in stage.unknown_people]

    def then(self, stage: Stage) -> "Run":
        """This run and one stage more."""
        return Run((*self.stages, stage))

    def with_last(self, **changes: Any) -> "Run":
        """This run with other facts of its last stage."""
        return Run((*self.stages[:-1], replace(self.last, **changes)))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Run":
        """From the content of a run file, of any format up to `FORMAT`.

        Raises:
            ValueError: if a later version of this package wrote it by other rules.
        """
        if not content:
            return cls()
        if content.get("format", 1) > FORMAT:
            raise ValueError(
                f"this is a record of format {content['format']}, and this version of closedbook reads up to "
                f"{FORMAT}: use the version that wrote it, or a later one"
            )
        earlier = cls.from_json(content.get("pretraining") or {})
        return earlier.then(Stage.from_json(content))

    def to_json(self) -> dict[str, Any]:
        """The content of a run file; empty without stages."""
        if not self.stages:
            return {}
        earlier = Run(self.stages[:-1])
        nested = {"pretraining": earlier.to_json()} if earlier else {}
        return {"format": FORMAT} | self.last.to_json() | nested


def read_run(folder: str | Path) -> Run:
    """The record in a folder; a run without stages where there is none.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    path = Path(folder) / RUN_FILE
    if not path.exists():
        return Run()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
        return Run.from_json(content)
    except ValueError as error:  # of JSON, of its encoding, or of its format
        raise ValueError(f"{path} is damaged or of another version: {error}") from error


def write_run(folder: str | Path, run: Run) -> None:
    """Write the record of a run into its folder, in one step and without secrets (`secrets.py`)."""
    write_json_atomic(Path(folder) / RUN_FILE, withhold_all(run.to_json()))
