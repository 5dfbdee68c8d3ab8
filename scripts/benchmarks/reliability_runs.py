"""Runs as processes that are killed: at a moment, or at the n-th time that they touch their folder.

A run is a fork of this process, so that it starts in a hundredth of a second instead of in eight; the kill is a
real one. Nothing is computed here, and one thread is all there is, so that nothing is lost in a fork.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from closedbook.training.checks.commands import run_command

# What the interpreter tells of changes in a file system, and which of the arguments are paths.
_TOUCHES = {"open": 1, "os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1}


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        status: exit status, or minus the number of the signal.
        lines: of standard error.
        seconds: it took.
    """

    status: int
    lines: list[str]
    seconds: float


def run(
    name: str,
    main: Callable[[list[str]], object],
    argv: Sequence[str],
    log: Path,
    *,
    kill_after: float | None = None,
    kill_at_touch: int | None = None,
    signal_number: int = signal.SIGKILL,
    prepare: Callable[[], None] | None = None,
    watched: Path | None = None,
) -> Ended:
    """Run a command to its end, or until it is killed.

    Args:
        name: of the program, for its messages.
        main: its function.
        argv: its words.
        log: file for what it prints.
        kill_after: seconds after which `signal_number` is sent.
        kill_at_touch: the process kills itself when it changes something below `watched` for the n-th time. 0
            counts only, into the file `log` with the suffix .count.
        signal_number: of the kill after seconds.
        prepare: called in the process before it begins.
        watched: the folder whose changes count.
    """
    begun = time.perf_counter()
    pid = start(name, main, argv, log, kill_at_touch=kill_at_touch, prepare=prepare, watched=watched)
    if kill_after is not None:
        _sleep_until(begun + kill_after, pid)
        os.kill(pid, signal_number)
    return wait(pid, log, begun)


def start(
    name: str,
    main: Callable[[list[str]], object],
    argv: Sequence[str],
    log: Path,
    *,
    kill_at_touch: int | None = None,
    prepare: Callable[[], None] | None = None,
    watched: Path | None = None,
) -> int:
    """Begin a run; returns the number of its process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        with open(log, "w") as file:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
        sys.argv = [name, *argv]
        if prepare is not None:
            prepare()
        if kill_at_touch is not None and watched is not None:
            _watch(watched, kill_at_touch, log.with_suffix(".count"))
        status = run_command(main, [str(word) for word in argv])
    except SystemExit as end:  # of a parser
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def wait(pid: int, log: Path, begun: float) -> Ended:
    """Wait for the end of a process that `start` began."""
    _, state = os.waitpid(pid, 0)
    status = os.waitstatus_to_exitcode(state)
    text = log.read_text(encoding="utf-8", errors="replace")
    # a progress bar writes its states over each other
    lines = [line.rpartition("\r")[2] for line in text.split("\n")]
    return Ended(status, [line for line in lines if line.strip()], time.perf_counter() - begun)


def _sleep_until(moment: float, pid: int) -> None:
    while time.perf_counter() < moment:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.002)


def _watch(folder: Path, last: int, count_file: Path) -> None:
    count = 0
    begin = str(folder)

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        if event not in _TOUCHES or not any(str(path).startswith(begin) for path in args[: _TOUCHES[event]]):
            return
        if event == "open" and not (isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        elif last == 0:
            descriptor = os.open(count_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(descriptor, str(count).encode())
            os.close(descriptor)

    sys.addaudithook(hook)
