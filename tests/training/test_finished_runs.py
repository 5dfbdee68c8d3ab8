"""Stages of a command of many runs: done once, begun again where broken off, of one budget."""

import json
from dataclasses import dataclass

import pytest

from closedbook.evaluation.run_record import Run, Stage, write_run
from closedbook.training.finished_runs import (
    again,
    begin,
    find_result,
    finished,
    read_record,
    refuse_another,
    run_stage,
)


@dataclass
class Told:
    """Stands for the settings of a stage: what it was parsed from."""

    argv: tuple
    values: dict

    @classmethod
    def parse(cls, argv, **values):
        return cls(tuple(argv), values)


def test_a_stage_runs_until_it_is_finished_and_not_again(tmp_path):
    output, calls = tmp_path / "stage", []

    def stage(settings):
        calls.append(settings)
        run = Run((Stage(stage="pretrain", seed=len(calls), eval_loss=1.0 if len(calls) == 2 else None),))
        write_run(output, run)
        return run

    assert not finished(output) and again(output) == {}
    assert run_stage(stage, Told, output, ["--fp16"], seed=1).last.seed == 1
    assert not finished(output)  # as a killed run leaves it
    run_stage(stage, Told, output, ["--fp16"], seed=1)
    assert run_stage(stage, Told, output, ["--fp16"], seed=1) == finished(output)
    assert finished(output).last.eval_loss == 1.0
    values = {"seed": 1, "output_dir": str(output)}
    assert calls == [Told(("--fp16",), values), Told(("--fp16",), values | {"overwrite": True})]


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
    with pytest.raises(ValueError, match=r"result.json is of a run with another steps, .*: 3 there, 4 now"):
        find_result(path, folder, {"steps": 4})


def test_a_run_that_was_begun_with_another_budget_is_refused(tmp_path):
    begin(tmp_path / "run", {"steps": 3})
    with pytest.raises(ValueError, match="budget.json is of a run with another steps.* use another folder"):
        find_result(tmp_path / "result.json", tmp_path / "run", {"steps": 4})


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_damaged_record_is_named_and_never_taken_for_one_that_is_missing(tmp_path, text):
    assert read_record(tmp_path / "result.json") is None
    (tmp_path / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"result\.json is .*move it away to make it again"):
        read_record(tmp_path / "result.json")
    with pytest.raises(ValueError, match=r"result\.json is "):
        find_result(tmp_path / "result.json", tmp_path / "run", {"steps": 3})


def test_everything_that_differs_is_named_and_more_that_is_known_does_not_matter(tmp_path):
    refuse_another(tmp_path, "a sweep", {"a": 1, "b": 2, "more": 3}, {"a": 1, "b": 2})
    with pytest.raises(ValueError, match=r"of a sweep with another b, c.*b: 2 there, 5 now; c: None there, 0 now"):
        refuse_another(tmp_path, "a sweep", {"a": 1, "b": 2}, {"a": 1, "b": 5, "c": 0})
