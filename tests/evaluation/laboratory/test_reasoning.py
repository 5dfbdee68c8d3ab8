"""Chain of thought in the laboratory: what an answer is worth, where steps go wrong, what arms say together."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.generated.word_problems import WordProblem, WordProblems, worked_answer
from closedbook.evaluation.answering.closed_book import Answer
from closedbook.evaluation.laboratory.reasoning import (
    FAULTS,
    baseline_rows,
    draw_reasoning,
    find_fault,
    grade,
    reasoning_table,
    summarise,
)
from closedbook.evaluation.statistics.intervals import wilson_interval

PROBLEM = WordProblem("Ada has 7 apples. ...", 7, (("+", 5), ("-", 3), ("*", 2)))
OTHER = WordProblem("Ben has 2 pens. ...", 2, (("+", 5),))


def answered(text, complete=True):
    return Answer(text, -0.1, complete)


@pytest.mark.parametrize(
    "text, fault",
    [
        ("7+5=12. 12-3=9. 9*2=18. 18", (None, None)),
        ("7+5=12. 12-3=9. 9*2=18. 17", (None, None)),  # the steps are right, the answer is not
        ("7+5=13. 13-3=10. 10*2=20. 20", ("arithmetic", 1)),
        ("7+5=12. 12-4=8. 8*2=16. 16", ("operation", 2)),
        ("7+5=12. 12*2=24. 24-3=21. 21", ("operation", 2)),
        ("7+5=12. 11-3=8. 8*2=16. 16", ("carried", 2)),
        ("7+5=12. 12-3=9. 9", ("too_few", 3)),
        ("18", ("too_few", 1)),
        ("", ("too_few", 1)),
        ("7+5=12. 12-3=9. 9*2=18. 18+1=19. 19", ("too_many", 4)),
        ("7+5=12. 12-3. 9*2=18. 18", ("malformed", 2)),
        ("7+5=12. 12-3=9.  9*2=18. 18", ("malformed", 3)),
        (f"7+5={'1' * 5000}. 1", ("malformed", 1)),
    ],
)
def test_the_first_wrong_step_is_found_and_named(text, fault):
    assert find_fault(PROBLEM, text) == fault
    assert fault[0] is None or fault[0] in FAULTS


@given(st.integers(0, 1000), st.integers(1, 6), st.data())
def test_right_steps_have_no_fault_and_a_changed_result_is_found_where_it_is(seed, num_steps, data):
    problem = WordProblems(seed, 1, [num_steps], "test")[0]
    assert find_fault(problem, worked_answer(problem)) == (None, None)
    place = data.draw(st.integers(0, num_steps - 1))
    equations = problem.equations
    left, _, result = equations[place].partition("=")
    equations[place] = f"{left}={int(result) + data.draw(st.integers(1, 5))}"
    assert find_fault(problem, " ".join(f"{step}." for step in equations) + " 1") == ("arithmetic", place + 1)


def test_an_answer_is_right_if_its_number_is_and_it_came_to_an_end():
    right = "7+5=12. 12-3=9. 9*2=18. 18"
    row = grade(PROBLEM, answered(right), True)
    assert row["right"] and row["fault"] is None and row["num_steps"] == 3 and row["answer"] == 18
    assert not grade(PROBLEM, answered(right, complete=False), True)["right"]
    assert not grade(PROBLEM, answered("nothing"), False)["right"]
    assert grade(PROBLEM, answered("....... 18"), False)["right"]
    assert "fault" not in grade(PROBLEM, answered("18"), False)


def test_the_guessers_learn_from_training_and_are_counted_by_number_of_steps():
    training = [OTHER] * 3 + [PROBLEM] * 2  # the most common answer is 7; 18 comes after a doubling
    doubled = replace(PROBLEM, question="He has 7 pens. He gets 5 more.", steps=(("+", 1), ("*", 2)))  # answer 16
    asked = [replace(OTHER, question="Eva has 2 pens. She finds 7."), PROBLEM, doubled]
    assert baseline_rows(training, asked) == [
        {"num_steps": 1, "n": 1, "majority": 1, "last_number": 1, "last_step": 1},
        {"num_steps": 2, "n": 1, "majority": 0, "last_number": 0, "last_step": 0},
        {"num_steps": 3, "n": 1, "majority": 0, "last_number": 0, "last_step": 1},
    ]


def result(style, seed, outputs, trained_steps=(1,)):
    """An arm that was asked OTHER, then PROBLEM, as often as there are outputs."""
    problems = [OTHER, PROBLEM] * (len(outputs) // 2)
    rows = [grade(p, answered(text), style == "worked") for p, text in zip(problems, outputs, strict=True)]
    baselines = [
        {"num_steps": steps, "n": len(outputs) // 2, "majority": 0, "last_number": 1, "last_step": 0}
        for steps in (1, 3)
    ]
    arm = {"style": style, "seed": seed}
    return {"arm": arm, "rows": rows, "trained_steps": list(trained_steps), "baselines": baselines}


GOOD, BAD = "7+5=12. 12-3=9. 9*2=18. 18", "7+5=12. 12-3=8. 8*2=16. 16"
RESULTS = [
    result("direct", 0, ["7", "3", "7", "18"]),
    result("worked", 0, ["2+5=7. 7", GOOD, "2+5=7. 7", GOOD]),
    result("direct", 1, ["6", "3", "7", "3"]),
    result("worked", 1, ["2+5=7. 7", GOOD, "2+5=8. 8", BAD]),
]


def test_seeds_are_pooled_and_every_number_has_its_interval():
    summary = summarise(RESULTS)
    cells = {(cell["style"], cell["num_steps"]): cell for cell in summary["cells"]}
    assert {key: (cell["correct"], cell["n"], cell["accuracies"]) for key, cell in cells.items()} == {
        ("direct", 1): (3, 4, [1.0, 0.5]),
        ("direct", 3): (1, 4, [0.5, 0.0]),
        ("worked", 1): (3, 4, [1.0, 0.5]),
        ("worked", 3): (3, 4, [1.0, 0.5]),
    }
    for cell in summary["cells"]:
        assert cell["interval"] == list(wilson_interval(cell["correct"], 4))
    ranges = {(item["style"], item["range"]): item["num_steps"] for item in summary["ranges"]}
    assert ranges["worked", "trained"] == [1] and ranges["worked", "beyond"] == [3]
    assert [row["last_number"]["correct"] for row in summary["baselines"]] == [2, 2]  # one a seed, not one an arm


def test_styles_are_compared_on_the_same_problems():
    pairs = {pair["range"]: pair for pair in summarise(RESULTS)["paired"]}
    assert (pairs["trained"]["only_direct"], pairs["trained"]["only_other"]) == (1, 1)
    assert (pairs["beyond"]["only_direct"], pairs["beyond"]["only_other"]) == (0, 2)
    assert pairs["beyond"]["difference"] == 0.5
    # seed 1 has not been taught direct answers yet: only seed 0 can be compared
    assert {pair["n"] for pair in summarise([RESULTS[0], RESULTS[1], RESULTS[3]])["paired"]} == {2}
    assert summarise(RESULTS[1:2])["paired"] == []


def test_faults_are_counted_by_kind_and_by_step():
    steps = {item["range"]: item for item in summarise(RESULTS)["steps"]}
    assert steps["beyond"]["faults"]["arithmetic"] == 1 and sum(steps["beyond"]["faults"].values()) == 1
    assert [(step["correct"], step["n"]) for step in steps["beyond"]["wrong_steps"]] == [(0, 4), (1, 4), (0, 3)]
    assert steps["beyond"]["right_with_right_steps"]["accuracy"] == 1.0
    assert steps["trained"]["wrong_with_wrong_step"]["n"] == 1


def test_the_table_and_the_picture_are_made_also_of_one_arm_and_one_range(tmp_path):
    for number, results in enumerate((RESULTS, RESULTS[:1], [result("filler", 0, ["7", "18"], (1, 3))])):
        summary = summarise(results)
        table = reasoning_table(summary)
        assert table.count("\n| ") == 2 + 2 + len(summary["ranges"])
        draw_reasoning(summary, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
    assert "75.0 [30.1, 95.4]" in reasoning_table(summarise(RESULTS))


def test_a_p_value_is_never_shown_as_zero():
    sure = [result("direct", 0, ["1", "1"] * 1100), result("worked", 0, ["2+5=7. 7", GOOD] * 1100)]
    (pair, *_) = summarise(sure)["paired"]
    assert pair["p_value"] == 0.0  # less than the smallest number that a computer holds
    assert "| < 0.001 |" in reasoning_table(summarise(sure))
