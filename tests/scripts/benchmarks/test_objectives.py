"""The benchmark of the data side times every objective; how fast anything is, no test asserts."""

import json

import pytest

from closedbook.data.objectives.table import OBJECTIVES
from closedbook.scripts.benchmarks import objectives

pytestmark = pytest.mark.usefixtures("leave_threads_as_they_were")


def test_every_objective_is_set_against_training_and_the_lowest_ratio_is_named(monkeypatch, capsys, tmp_path):
    """Training itself is the business of `training.py`, and of its test: here it is a number."""
    monkeypatch.setattr(objectives, "time_ours", lambda settings, components, alphabet: (50.0, 3_323_392))
    output = tmp_path / "new" / "objectives.json"
    returned = objectives.main(["--num_people", "3", "--repeats", "1", "--output", str(output)])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == returned == json.loads(output.read_text(encoding="utf-8"))
    assert printed["objectives"].keys() == OBJECTIVES.keys()
    for entry in printed["objectives"].values():
        assert entry["ratio"] == pytest.approx(min(entry["first_walk"], entry["later_walks"]) / 50)
    assert printed["lowest_ratio"] == min(entry["ratio"] for entry in printed["objectives"].values()) > 0
    assert (printed["training"], printed["asked_ratio"], printed["threads"]) == (50.0, 10, 1)


def test_a_count_below_one_is_refused():
    with pytest.raises(ValueError, match="--repeats must be at least 1, got 0"):
        objectives.main(["--repeats", "0"])
