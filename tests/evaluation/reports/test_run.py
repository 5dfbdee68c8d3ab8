"""The files of a run are read together, and refused where they contradict each other."""

import json

import pytest

from closedbook.evaluation.files import write_json_atomic, write_jsonl_atomic
from closedbook.evaluation.reports.run import read_object, read_run_files
from closedbook.evaluation.results import make_result
from closedbook.evaluation.statistics.intervals import wilson_interval

ROW = {"question": "Where was Ada Lind born?", "entity": "Ada Lind", "answers": ["Oslo"], "prediction": "Oslo"}
ROW |= {"correct": None, "confidence": 0.5, "complete": True}


def result(n=2, correct=1) -> dict:
    measured = {
        "task": "t",
        "split": "dev",
        "model": "vanilla",
        "parameters": 1,
        "protocol": "mixed",
        "recipe": "r",
    }
    return make_result(**measured, seed=0, n=n, correct=correct, train_characters=1, train_seconds=1)


@pytest.fixture
def folder(tmp_path):
    write_json_atomic(tmp_path / "run.json", {"stage": "pretrain"})
    rows = [ROW | {"correct": True}, ROW | {"correct": False}]
    write_jsonl_atomic(tmp_path / "dev" / "predictions.jsonl", rows)
    write_json_atomic(tmp_path / "dev" / "results.json", result())
    return tmp_path


def test_a_run_with_one_evaluation_needs_no_split(folder):
    files = read_run_files(folder)
    assert (files.split, files.name, len(files.predictions)) == ("dev", folder.name, 2)
    assert files.result["correct"] == 1
    assert files.score == (1, 2, wilson_interval(1, 2))
    assert (files.knowing, files.knowing_rows) == (None, [])


def test_what_the_model_knows_is_read_beside_but_is_no_split(folder):
    fields = ("questions", "confidence", "confidences", "groups", "abstention", "provenance", "invented")
    write_json_atomic(folder / "knowing" / "knowing.json", dict.fromkeys(fields))
    write_jsonl_atomic(folder / "knowing" / "predictions.jsonl", [ROW | {"provenance": "unseen"}])
    files = read_run_files(folder)
    assert (files.split, set(files.knowing)) == ("dev", set(fields))
    assert files.knowing_rows[0]["provenance"] == "unseen"


def test_one_of_several_evaluations_has_to_be_chosen(folder):
    write_jsonl_atomic(folder / "test" / "predictions.jsonl", [ROW])
    with pytest.raises(ValueError, match="predictions for dev, test: choose one"):
        read_run_files(folder)
    files = read_run_files(folder, "test")
    assert (len(files.predictions), files.result, files.score) == (1, None, None)
    with pytest.raises(ValueError, match="no predictions for 'dve', only for dev, test"):
        read_run_files(folder, "dve")


def test_a_run_that_was_never_evaluated_is_still_a_run(tmp_path):
    write_json_atomic(tmp_path / "run.json", {})
    files = read_run_files(tmp_path)
    assert (files.split, files.predictions, files.result) == ("", [], None)


def test_another_folder_and_damaged_files_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no run\.json"):
        read_run_files(tmp_path / "dev")
    (folder / "run.json").write_text("[")
    with pytest.raises(ValueError, match=r"run\.json is damaged or of another version: "):
        read_run_files(folder)
    (folder / "run.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match=r"run\.json is damaged .*: it is not a JSON object"):
        read_run_files(folder)
    with pytest.raises(ValueError, match="does not exist"):
        read_object(folder / "none.json")


@pytest.mark.parametrize("wrong", [{"n": 3}, {"correct": 2}])
def test_results_and_predictions_of_different_runs_are_refused(folder, wrong):
    write_json_atomic(folder / "dev" / "results.json", result(**wrong))
    with pytest.raises(ValueError, match="they are of different runs; evaluate again"):
        read_run_files(folder)
