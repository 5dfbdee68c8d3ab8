"""Result files survive crashes, carry what a reader needs, and are refused where they are incomplete."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from datasets import Dataset

from closedbook.evaluation import results as module
from closedbook.evaluation.answering.closed_book import Answer
from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import open_atomic, write_json_atomic, write_jsonl_atomic, write_text_atomic
from closedbook.evaluation.predictions import write_plain_predictions, write_predictions
from closedbook.evaluation.results import PROTOCOLS, check_result, load_results, make_result, result_path
from closedbook.evaluation.statistics.intervals import wilson_interval

MEASURED = {
    "task": "cs224n",
    "split": "dev",
    "model": "vanilla",
    "parameters": 3_323_392,
    "protocol": "two_stage",
    "recipe": "reference",
    "seed": 3,
    "n": 500,
    "correct": 100,
    "train_characters": 1000,
    "train_seconds": 12.5,
}


# Writing


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
        "from closedbook.evaluation.results import open_atomic\n"
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


# The environment


def test_the_environment_names_versions_and_hardware():
    environment = run_environment()
    assert environment["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    for package in (
        "torch",
        "transformers",
        "datasets",
        "accelerate",
        "evaluate",
        "tokenizers",
        "closedbook",
    ):
        assert environment["versions"][package] == version(package)
    assert " core" in environment["hardware"] and "GiB memory" in environment["hardware"]
    json.dumps(environment)


def test_a_graphics_card_is_named_with_its_memory(monkeypatch):
    card = SimpleNamespace(name="Some GPU", total_memory=24 * 2**30)
    monkeypatch.setattr(module.torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(module.torch.cuda, "get_device_properties", lambda index: card)
    assert run_environment()["hardware"].endswith("Some GPU (24 GiB)")


def test_the_command_is_recorded_as_it_was_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scripts/answer.py", "--questions", "/elsewhere/my file.tsv"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert run_environment()["command"] == "python scripts/answer.py --questions '/elsewhere/my file.tsv'"


def test_a_module_run_by_name_is_recorded_by_name(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/closedbook/evaluation/report.py", "--output", "x"])
    spec = SimpleNamespace(name="closedbook.evaluation.reports.accuracies")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    assert run_environment()["command"] == "python -m closedbook.evaluation.reports.accuracies --output x"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout that tracks a stand-in for results.py; returns the function that runs git in it."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]

    def git(*arguments: str) -> str:
        run = subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return run.stdout.strip()

    source = tmp_path / "results.py"
    source.write_text("first = 1\n")
    git("init", "-q")
    monkeypatch.setattr(module, "__file__", str(source))
    return git


def test_the_commit_is_that_of_the_checkout_and_marked_when_files_were_changed(tmp_path, checkout):
    assert run_environment()["commit"] is None  # nothing committed yet
    checkout("add", "results.py")
    checkout("commit", "-q", "-m", "first")
    checkout("tag", "-a", "v1", "-m", "a tag does not replace the hash")
    head = checkout("rev-parse", "HEAD")
    assert run_environment()["commit"] == head
    (tmp_path / "output.json").write_text("{}")  # untracked
    assert run_environment()["commit"] == head
    (tmp_path / "results.py").write_text("second = 2\n")
    assert run_environment()["commit"] == f"{head}-dirty"


def test_an_installed_copy_inside_another_projects_checkout_has_no_commit(tmp_path, checkout, monkeypatch):
    checkout("add", "results.py")
    checkout("commit", "-q", "-m", "another project")
    installed = tmp_path / "site-packages" / "results.py"
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(module, "__file__", str(installed))
    assert run_environment()["commit"] is None


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert run_environment()["commit"] is None


# Results


def test_a_result_holds_what_was_measured_and_what_follows_from_it(tmp_path):
    result = make_result(**MEASURED)
    assert MEASURED.items() <= result.items()
    assert result["accuracy"] == 0.2
    assert result["interval"] == list(wilson_interval(100, 500))
    assert {"versions", "hardware", "command", "commit"} <= result.keys()
    path = result_path(tmp_path, "cs224n", "vanilla", "two_stage", 3)
    assert path == tmp_path / "cs224n" / "vanilla-two_stage-seed3.json"
    write_json_atomic(path, result)
    assert load_results(tmp_path) == [result]


@pytest.mark.parametrize("field", sorted(make_result(**MEASURED)))
def test_every_field_is_required(field):
    result = make_result(**MEASURED)
    del result[field]
    with pytest.raises(ValueError, match=f"this file lacks the fields {field};"):
        check_result(result, "this file")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "one_stage"}, "one_stage.*majority, no_pretraining, two_stage, mixed"),
        ({"n": 0}, "contradicts itself"),
        ({"correct": 501}, "contradicts itself"),
        ({"accuracy": 0.3}, "contradicts itself"),
        ({"seed": "3"}, "unusable value for seed: '3'"),
        ({"seed": True}, "unusable value for seed"),
        ({"parameters": -1}, "negative parameters"),
        ({"interval": [0.1]}, "not .low, high."),
    ],
)
def test_results_that_cannot_be_true_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_result(make_result(**MEASURED) | change, "this file")


def test_impossible_counts_are_refused_before_a_result_is_made():
    with pytest.raises(ValueError, match="correct must be"):
        make_result(**MEASURED | {"correct": 501})


def test_an_unreadable_result_is_named(tmp_path):
    (tmp_path / "cs224n").mkdir()
    bad = tmp_path / "cs224n" / "bad.json"
    bad.write_text("{")
    with pytest.raises(ValueError, match=r"bad\.json is not readable as JSON"):
        load_results(tmp_path)
    bad.write_text('{"task": "cs224n"}')
    with pytest.raises(ValueError, match=r"bad\.json lacks the fields split, model"):
        load_results(tmp_path)
    bad.write_text("[]")
    with pytest.raises(ValueError, match=r"bad\.json is not a result"):
        load_results(tmp_path)


def test_a_folder_without_results_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no results in"):
        load_results(tmp_path)


def test_every_protocol_makes_its_own_path_and_names_cannot_leave_the_folder(tmp_path):
    paths = {result_path(tmp_path, "t", "m", protocol, 0) for protocol in PROTOCOLS}
    assert len(paths) == len(PROTOCOLS)
    for task, model, protocol in (("../t", "m", "mixed"), ("t", "a/b", "mixed"), ("t", "m", "other")):
        with pytest.raises(ValueError, match=r"file name|unknown protocol"):
            result_path(tmp_path, task, model, protocol, 0)


# Predictions

QUESTIONS = Dataset.from_dict(
    {
        "question": ["Where was A born?", "Where was B born?", "Where was C born?"],
        "answers": [["Cologne", "Köln"], ["Oslo"], []],
        "entity": ["A", "B", "C"],
    }
)
ANSWERS = [Answer("Köln", -0.5, True), Answer("Rome\r\nand\u2028more", -2.0, False), Answer("", 0.0, True)]


def test_predictions_hold_one_row_a_question_with_its_verdict(tmp_path):
    write_predictions(tmp_path / "predictions.jsonl", QUESTIONS, ANSWERS)
    lines = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = [json.loads(line) for line in lines]
    assert rows[0] == {
        "question": "Where was A born?",
        "entity": "A",
        "answers": ["Cologne", "Köln"],
        "prediction": "Köln",
        "correct": True,
        "confidence": pytest.approx(0.60653, abs=1e-5),
        "complete": True,
    }
    assert [row["correct"] for row in rows] == [True, False, None]
    assert [row["complete"] for row in rows] == [True, False, True]


def test_predictions_for_another_number_of_questions_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 answers to 3 questions"):
        write_predictions(tmp_path / "predictions.jsonl", QUESTIONS, ANSWERS[:2])
    assert os.listdir(tmp_path) == []


def test_plain_predictions_are_one_line_a_question_whatever_the_answers_hold(tmp_path):
    write_plain_predictions(tmp_path / "places.txt", ANSWERS)
    text = (tmp_path / "places.txt").read_bytes().decode()
    assert text == "Köln\nRome  and more\n\n"
    assert len(text.splitlines()) == len(ANSWERS)
