"""Stages of a command of many runs: done once, begun again where broken off, of one budget."""

import json

import pytest

from closedbook.training.finished_runs import again, begin, find_result, finished, run_stage
from closedbook.training.run_folder import RUN_FILE


def leave(folder, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUN_FILE).write_text(json.dumps(facts), encoding="utf-8")


def test_a_stage_runs_until_it_is_finished_and_not_again(tmp_path):
    output, calls = tmp_path / "stage", []

    def script(argv):
        calls.append(argv)
        leave(output, **({"eval_loss": 1.0} if len(calls) == 2 else {}))
        return {"call": len(calls)}

    assert not finished(output) and again(output) == []
    assert run_stage(script, ["--seed", "1"], output) == {"call": 1}
    assert not finished(output)  # as a killed run leaves it
    run_stage(script, ["--seed", "1"], output)
    assert run_stage(script, ["--seed", "1"], output) == finished(output) == {"eval_loss": 1.0}
    place = ["--output_dir", str(output)]
    assert calls == [["--seed", "1", *place], ["--seed", "1", "--overwrite", *place]]


def test_a_result_is_found_only_under_its_own_budget(tmp_path):
    path, folder, budget = tmp_path / "result.json", tmp_path / "run", {"steps": 3}
    assert find_result(path, folder, budget) is None
    path.write_text(
        json.dumps({"accuracy": 1}), encoding="utf-8"
    )  # written by the evaluation; not all is in it yet
    assert find_result(path, folder, budget) is None
    begin(folder, budget)
    assert find_result(path, folder, budget) is None
    path.write_text(json.dumps({"accuracy": 1, "budget": budget}), encoding="utf-8")
    assert find_result(path, folder, budget) == {"accuracy": 1, "budget": budget}
    with pytest.raises(ValueError, match="result.json is of a run with another budget"):
        find_result(path, folder, {"steps": 4})


def test_a_run_that_was_begun_with_another_budget_is_refused(tmp_path):
    begin(tmp_path / "run", {"steps": 3})
    with pytest.raises(ValueError, match="budget.json is of a run with another budget.* use another --results"):
        find_result(tmp_path / "result.json", tmp_path / "run", {"steps": 4})
