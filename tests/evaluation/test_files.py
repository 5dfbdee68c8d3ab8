"""Files appear whole or not at all, whatever happens while they are written."""

import json
import os
import subprocess
import sys

import pytest

from closedbook.evaluation import files as module
from closedbook.evaluation.files import (
    open_atomic,
    read_json_object,
    read_json_objects,
    write_json_atomic,
    write_jsonl_atomic,
    write_text_atomic,
)


def test_text_json_and_json_lines_come_back_as_written(tmp_path):
    write_text_atomic(tmp_path / "new" / "folder" / "a.txt", "Köln\n⁇")
    assert (tmp_path / "new" / "folder" / "a.txt").read_bytes() == "Köln\n⁇".encode()
    write_json_atomic(tmp_path / "a.json", {"place": "Köln", "n": 1})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"place": "Köln", "n": 1}
    write_jsonl_atomic(tmp_path / "a.jsonl", iter([{"a": "x\ny"}, {"a": "é"}]))
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [{"a": "x\ny"}, {"a": "é"}]


def failing_rows():
    yield {"row": 0}
    raise RuntimeError("halfway")


def test_a_write_that_fails_halfway_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_jsonl_atomic(path, [{"old": True}])
    with pytest.raises(RuntimeError, match="halfway"):
        write_jsonl_atomic(path, failing_rows())
    assert path.read_text() == '{"old": true}\n'
    assert os.listdir(tmp_path) == ["rows.jsonl"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    write_text_atomic(path, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(module.os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomic(path, "old")
    script = (
        "import os, sys\n"
        "from closedbook.evaluation.files import open_atomic\n"
        "with open_atomic(sys.argv[1]) as file:\n"
        "    file.write('half of the n')\n"
        "    file.flush()\n"
        "    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], timeout=120).returncode == 9
    assert path.read_text() == "old"


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomic(path, "old")
    with open_atomic(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_cannot_hold_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(tmp_path / "a.json", {"loss": value})
    with pytest.raises(ValueError, match="JSON"):
        write_jsonl_atomic(tmp_path / "a.jsonl", [{"loss": value}])
    assert os.listdir(tmp_path) == []


def test_what_was_written_is_read_whatever_the_strings_hold(tmp_path):
    rows = [{"text": "one\u2028line\x85, \n, \r and \x0b"}, {"n": 1}]
    write_jsonl_atomic(tmp_path / "a.jsonl", rows)
    assert read_json_objects(tmp_path / "a.jsonl") == rows
    write_json_atomic(tmp_path / "a.json", rows[0])
    assert read_json_object(tmp_path / "a.json") == rows[0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"a": 1}\n{"b":', "line 2 is not JSON"),
        (b'{"a": 1}\n\n{"b": 2}', "line 2 is not JSON"),
        (b'{"a": 1}\n{"b": "\xff"}', "line 2 is not text"),
        (b'{"a": 1}\n"b"\n', "line 2 has to be a JSON object, but is 'b'"),
        (b"", "is empty"),
    ],
)
def test_a_damaged_line_is_named_with_what_to_do(content, complaint, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.jsonl.*{complaint}.*; restore it, or move it away"):
        read_json_objects(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"a": 1,\n"b": \n', "line 3 is not JSON"),
        (b'{"a": 1,\n"b": "\xff"}', "line 2 is not text"),
        (b"[1]", r"line 1 has to be a JSON object, but is \[1\]"),
    ],
)
def test_a_damaged_file_is_named_with_the_line(content, complaint, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.json, {complaint}.*; restore it, or move it away"):
        read_json_object(tmp_path / "a.json")
