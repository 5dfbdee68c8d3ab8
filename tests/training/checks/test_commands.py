"""A command ends with one line a problem and the right status; tracebacks are for those who ask."""

import errno
import sys

import pytest

from closedbook.training.checks.commands import Stopped, run_command
from closedbook.training.checks.together import Problems, check_together


@pytest.fixture
def ended(monkeypatch, capsys):
    """Run a command that raises: its exit status and the lines that it leaves."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/pretrain.py"])
    monkeypatch.delenv("RANK", raising=False)

    def run(error, *words):
        def main(argv):
            if error is not None:
                raise error

        status = run_command(main, words)
        return status, capsys.readouterr().err.splitlines()

    return run


@pytest.mark.parametrize(
    ("error", "status", "lines"),
    [
        (None, 0, []),
        (ValueError("--task is wrong"), 2, ["pretrain.py: --task is wrong"]),
        (ValueError("two\n  lines of\ta library"), 2, ["pretrain.py: two lines of a library"]),
        (FileNotFoundError("x.txt: there is no such file"), 2, ["pretrain.py: x.txt: there is no such file"]),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "run.json"),
            2,
            ["pretrain.py: run.json: is a folder where a file should be: move it away, or name another"],
        ),
        (
            OSError(errno.ELOOP, "Too many levels", "m/run.json"),
            2,
            ["pretrain.py: m/run.json: is a link that leads back to itself: remove it, or name another"],
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "x"),
            2,
            ["pretrain.py: x: may not be read or written by you: change its permissions, or name another"],
        ),
        (
            FileExistsError(errno.EEXIST, "File exists", "x"),
            2,
            ["pretrain.py: x: is a file where a folder should be: move it away, or name another"],
        ),
        (OSError(errno.EIO, "Input/output error", "x"), 2, ["pretrain.py: [Errno 5] Input/output error: 'x'"]),
        (ModuleNotFoundError("needs gguf"), 2, ["pretrain.py: needs gguf"]),
        (Problems(["one", "other"]), 2, ["pretrain.py: one", "pretrain.py: other"]),
        (KeyError("eval_loss"), 1, ["pretrain.py: KeyError: 'eval_loss'; --debug shows where"]),
        (RuntimeError(""), 1, ["pretrain.py: RuntimeError: RuntimeError; --debug shows where"]),
        (Stopped("stopped by SIGTERM", 143), 143, ["pretrain.py: stopped by SIGTERM"]),
        (KeyboardInterrupt(), 130, ["pretrain.py: interrupted"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_command_ends_with_its_status_and_one_line_a_problem(ended, error, status, lines):
    assert ended(error) == (status, lines)


def test_a_traceback_is_for_those_who_ask(ended):
    status, lines = ended(ValueError("--task is wrong"), "--seed", "3", "--debug")
    assert status == 2
    assert lines[0] == "Traceback (most recent call last):" and lines[-1] == "pretrain.py: --task is wrong"


def test_the_word_is_taken_and_the_flag_of_the_library_left(monkeypatch):
    seen = []
    for words in (["--debug", "--seed", "3"], ["--seed", "3", "--debug"], ["--debug", "underflow_overflow"]):
        run_command(seen.append, words)
    assert seen == [["--seed", "3"], ["--seed", "3"], ["--debug", "underflow_overflow"]]


def test_of_several_processes_each_says_which_it_is(ended, monkeypatch):
    monkeypatch.setenv("RANK", "2")
    assert ended(ValueError("no such file")) == (2, ["pretrain.py (process 2): no such file"])


def test_an_exit_of_a_parser_is_left_alone(ended):
    with pytest.raises(SystemExit):
        ended(SystemExit(2))


def raising(error):
    def check():
        raise error

    return check


def test_checks_run_together():
    check_together(lambda: None, lambda: 3)
    with pytest.raises(FileNotFoundError, match="^gone$"):
        check_together(lambda: None, raising(FileNotFoundError("gone")))
    both = raising(ValueError("one")), raising(Problems(["two", "three"])), raising(OSError("four"))
    with pytest.raises(Problems) as found:
        check_together(*both)
    assert found.value.lines == ["one", "two", "three", "four"]
    with pytest.raises(KeyError):  # a fault of ours is no problem of the user's
        check_together(raising(ValueError("one")), raising(KeyError("x")))
