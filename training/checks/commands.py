"""How a command ends: problems in one line each and status 2, a traceback only with `--debug`."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from closedbook.training.checks.together import CHECKED, SaidByFirst, problem_lines

DEBUG = "--debug"
WRONG, FAULT, INTERRUPTED = 2, 1, 130  # exit statuses: of the user's input, of ours or the machine's, and Ctrl-C


class Stopped(Exception):
    """A run that saved a checkpoint and ended before its last step.

    Attributes:
        status: exit status of the process: that of a program ended by SIGTERM, or "try again" for a time limit.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run_command(main: Callable[[list[str]], object], argv: Sequence[str] | None = None) -> int:
    """Run a command's `main`; returns the exit status of the process.

    What is wrong with flags, files and folders is raised as ValueError, OSError or ImportError throughout, with a
    message that says what, where and what to do; its place in our code is of no use to who typed the command.
    Anything else is a fault, and says how to see more.

    Args:
        main: takes the words of the command line.
        argv: the words; None for those of this process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = _take_debug(words)
    try:
        main(words)
    except Stopped as stopped:
        _tell([str(stopped)])
        return stopped.status
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        _tell(["interrupted"])
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, (*CHECKED, ImportError)) and not isinstance(error, UnicodeError):
            if not isinstance(error, SaidByFirst):
                _tell(problem_lines(error))
            return WRONG
        line = problem_lines(error)[0]
        _tell([f"{type(error).__name__}: {line}" + ("" if debug else f"; {DEBUG} shows where")])
        return FAULT
    return 0


def _take_debug(words: list[str]) -> bool:
    """Remove `--debug` from the words; the library has a flag of this name, too, with a value, which stays."""
    for place, word in enumerate(words):
        if word == DEBUG and (place + 1 == len(words) or words[place + 1].startswith("--")):
            del words[place]
            return True
    return False


def _tell(lines: Sequence[str]) -> None:
    program = sys.argv[0] if sys.argv[0].startswith("closedbook ") else Path(sys.argv[0]).name
    rank = os.environ.get("RANK", "0")
    where = program if rank == "0" else f"{program} (process {rank})"
    for line in lines:
        print(f"{where}: {line}", file=sys.stderr)
