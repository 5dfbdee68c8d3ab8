"""Tables of what recorded runs know, and the targets' numbers in one file."""

import json

import pytest

from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.knowing.summary import summarise_knowing
from closedbook.evaluation.reports.generated.knowing import (
    confidences_block,
    knowing_block,
    knowing_summary,
    recorded_knowing,
    strangers_block,
)

NAMES = ("sequence_probability", "familiarity")


def row(group: str, number: int, correct: bool, sure: float, familiar: float, kind: str | None = None) -> dict:
    return {
        "group": group,
        **({} if kind is None else {"kind": kind}),
        "question": f"Where was {group} {kind} {number} born?",
        "entity": f"{group} {kind} {number}",
        "answers": ["Rome"],
        "prediction": "Rome" if correct else "Oslo",
        "correct": correct,
        "confidence": sure,
        "complete": True,
        "confidences": dict(zip(NAMES, (sure, familiar), strict=True)),
        "provenance": "stated",
        "refused": False,
    }


@pytest.fixture
def results(tmp_path):
    """One run of a former version, and two that were asked about strangers."""
    for name, familiar in (("new-1", 0.3), ("new-2", 0.7)):
        rows = [row(group, n, n % 10 > 0, 0.9, 0.6) for group in ("asked", "held_out") for n in range(100)]
        rows += [row("held_out", n, False, 0.5, 0.6) for n in range(100, 160)]  # the threshold is above these
        rows += [row("invented", n, False, 0.4, 0.2) for n in range(20)]
        rows += [row("strangers", n, False, 0.95, familiar, "altered") for n in range(10)]
        found = {"name": name, "questions": "t", "train_seed": 7} | summarise_knowing(rows, 0.2)
        write_json_atomic(tmp_path / "knowing" / f"{name}.json", found)
    old = {key: value for key, value in found.items() if key != "strangers"} | {"name": "old"}
    write_json_atomic(tmp_path / "knowing" / "old.json", old)
    return tmp_path


def test_strangers_stand_by_kind_with_what_the_threshold_gives_them(results):
    lines = strangers_block(results).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["new-1", "new-2"]
    cells = lines[2].strip("| ").split(" | ")
    assert cells == ["new-1", "sequence_probability", "90.0%", "100.0%", "10.0%", "0.0%, 1.000", "100.0%, 1.000"]
    assert lines[3].strip("| ").split(" | ")[-1] == "100.0%, 0.000"


def test_confidences_are_means_over_runs(results):
    lines = confidences_block(results).splitlines()
    cells = lines[3].strip("| ").split(" | ")
    assert cells[0] == "familiarity" and cells[1] == "0.500"  # all are as familiar, right or wrong
    assert len(lines) == 4


def test_the_summary_has_every_run_and_is_no_run_itself(results):
    summary = knowing_summary(recorded_knowing(results), run_environment())
    assert list(summary["runs"]) == ["new-1", "new-2"]
    run = summary["runs"]["new-1"]
    assert (run["seed"], run["coverage"], run["kept"], run["invented_answered"]) == (7, 1.0, True, 0.0)
    assert run["promised"] == [0.2, None] and run["auroc_stranger"]["altered"]["familiarity"] == 1.0
    write_json_atomic(results / "knowing" / "summary.json", summary)
    json.dumps(summary)
    assert [found["name"] for found in recorded_knowing(results)] == ["new-1", "new-2", "old"]
    assert knowing_block(results).count("\n") == 5
