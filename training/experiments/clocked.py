"""A script of any checkout of this project, with a clock at its training steps; started as a process of its own.

    python clocked.py CHECKOUT CLOCK STOP scripts/pretrain.py FLAG ...

`CHECKOUT` may be another build than the one that starts it, so this file imports nothing of the package:
whatever that build calls its modules, it trains with the library's Trainer, to which the clock is a callback.
`CLOCK` is the file of readings, `[[step, seconds, seconds of the processors], ...]`, both summed from the
first step on; a resumed run goes on in it. `STOP` ends the process right before the step after that one, 0
never: with every checkpoint whole, to be resumed.

Counted is what a step takes, its batch included. Left out are evaluating, saving and logging, the start of
the process and, of a resumed one, the batch of its first step.
"""

import json
import os
import sys
import time
from pathlib import Path
from runpy import run_path
from typing import Any

import torch
from transformers import TrainerCallback, trainer

CHECKOUTS = Path(__file__).resolve().parents[1] / "scale" / "checkouts.py"  # which imports nothing of the package


class Clock(TrainerCallback):
    """Reads the time at every step of a run.

    Args:
        readings: file to keep them in.
        stop: the step to stop after, 0 for none.
    """

    def __init__(self, readings: Path, stop: int) -> None:
        self.readings = readings
        self.stop = stop
        self.steps: list[list[float]] = []
        self.mark: tuple[float, float] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step and self.readings.exists():
            steps = json.loads(self.readings.read_text(encoding="utf-8"))
            self.steps = [step for step in steps if step[0] <= state.global_step]

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.stop and state.global_step >= self.stop:
            raise SystemExit(0)
        if self.mark is None:
            self.mark = _now()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.mark is not None
        now = _now()
        before = self.steps[-1][1:] if self.steps else [0.0, 0.0]
        taken = [total + end - start for total, start, end in zip(before, self.mark, now, strict=True)]
        self.steps.append([state.global_step, *taken])
        self.mark = now

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.mark is not None:  # not the last evaluation of a process that only evaluates
            self.mark = _now()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.mark is not None:
            self.mark = _now()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._write()
        self.mark = _now()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._write()

    def _write(self) -> None:
        beside = self.readings.with_suffix(".new")
        beside.write_text(json.dumps(self.steps), encoding="utf-8")
        os.replace(beside, self.readings)


def _now() -> tuple[float, float]:
    """Seconds, and those of the processors, when the accelerator has done all it was given."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter(), time.process_time()


def main(argv: list[str]) -> None:
    checkout, readings, stop, script, *flags = argv
    run_path(str(CHECKOUTS))["import_from"](Path(checkout))
    trainer.DEFAULT_CALLBACKS.append(Clock(Path(readings), int(stop)))
    sys.argv = [str(Path(checkout) / script), *flags]
    sys.path[0] = str(Path(checkout) / "scripts")  # as for any script; older ones take it off themselves
    run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
