"""Checks that run together, so that a user hears of all problems at once."""

import errno
from collections.abc import Callable

from huggingface_hub.errors import StrictDataclassError

# What a check raises, and what transformers' configurations do; anything else is a fault of ours.
CHECKED = (ValueError, OSError, StrictDataclassError)


# What the system says of files, in words that say what to do.
_SYSTEM_WORDS = {
    errno.EISDIR: "is a folder where a file should be: move it away, or name another",
    errno.EEXIST: "is a file where a folder should be: move it away, or name another",
    errno.ENOENT: "there is no such file or folder: check the path",
    errno.ENOTDIR: "is not there, because a part of this path is a file and no folder: check the path",
    errno.ELOOP: "is a link that leads back to itself: remove it, or name another",
    errno.ENAMETOOLONG: "is too long for a name of a file: shorten it",
    errno.EACCES: "may not be read or written by you: change its permissions, or name another",
    errno.ENOSPC: "cannot be written, because the disk is full: make room, or write elsewhere",
    errno.EROFS: "cannot be written, because the disk is for reading only: write elsewhere",
}


class Problems(ValueError):
    """Several problems at once.

    Attributes:
        lines: one problem each.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class SaidByFirst(Problems):
    """Problems that the first of several processes says for all of them."""


def check_together(*checks: Callable[[], object]) -> None:
    """Run all checks, and raise what they found.

    A check raises ValueError or OSError for what it finds. One problem is raised as it is; several are one error.

    Raises:
        Problems: if more than one check found something.
    """
    found: list[Exception] = []
    for check in checks:
        try:
            check()
        except CHECKED as error:
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        raise Problems([line for error in found for line in problem_lines(error)])


def problem_lines(error: BaseException) -> list[str]:
    """What an error says: one line a problem, whatever line breaks a library's message has."""
    if isinstance(error, Problems):
        return error.lines
    if isinstance(error, StrictDataclassError) and error.__cause__ is not None:
        error = error.__cause__  # what the configuration itself says, without the library's words about validators
    if isinstance(error, OSError) and error.errno in _SYSTEM_WORDS and error.filename is not None:
        return [f"{error.filename}: {_SYSTEM_WORDS[error.errno]}"]
    text = " ".join(str(error).split())
    return [text or type(error).__name__]
