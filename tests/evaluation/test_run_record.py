"""The record of a run: nothing is lost on the way to the file and back, whichever version wrote it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.run_record import FORMAT, RUN_FILE, Run, Stage, read_run, write_run

FIRST = Stage(stage="pretrain", model="vanilla", recipe="a.yaml", seed=0, train_characters=10, train_seconds=1.5)
SECOND = Stage(stage="finetune", protocol="two_stage", seed=1, train_characters=5, eval_loss=0.5)
numbers, names = st.integers(0, 10**9), st.text(max_size=8)
stages = st.builds(
    Stage,
    stage=st.sampled_from(["pretrain", "finetune", "converted"]),
    seed=st.none() | numbers,
    recipe=st.none() | names,
    held_out_people=st.none() | st.lists(names, max_size=3),
    unknown_people=st.lists(names, max_size=3),
    arguments=st.dictionaries(names, numbers | st.none() | st.lists(names, max_size=2), max_size=3),
    eval_loss=st.none() | st.floats(0, 100),
    more=st.dictionaries(st.sampled_from(["later", "another"]), numbers, max_size=2),
)


@given(st.lists(stages, max_size=3))
def test_what_is_written_is_read(found):
    run = Run(tuple(found))
    assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run


def test_the_file_is_that_of_the_last_stage_with_those_before_inside(tmp_path):
    write_run(tmp_path, Run((FIRST, SECOND)))
    content = json.loads((tmp_path / RUN_FILE).read_text(encoding="utf-8"))
    assert (content["format"], content["stage"], content["pretraining"]["stage"]) == (
        FORMAT,
        "finetune",
        "pretrain",
    )
    assert read_run(tmp_path) == Run((FIRST, SECOND))


def test_a_file_without_a_format_is_of_the_first_one_and_knows_nothing_of_who_was_held_out(tmp_path):
    old = {"stage": "finetune", "seed": 3, "steps": 4, "recipe": None, "excluded_people": [], "pretraining": {}}
    (tmp_path / RUN_FILE).write_text(json.dumps(old), encoding="utf-8")
    assert read_run(tmp_path) == Run((Stage(stage="finetune", seed=3, steps=4),))
    assert read_run(tmp_path).last.held_out_people is None


def test_nobody_held_out_is_told_from_not_recorded():
    assert Run.from_json(Run((Stage(held_out_people=[]),)).to_json()).last.held_out_people == []


def test_a_folder_without_a_record_has_a_run_without_stages(tmp_path):
    run = read_run(tmp_path)
    assert not run and run.stages == () and run.last == Stage()
    assert (run.protocol, run.recipes, run.train_characters) == (None, "", 0)


def test_sums_and_words_are_of_all_stages():
    run = Run((FIRST, SECOND))
    assert (run.train_characters, run.train_seconds, run.recipes) == (15, 1.5, "a.yaml then flags")
    assert (run.protocol, Run((FIRST,)).protocol) == ("two_stage", "pretrain")
    assert run.last.is_finished and not FIRST.is_finished
    assert run.with_last(steps=3).stages == (FIRST, Stage(**{**vars(SECOND), "steps": 3}))


@pytest.mark.parametrize("text", ["{", "[]", '"run"', json.dumps({"format": FORMAT + 1, "stage": "pretrain"})])
def test_a_damaged_record_or_one_of_a_later_format_is_refused_by_name(tmp_path, text):
    (tmp_path / RUN_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="run.json is damaged or of another version"):
        read_run(tmp_path)
