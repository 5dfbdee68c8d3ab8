"""What a card says of confidence comes from knowing.json, and the Hub's library reads it."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard

from closedbook.evaluation.answering.confidence import CONFIDENCES
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.knowing.summary import summarise_knowing
from closedbook.evaluation.results import make_result
from closedbook.evaluation.run_record import read_run
from closedbook.training.asking import reporting
from closedbook.training.model_card import record_evaluation, record_knowing, record_run


def predictions(group, provenance) -> list[dict]:
    found = []
    for number in range(20):
        value = 1 - number / 20
        row = {"question": f"{group} {number}?", "entity": f"{group} {number}", "answers": ["Oslo"]}
        row |= {"group": group, "prediction": "Oslo", "correct": group != "invented" and number < 12}
        row |= {"confidence": value, "complete": True, "confidences": dict.fromkeys(CONFIDENCES, value)}
        found.append(row | {"provenance": provenance, "refused": False})
    return found


@pytest.fixture(scope="module")
def knowing() -> dict:
    groups = {"asked": "stated", "held_out": "stated", "invented": "unseen"}
    rows = [row for group, provenance in groups.items() for row in predictions(group, provenance)]
    return {"questions": "births"} | summarise_knowing(rows, 0.5)


@pytest.fixture
def folder(pretrained, tmp_path, knowing):
    """A copy of a trained folder, with what scripts/knowing.py adds."""
    copy = shutil.copytree(pretrained, tmp_path / "model", ignore=shutil.ignore_patterns("checkpoint-*"))
    write_json_atomic(copy / "knowing" / "knowing.json", knowing)
    return copy


def test_calibration_error_and_aurc_stand_in_the_model_index_beside_the_accuracy(folder, knowing):
    measured = {"task": "births", "split": "dev", "model": "vanilla", "parameters": 1, "protocol": "two_stage"}
    measured |= {"recipe": "r", "seed": 0, "train_characters": 1, "train_seconds": 1}
    record_evaluation(folder, make_result(**measured, n=20, correct=12))
    entries = {entry.metric_type: entry for entry in ModelCard.load(folder / "README.md").data.eval_results}
    assert list(entries) == ["exact_match", "calibration_error", "aurc"]
    figures = knowing["confidences"][knowing["confidence"]]
    assert entries["aurc"].metric_value == figures["abstention"]["aurc"]
    error = figures["calibration"]["before"]["expected_calibration_error"]
    assert entries["calibration_error"].metric_value == error
    assert entries["exact_match"].metric_args["wilson_interval_95"][0] < 0.6
    assert entries["aurc"].metric_args == {"confidence": knowing["confidence"], "num_questions": 20}


def test_the_card_says_how_many_invented_people_get_an_answer(folder, knowing):
    record_knowing(folder)
    text = (folder / "README.md").read_text(encoding="utf-8").split("## Results")[1].split("\n## ")[0]
    count = knowing["invented"]["answered_confidently"]["count"]
    assert f"{count / 20:.1%} of 20 invented people get an answer" in text
    assert knowing["abstention"]["explanation"].split(":")[0] in text


def test_a_damaged_summary_costs_the_card_and_no_more(folder, caplog):
    before = (folder / "README.md").read_text(encoding="utf-8")
    write_json_atomic(folder / "knowing" / "knowing.json", {})
    record_knowing(folder)
    assert "knowing.json lacks questions" in caplog.text
    assert (folder / "README.md").read_text(encoding="utf-8") == before


def test_new_weights_forget_what_the_old_ones_knew(folder):
    (folder / "knowing" / "predictions.jsonl").touch()
    record_run(folder, read_run(folder))
    assert not list((folder / "knowing").iterdir())
    assert ModelCard.load(folder / "README.md").data.eval_results is None


def test_a_recorded_run_stands_in_the_pictures_and_in_the_readme(folder, knowing, tmp_path):
    results, readme = tmp_path / "results", tmp_path / "README.md"
    measured = {"task": "births", "split": "dev", "model": "vanilla", "parameters": 1, "protocol": "two_stage"}
    measured |= {"recipe": "r", "seed": 0, "train_characters": 1, "train_seconds": 1}
    path = results / "births" / "vanilla-two_stage-seed0.json"
    write_json_atomic(path, make_result(**measured, n=20, correct=12))
    readme.write_text("<!-- report:knowing -->\n<!-- /report -->\n", encoding="utf-8")
    flags = ["--results", results, "--record", folder, "--figures", tmp_path / "figures", "--readme", readme]
    reporting.main([str(flag) for flag in flags])
    pictures = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert {"risk-coverage.png", "invented-people.png", "provenance-model.png"} <= pictures
    area = knowing["confidences"][knowing["confidence"]]["abstention"]["aurc"]
    (row,) = [line for line in readme.read_text(encoding="utf-8").splitlines() if line.startswith("| model ")]
    assert f"| {area:.3f} |" in row and "60.0% [" in row
    assert json.loads((results / "knowing" / "model.json").read_text(encoding="utf-8"))["name"] == "model"
