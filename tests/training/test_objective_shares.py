"""Objectives as recipes write them: shares, parts of the run, and what is wrong with a mistyped one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.objectives.table import OBJECTIVES
from closedbook.training.objective_shares import ObjectiveShare, parse_objectives


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("span_corruption", ObjectiveShare("span_corruption", 1, 0, 1)),
        ("span_corruption=3", ObjectiveShare("span_corruption", 3, 0, 1)),
        ("left_to_right=0.5@0.7", ObjectiveShare("left_to_right", 0.5, 0.7, 1)),
        ("entity_list=1@0-0.5", ObjectiveShare("entity_list", 1, 0, 0.5)),
        ("entity_list=1@-0.5", ObjectiveShare("entity_list", 1, 0, 0.5)),
        ("entity_list@0.25-0.75", ObjectiveShare("entity_list", 1, 0.25, 0.75)),
    ],
)
def test_an_objective_has_a_share_and_a_part_of_the_run(text, expected):
    assert parse_objectives([text]) == [expected]


def test_the_order_of_the_list_is_kept():
    assert [share.objective for share in parse_objectives(["b=2", "a", "b=1@0.5"])] == ["b", "a", "b"]


@given(st.floats(0.001, 1000), st.floats(0, 0.49), st.floats(0.51, 1))
def test_what_is_written_is_what_is_read(weight, begin, end):
    (share,) = parse_objectives([f"x={weight:.6f}@{begin:.6f}-{end:.6f}"])
    assert share == ObjectiveShare("x", float(f"{weight:.6f}"), float(f"{begin:.6f}"), float(f"{end:.6f}"))


def test_no_objectives_are_refused():
    with pytest.raises(ValueError, match="no objectives are given"):
        parse_objectives([])


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "much"])
def test_a_weight_that_is_no_positive_number_is_named(weight):
    with pytest.raises(ValueError, match=f"'x={weight}': '{weight}' is not a positive number"):
        parse_objectives(["ok", f"x={weight}"])


@pytest.mark.parametrize("part", ["0.5-0.5", "0.7-0.2", "-0.1-1", "0-1.5", "1", "late", "0.5-nan"])
def test_a_part_that_is_none_of_the_run_is_named(part):
    with pytest.raises(ValueError, match=f"'{part}' is no part of the run, such as @0.7"):
        parse_objectives([f"x=1@{part}"])


def test_every_objective_of_documents_trains_in_one_mixture(tiny, files, tmp_path):
    objectives = [name for name in OBJECTIVES if name != "question_answering"]
    shares = [f"{name}={1 + number % 3}@{number % 2 * 0.5}" for number, name in enumerate(objectives)]
    corpus = ["--corpus", "wiki", "--corpus_path", files["wiki"], "--shift_positions", "True"]
    run = tiny.pretrain(tmp_path / "run", *corpus, "--objectives", *shares)
    assert run.objectives == shares and 0 < run.eval_loss < 10
    assert run.train_characters > 8 * 8 * 10  # 8 steps of 8 examples
