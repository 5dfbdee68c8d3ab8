"""Keeps the folder of a run while it trains: record, checkpoints, and the run that was there before."""

import time
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback

from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run, write_run
from closedbook.training.keeping.checkpoints import rotate_checkpoints, seal_checkpoint
from closedbook.training.keeping.written import remove_files, written_files


class RunKeeper(TrainerCallback):
    """Writes the record of a run beside its checkpoints, so that a killed run is known and its time counted.

    A run that is to be replaced stays as it is until the new one has trained a step: what goes wrong before, a
    flag, a package that is missing, memory, costs nothing. Then what the old one wrote is removed, and nothing
    else.

    Args:
        folder: of the run.
        run: its record so far.
        seconds_before: of training, before it was resumed.
        overwrite: whether it replaces the run that the folder holds.
        save_total_limit: how many checkpoints to keep; None for all.
    """

    def __init__(
        self, folder: str | Path, run: Run, seconds_before: float, overwrite: bool, save_total_limit: int | None
    ) -> None:
        self.folder = Path(folder)
        self.run = run
        self.seconds_before = seconds_before
        self.start = time.perf_counter()
        self.limit = save_total_limit
        self.replaced = written_files(folder) if overwrite else []
        self.began = False

    def seconds(self) -> float:
        return round(self.seconds_before + time.perf_counter() - self.start, 1)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and not self.replaced:
            self._begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and not self.began:
            self._begin()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()  # each process writes a file of its own, which the manifest must know
        if state.is_world_process_zero:
            seal_checkpoint(self.folder / f"checkpoint-{state.global_step}")
            rotate_checkpoints(self.folder, self.limit, state.best_model_checkpoint)
            write_run(self.folder, read_run(self.folder).with_last(train_seconds=self.seconds()))

    def _begin(self) -> None:
        self.began = True
        # the record first: a kill in between leaves a folder that is known as a run's
        write_run(self.folder, self.run.with_last(train_seconds=self.seconds(), **run_environment()))
        remove_files([path for path in self.replaced if path != self.folder / RUN_FILE], self.folder)

    def undo(self) -> None:
        """Remove what a run left that ended before its first step, where it was to replace another."""
        if self.replaced and not self.began:
            old = set(self.replaced)
            remove_files([path for path in written_files(self.folder) if path not in old], self.folder)
