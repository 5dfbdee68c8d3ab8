"""How far a run has read: counted as it goes on, and kept with every checkpoint, with the places of its
streams."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from closedbook.data.mixture import Mixture
from closedbook.data.objectives.example import Example
from closedbook.data.packing import PackingCollator
from closedbook.data.writing.token_writer import TokenExample
from closedbook.evaluation.files import read_json_object, write_json_atomic

PROGRESS_FILE = "progress.json"
COUNTS = "num_read"  # key of a batch


class CountingCollator:
    """The collator, which also says how much a batch reads: characters and tokens, under `COUNTS`.

    Data workers make the batches; so it is the batch that says it, and the process that trains adds it up.

    Args:
        collator: makes the rows.
    """

    def __init__(self, collator: PackingCollator) -> None:
        self.collator = collator

    def __call__(self, examples: list[Example | TokenExample]) -> dict[str, torch.Tensor]:
        characters = sum(getattr(example, "characters", len(example)) for example in examples)
        return self.collator(examples) | {COUNTS: torch.tensor([characters, sum(map(len, examples))])}


class Progress(TrainerCallback):
    """Adds up what the training steps of all processes have read.

    Args:
        mixture: what is read.
        global_batch_size: examples a step.
        checkpoint: from which the run goes on; its streams are opened where it left them.
    """

    def __init__(self, mixture: Mixture, global_batch_size: int, checkpoint: Path | None) -> None:
        self.mixture = mixture
        self.global_batch_size = global_batch_size
        self.here = torch.zeros(2, dtype=torch.int64)  # read by this process since it began
        self.before = [0, 0]
        self.trainer: Any = None  # set by `train`, for it does not exist before its callbacks
        if checkpoint is not None:
            self._go_on(checkpoint)

    def add(self, batch: dict[str, Any]) -> None:
        """Count a batch, and take its count out of it, which the model does not know."""
        self.here += batch.pop(COUNTS).cpu()

    def total(self) -> list[int]:
        """Characters and tokens read by all processes from the begin of the run on; to be called by all of
        them."""
        accelerator = self.trainer.accelerator
        here = accelerator.reduce(self.here.to(accelerator.device), "sum").tolist()
        return [before + now for before, now in zip(self.before, here, strict=True)]

    def counts(self) -> dict[str, int]:
        """What the record of the run says: tokens only where they are something else than characters."""
        characters, tokens = self.total()
        told = {"train_characters": characters}
        return told if self.mixture.writer is None else told | {"train_tokens": tokens}

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        read = self.total()
        if state.is_world_process_zero:
            content = {"read": read, "streams": self.mixture.bookmarks(state.global_step * self.global_batch_size)}
            write_json_atomic(Path(args.output_dir) / f"checkpoint-{state.global_step}" / PROGRESS_FILE, content)

    def _go_on(self, checkpoint: Path) -> None:
        path = checkpoint / PROGRESS_FILE
        if path.is_file():
            content = read_json_object(path)
            self.before = content["read"]
            self.mixture.go_on(content["streams"])
            return
        # a checkpoint of version 0.2 or before: its examples are made once more to be counted
        steps = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
        examples = [self.mixture[index] for index in range(steps * self.global_batch_size)]
        self.before = [
            sum(getattr(example, "characters", len(example)) for example in examples),
            sum(map(len, examples)),
        ]
