"""A process of a launch that is gone: what the others say, instead of waiting for it for ever.

A process that is killed closes its connections, which the others notice in the next thing that they do
together; one that hangs is given up after `--ddp_timeout` seconds. Either way nobody can go on alone, and the
run ends with the number of the process that is gone, where the checkpoint is, and what to do.
"""

import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
from transformers import Trainer

from closedbook.training.arguments import ClosedbookTrainingArguments
from closedbook.training.checks.agreement import Process, known_processes
from closedbook.training.checks.commands import Stopped
from closedbook.training.keeping.written import checkpoint_folders

TRY_AGAIN = 75  # exit status, that of a time limit
# Of torch's messages about what processes do together: there is no kind of error for it alone (gloo's is
# RuntimeError).
_LOST = re.compile(r"gloo|nccl|c10d|TCPStore|ProcessGroup", re.IGNORECASE)
_TIMED_OUT = re.compile(r"time(d )?-?out", re.IGNORECASE)
_SECONDS_TO_LOOK = 2.0  # a process that was killed takes a moment to be gone, and its connections close first


class LostProcess(Stopped):
    """Another process of the launch is gone, or does not answer."""


class Launch:
    """The processes that train together, and how to tell that one of them is gone.

    Attributes:
        trainer: whose step is told; None before there is one.
    """

    def __init__(self, args: ClosedbookTrainingArguments) -> None:
        self.args = args
        self.trainer: Trainer | None = None

    def is_lost(self, error: BaseException) -> bool:
        """Whether an error is torch's for a process that is gone or does not answer."""
        return self.args.world_size > 1 and isinstance(error, RuntimeError) and bool(_LOST.search(str(error)))

    def describe(self, error: BaseException) -> str:
        """Who is gone, how far the run had come, and what to do; one line."""
        step = self.trainer.state.global_step if self.trainer else 0
        who = _who_is_lost(known_processes(), bool(_TIMED_OUT.search(str(error))), self.args.ddp_timeout)
        saved = checkpoint_folders(str(self.args.output_dir)) if step else []
        why = "see why in what that process said (out of memory?)"
        rest = (
            f"the last checkpoint is {saved[-1]}: {why}, and go on with --resume"
            if saved
            else f"there is no checkpoint of it yet: {why}, and start again"
        )
        return f"{who}; this run ends after step {step}, {rest}"


@contextmanager
def noticing_lost_processes(args: ClosedbookTrainingArguments) -> Iterator[Launch]:
    """Say which process is gone where what all do together fails.

    Raises:
        LostProcess: in place of what torch raises.
    """
    launch = Launch(args)
    try:
        yield launch
    except RuntimeError as error:
        if not launch.is_lost(error):
            raise
        raise LostProcess(launch.describe(error), TRY_AGAIN) from error


def _who_is_lost(processes: Sequence[Process], timed_out: bool, timeout: float) -> str:
    """In words: who of this machine is gone or stopped; else those of other machines, whom one cannot see."""
    here = [each for each in processes if each.host == socket.gethostname() and each.pid != os.getpid()]
    there = [each for each in processes if each.host != socket.gethostname()]
    end = time.monotonic() + (0.0 if timed_out else _SECONDS_TO_LOOK)
    while True:
        for word, statuses in (("has ended", _GONE), ("is stopped", {psutil.STATUS_STOPPED})):
            found = [each for each in here if _status(each.pid) in statuses]
            if found:
                return f"{' and '.join(f'{each} (pid {each.pid})' for each in found)} {word}"
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    others = ", ".join(sorted({each.host for each in there}))
    what = f"did not answer for {timeout:g} s (--ddp_timeout)" if timed_out else "has ended or cannot be reached"
    return f"a process on {others} {what}" if there else f"another process {what}"


_GONE = {None, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


def _status(pid: int) -> str | None:
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return None
