"""Ends that come early: SIGTERM and a limit of time leave a last checkpoint."""

import signal
import threading
import time
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback

from closedbook.training.checks.commands import Stopped


class StopEarly(TrainerCallback):
    """Saves and stops after the step during which SIGTERM came or the time was over, in all processes together.

    Args:
        minutes: of training at most; 0 for no limit. Schedulers kill a job at its limit: give a little less.
    """

    def __init__(self, minutes: float = 0.0) -> None:
        self.limit = 60 * minutes
        self.why: str | None = None
        self._start = 0.0
        self._before: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start = time.monotonic()
        if threading.current_thread() is threading.main_thread():  # signals are not for other threads
            self._before = signal.signal(signal.SIGTERM, self._receive)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.why is None and self.limit and time.monotonic() - self._start >= self.limit:
            self.why = "time limit"
        if args.world_size > 1:
            self.why = self._agree(args.device)
        if self.why is not None and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True

    def check(self, state: Any, folder: str) -> None:
        """To be called after training.

        Raises:
            Stopped: if it ended early.
        """
        self.restore()
        if self.why is not None and state.global_step < state.max_steps:
            raise Stopped(
                f"stopped by {self.why} after step {state.global_step} of {state.max_steps}; saved "
                f"{folder}/checkpoint-{state.global_step}, go on with --resume",
                143 if self.why == "SIGTERM" else 75,
            )

    def stay(self) -> None:
        """Keep the signal from ending this process, which ends by itself."""
        self._before = None

    def restore(self) -> None:
        """Give the signal back."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.why = "SIGTERM"

    def _agree(self, device: torch.device) -> str | None:
        reasons = (None, "time limit", "SIGTERM")
        mine = torch.tensor(reasons.index(self.why), device=device)
        torch.distributed.all_reduce(mine, op=torch.distributed.ReduceOp.MAX)
        return reasons[int(mine)]
