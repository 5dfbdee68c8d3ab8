"""Questions in a stream: the same bytes from any number of processes, stopped and gone on or not."""

import json
import shutil
import signal
import threading
import time
from types import SimpleNamespace

import pytest
import warm
from datasets import Dataset

from closedbook.training.asking import stream
from closedbook.training.asking.stream import (
    ask_in_rounds,
    check_same_everywhere,
    fingerprint_questions,
    time_left,
)
from closedbook.training.finished_runs import GrowingFile

DESCRIPTION = {"model": "one"}


class Stopped(Exception):
    """Stands for the end of a process."""


@pytest.fixture
def pretrained(pretrained, tmp_path):
    """A copy: what a model is asked is told of on its card."""
    return shutil.copytree(pretrained, tmp_path / "model")


@pytest.fixture
def processes(monkeypatch):
    """Runs a function, given a state, in as many processes as are wanted, threads in truth."""

    def run(number, function):
        barrier, own, returned = threading.Barrier(number, timeout=60), threading.local(), {}
        shared = [None] * number

        def gather(found):
            shared[own.index] = found
            barrier.wait()
            everything = [item for each in shared for item in each]
            barrier.wait()
            return everything

        def one(index):
            own.index = index
            state = SimpleNamespace(process_index=index, num_processes=number, is_main_process=index == 0)
            try:
                returned[index] = function(state)
            except (Stopped, ValueError, threading.BrokenBarrierError) as error:
                returned[index] = error
                if isinstance(error, Stopped):  # as the launcher ends the others
                    barrier.abort()

        monkeypatch.setattr(stream, "gather_object", gather)
        threads = [threading.Thread(target=one, args=(index,)) for index in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [returned[index] for index in range(number)]

    return run


def questions(number: int) -> Dataset:
    return Dataset.from_dict({"question": [f"question {place}" for place in range(number)]})


def ask(chunk, share, answered):
    """As a model answers whose words depend on what is asked together: batches of two, the longest first."""
    texts = chunk["question"][:]
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    batches = [order[start : start + 2] for start in range(0, len(order), 2)]
    found = {}
    for batch in batches[share[0] :: share[1]]:
        found.update({row: " and ".join(texts[other] for other in batch) for row in batch})
        answered(len(batch))
    return found


def make_rows(asked, answers):
    return [row | {"prediction": answer} for row, answer in zip(asked, answers, strict=True)]


def answer_all(folder, number, state, wrote=lambda rows: None) -> bytes:
    file = GrowingFile(folder / "predictions.jsonl", DESCRIPTION)
    file.begun()
    ask_in_rounds(questions(number), file, ask, make_rows, state, wrote)
    return file.partial.read_bytes() if state.is_main_process else b""


@pytest.mark.parametrize("number", [1, 3, 7, 20])
def test_the_rows_are_the_same_bytes_from_any_number_of_processes_stopped_or_not(
    number, processes, tmp_path, monkeypatch
):
    monkeypatch.setattr(stream, "CHUNK", 3)
    (wanted,) = processes(1, lambda state: answer_all(tmp_path / "one", number, state))
    rows = [json.loads(line) for line in wanted.splitlines()]
    assert [row["question"] for row in rows] == questions(number)["question"][:]
    for count in (2, 3, 4):
        found, *_ = processes(count, lambda state, n=count: answer_all(tmp_path / str(n), number, state))
        assert found == wanted
    for before, after in ((1, 2), (3, 1), (2, 2)):
        folder, written = tmp_path / f"{before} then {after}", []

        def stop(rows, written=written):
            written.extend(rows)
            if len(written) > 5:
                raise Stopped

        processes(before, lambda state, folder=folder, stop=stop: answer_all(folder, number, state, stop))
        assert len(written) in (number, *range(6, 9))
        found, *_ = processes(after, lambda state, folder=folder: answer_all(folder, number, state))
        assert found == wanted


def test_questions_that_another_process_read_otherwise_are_refused_in_all(processes):
    def look(state):
        asked = fingerprint_questions(questions(3 + state.process_index))
        check_same_everywhere(asked, "what is asked", state)

    for error in processes(2, look):
        assert "what is asked changed while the processes read it" in str(error)
    assert fingerprint_questions(questions(3)) == fingerprint_questions(questions(4).select(range(3)))


# ---- with a model


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "results.json"}


