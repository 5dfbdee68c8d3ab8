"""Tables show the numbers of the result files, and keep apart what does not belong together."""

import json

import pytest

from closedbook.evaluation.reports.tables import (
    ablation_table,
    accuracy_table,
    read_published,
    recipe_names,
    results_table,
    summarize,
)
from closedbook.evaluation.results import make_result
from closedbook.evaluation.statistics.intervals import wilson_interval

PUBLISHED = {
    "split": "dev",
    "n": 500,
    "source": "somewhere",
    "systems": [{"system": "vanilla", "parameters": 3_323_392, "runs": 8, "accuracy": [0.122, 0.268]}],
    "ceiling": {"correct": 479, "n": 500, "meaning": "the answer occurs"},
}


def result(model="vanilla", protocol="two_stage", seed=0, correct=100, **changes) -> dict:
    measured = {
        "task": "cs224n",
        "split": "dev",
        "parameters": 3_323_392,
        "recipe": "reference",
        "n": 500,
        "train_characters": 272_000_000,
        "train_seconds": 60.0,
    }
    extra = {name: changes.pop(name) for name in ("ablation", "objectives", "exposures") if name in changes}
    return make_result(model=model, protocol=protocol, seed=seed, correct=correct, **measured | changes) | extra


@pytest.fixture(scope="module")
def results() -> list[dict]:
    return [
        result(seed=1, correct=110),
        result(seed=0, correct=100),
        result(seed=2, correct=92),
        result("always-New-York", "majority", correct=25, parameters=0, train_characters=0),
        result(split="test", correct=1),
    ]


def cells(table: str, name: str) -> list[str]:
    """The cells of the one row whose first cell holds `name`."""
    (line,) = [line for line in table.splitlines() if name in line.split("|")[1:2][0:1][0]]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_single_seed_is_shown_with_its_interval(results):
    (row,) = [line for line in results_table(results).splitlines() if "New-York" in line]
    assert row == "| always-New-York | majority | 0 | 5.0% [3.4%, 7.3%] | 1 | 500 | 0 |"


def test_several_seeds_become_one_row_with_their_mean_and_spread(results):
    rows = [line for line in results_table(results).splitlines() if "two stage" in line]
    low, high = wilson_interval(101, 500)  # the mean of 110, 100 and 92 is 100.67
    assert rows[0] == (
        f"| vanilla | two stage | 3,323,392 | 20.1% [{low:.1%}, {high:.1%}] | 3 (18.4% to 22.0%) | 500 "
        "| 272,000,000 |"
    )


def test_more_seeds_do_not_make_the_interval_narrower():
    one, three = result(seed=0, correct=100), [result(seed=seed, correct=100) for seed in range(3)]
    assert summarize([one])[0].interval == summarize(three)[0].interval


def test_every_task_and_split_has_its_own_heading_and_rows_are_ordered_by_accuracy(results):
    lines = results_table(results).splitlines()
    assert [line for line in lines if line.startswith("#")] == ["### cs224n, dev", "### cs224n, test"]
    assert [s.accuracies for s in summarize(results)] == [(0.05,), (0.2, 0.22, 0.184), (0.002,)]
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert len(widths) == 1


def test_two_results_of_one_system_and_seed_are_refused(results):
    with pytest.raises(ValueError, match="share a seed"):
        summarize([results[0], results[0]])


def test_two_recipes_of_one_architecture_are_two_systems_with_names_of_their_own():
    recipes = "scripts/recipes/old.yaml then f.yaml", "scripts/recipes/new.yaml then f.yaml"
    labels = [s.label for s in summarize([result(recipe=recipe, seed=0) for recipe in recipes])]
    assert sorted(labels) == ["vanilla, two stages (new)", "vanilla, two stages (old)"]
    ends = summarize([result(recipe=f"a.yaml then {name}.yaml", seed=0) for name in "xy"])
    assert sorted(s.label for s in ends) == [
        "vanilla, two stages (a then x)",
        "vanilla, two stages (a then y)",
    ]


def test_a_recipe_has_the_same_name_from_wherever_it_is_called():
    assert (
        recipe_names("scripts/recipes/a.yaml then b.yaml") == recipe_names("a.yaml then /x/b.yaml") == "a then b"
    )
    assert recipe_names("the most frequent training answer") == "the most frequent training answer"


def test_the_leading_table_holds_systems_published_ranges_and_the_ceiling(results):
    table = accuracy_table(results[:4], PUBLISHED)
    low, high = wilson_interval(101, 500)
    assert cells(table, "vanilla, two stages") == [
        "**vanilla, two stages**",
        "3,323,392",
        "**20.1%**",
        f"{low:.1%} to {high:.1%}",
        "3 (18.4% to 22.0%)",
        "272,000,000",
    ]
    assert cells(table, 'always "New York"')[2] == "5.0%"
    assert cells(table, "published: vanilla") == [
        "published: vanilla",
        "3,323,392",
        "12.2% to 26.8%",
        "",
        "8 runs",
        "",
    ]
    assert cells(table, "ceiling")[2] == "95.8%"
    assert {line.count("|") for line in table.splitlines()} == {7}


def test_a_constant_answer_is_never_the_winner_in_bold(results):
    assert "**" not in accuracy_table([results[3]])


def test_a_table_of_two_splits_or_of_nothing_is_refused(results):
    for chosen in (results[3:5], []):
        with pytest.raises(ValueError, match="one task and split"):
            accuracy_table(chosen)


def test_published_numbers_need_a_source(tmp_path):
    path = tmp_path / "published.json"
    assert read_published(path, "cs224n") is None
    path.write_text(json.dumps({"tasks": {"cs224n": PUBLISHED}}))
    assert read_published(path, "cs224n") == PUBLISHED
    assert read_published(path, "other") is None
    path.write_text(json.dumps({"tasks": {"cs224n": PUBLISHED | {"source": ""}}}))
    with pytest.raises(ValueError, match="names no source"):
        read_published(path, "cs224n")
    path.write_text(json.dumps({"tasks": {"cs224n": PUBLISHED | {"systems": [{"system": "x", "runs": 1}]}}}))
    with pytest.raises(ValueError, match="system 1 of cs224n lacks parameters, accuracy"):
        read_published(path, "cs224n")


def test_an_ablation_says_what_was_trained_on_how_often_and_what_came_of_it():
    runs = [
        result(ablation="spans only", objectives=["span_corruption=1"], seed=0, correct=20),
        result(
            ablation="with recall", objectives=["span_corruption=1", "entity_list=3@0.5"], seed=0, exposures=200
        ),
        result(
            ablation="with recall", objectives=["span_corruption=1", "entity_list=3@0.5"], seed=1, exposures=202
        ),
    ]
    table = ablation_table(runs)
    recall = cells(table, "with recall")
    assert recall[:5] == [
        "with recall (two stages)",
        "`span_corruption=1` `entity_list=3@0.5`",
        "201",
        "272,000,000",
        "20.0%",
    ]
    assert recall[-1].startswith("2 (")
    assert cells(table, "spans only")[2] == ""
    with pytest.raises(ValueError, match="seed 0, lacks ablation, objectives"):
        ablation_table([result()])