def test_an_evaluation_that_stopped_goes_on_and_ends_as_if_it_had_not(
    tiny, pretrained, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(stream, "CHUNK", 3)
    monkeypatch.setattr("closedbook.training.asking.questions.CHUNK", 3)
    plain = ["--plain_predictions", tmp_path / "plain.txt"]
    whole = tiny.evaluate(pretrained, "--batch_size", "2", *("--output_dir", tmp_path / "whole", *plain))
    one_a_line = (tmp_path / "plain.txt").read_bytes()
    assert set(content(tmp_path / "whole")) == {"predictions.jsonl"}

    append, parts = GrowingFile.append, []

    def stop(self, rows):
        if len(parts) == 2:
            raise KeyboardInterrupt
        parts.append(append(self, rows))

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(GrowingFile, "append", stop)
        tiny.evaluate(pretrained, "--batch_size", "2", *("--output_dir", folder, *plain))
    assert "6 of 8 questions are kept: the same command goes on after them" in capsys.readouterr().err
    assert set(content(folder)) == {"predictions.jsonl.partial", "predictions.jsonl.partial.json"}
    before = content(folder)
    for other, differs in (
        (["--batch_size", "3"], r"\(batch_size: 2 there, 3 now\)"),
        (["--max_new_tokens", "9"], r"\(max_new_tokens: 8 there, 9 now\)"),
        (["--split", "train"], r"\(asked: 8 there, 12 now; questions: "),
    ):
        with pytest.raises(ValueError, match=rf"partial\.json is of a run with another .*{differs}"):
            tiny.evaluate(pretrained, "--batch_size", "2", *("--output_dir", folder, *other))
        assert content(folder) == before
    capsys.readouterr()
    result = tiny.evaluate(pretrained, "--batch_size", "2", *("--output_dir", folder, *plain))
    assert "going on after 6 of 8 questions" in capsys.readouterr().err
    assert content(folder) == content(tmp_path / "whole")
    assert (tmp_path / "plain.txt").read_bytes() == one_a_line
    assert {**result, "command": ""} == {**whole, "command": ""}


KILLED = """
import sys, time
from closedbook.training.asking import questions, stream
from closedbook.training.finished_runs import GrowingFile
questions.CHUNK = stream.CHUNK = 2
append = GrowingFile.append
def slowly(self, rows):
    append(self, rows)
    time.sleep(float(sys.argv[1]))
GrowingFile.append = slowly
questions.main(sys.argv[2:])
"""


def test_a_killed_process_loses_nothing_that_was_counted(tiny, pretrained, tmp_path, monkeypatch):
    flags = ["--model", pretrained, "--max_new_tokens", "8", "--batch_size", "2"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = warm.Process(["-c", KILLED, "60", *flags, "--output_dir", killed], env=tiny.environment())
    record, end = killed / "predictions.jsonl.partial.json", time.monotonic() + 120
    while not (record.exists() and json.loads(record.read_text(encoding="utf-8"))["rows"]):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    first = (killed / "predictions.jsonl.partial").read_bytes()
    warm.run(["-c", KILLED, "0", *flags, "--output_dir", killed], env=tiny.environment(), check=True)
    monkeypatch.setattr(stream, "CHUNK", 2)
    tiny.evaluate(pretrained, "--batch_size", "2", "--output_dir", whole)
    assert content(killed) == content(whole)
    assert content(whole)["predictions.jsonl"].startswith(first)


# ---- how long it may take


@pytest.mark.parametrize(
    ("seconds", "left", "words"),
    [
        ([10, 10, 10], 100, "about 10 s left"),
        ([10, 12, 14], 10_000, "17 to 23 min left"),
        ([10, 10], 1_000_000, "about 28 h left"),
        ([100, 120], 10_000_000, "118 to 137 days left"),
        ([10], 0, ""),
        ([], 100, ""),
    ],
)
def test_the_time_left_is_said_as_a_range_of_what_the_chunks_took(seconds, left, words):
    written = [(0, 0.0)]
    for each in seconds:
        written.append((written[-1][0] + 100, written[-1][1] + each))
    assert time_left(written, written[-1][0] + left) == words
