"""The laboratory: every figure from end to end in a few steps, nothing run twice, people and questions right."""

import json
from dataclasses import replace

import pytest

from closedbook.data.objectives.table import OBJECTIVES
from closedbook.data.people.biographies import reversed_questions
from closedbook.evaluation.laboratory.tables import FIGURES
from closedbook.training.command_line import parse_arguments
from closedbook.training.laboratory import figures, runs
from closedbook.training.laboratory.arms import Arm

ARM = Arm(
    num_people=14,
    population_seed=1,
    num_cities=100,
    city_skew=0.0,
    attributes=("birth_place", "employer"),
    unit="sentence",
    full_name="every",
    versions=6,
    wordings=6,
    order="shuffled",
    exposures=12,
    mentions=(),
    objectives="left_to_right",
    hidden_size=16,
    questions="forward",
    seed=0,
)


pytestmark = pytest.mark.usefixtures("leave_threads_as_they_were")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Where all figures keep their models: some share them."""
    return tmp_path_factory.mktemp("models")


def run(figure, folder, *flags, models=None):
    places = ["--output_dir", str(models or folder / "out"), "--results", str(folder / "results")]
    return figures.main([figure, "--quick", *places, *map(str, flags)])


def read(folder, figure):
    return json.loads((folder / "results" / "laboratory" / f"{figure}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("figure", sorted(FIGURES))
def test_a_figure_runs_from_end_to_end_and_never_twice(figure, models, tmp_path, monkeypatch):
    rows = run(figure, tmp_path, models=models)
    content = read(tmp_path, figure)
    assert content["rows"] == rows and rows
    assert content["finished_arms"] == content["arms"] == len(content["results"])
    assert {"versions", "hardware", "commit", "command", "settings", "train_seconds"} <= content.keys()
    for result in content["results"]:
        assert min(result[name] for name in ("parameters", "train_characters", "processor_seconds")) > 0
    table = (tmp_path / "results" / "laboratory" / f"{figure}.md").read_text(encoding="utf-8")
    assert table.count("\n| ") == len(rows) + 1
    assert (tmp_path / "results" / "laboratory" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    if figure == "bits":
        assert all(0 <= row["bits"] <= row["most_bits"] for row in rows)
    else:
        settings = content["settings"]
        for result in content["results"]:
            asked = sum(cell["n"] for cell in result["cells"] if cell["direction"] == "forward")
            people = settings["num_people"] - round(settings["train_share"] * settings["num_people"])
            assert asked == people * len(settings["attributes"])
    monkeypatch.setattr(runs, "pretrain", None)  # calling it would fail
    monkeypatch.setattr(runs, "finetune", None)
    assert run(figure, tmp_path, models=models) == rows


def test_the_same_command_gives_the_same_figure_and_another_seed_other_models(tmp_path):
    flags = ("--wordings", 2, "--orders", "shuffled", "--exposures", 20)
    first, again = (run("extraction", tmp_path / name, *flags, "--seeds", 0) for name in ("first", "again"))
    assert first == again
    losses = [read(tmp_path / name, "extraction")["results"][0]["losses"] for name in ("first", "again")]
    assert losses[0] == losses[1]
    run("extraction", tmp_path / "first", *flags, "--seeds", 0, 1)
    both = read(tmp_path / "first", "extraction")["results"]
    assert both[0]["losses"] == losses[0] != both[1]["losses"]


def test_the_folder_of_an_arm_has_the_name_that_version_0_1_gave_it(tmp_path, monkeypatch):
    for name, recipe in {"PRETRAINING": "a: 1\nlearning_rate: 0.006\n", "FINETUNING": "b: [x, y]\n"}.items():
        (tmp_path / name).write_text(recipe, encoding="utf-8")
        monkeypatch.setattr(runs, name, tmp_path / name)
    flags = runs.StageFlags(("--fp16", "true"), ("--x", "1"), ("--num_threads", "7"))
    assert runs.arm_folder(ARM, flags, "out").name == "sentence-w6-shuffled-e12-h16-59ec5a24"


def test_an_arm_that_version_0_1_finished_is_not_run_again(tmp_path):
    path = runs.arm_folder(ARM, runs.StageFlags(), tmp_path) / "result.json"
    path.parent.mkdir()
    path.write_text('{"parameters": 1}', encoding="utf-8")
    assert runs.run_arm(ARM, runs.StageFlags(), tmp_path) == {"parameters": 1}


def test_a_stopped_arm_goes_on_after_its_finished_stage(tmp_path, monkeypatch):
    flags = runs.StageFlags(figures.QUICK_PRETRAINING, figures.QUICK_FINETUNING)
    monkeypatch.setattr(runs, "teach_questions", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        runs.run_arm(ARM, flags, tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(runs, "pretrain", None)
    result = runs.run_arm(ARM, flags, tmp_path)
    assert sum(cell["n"] for cell in result["cells"]) == 14
    predictions = next(tmp_path.glob("*/predictions.jsonl")).read_text(encoding="utf-8").splitlines()
    assert (
        len(predictions) == 14
        and {"memorised", "answered", "entity", "answers"} <= json.loads(predictions[0]).keys()
    )


# ---- what is read and asked


def test_every_arm_of_wordings_reads_each_fact_equally_often():
    for wordings in (1, 2, 6):
        for order in ("fixed", "shuffled"):
            arm = replace(ARM, unit="biography", full_name="first", wordings=wordings, order=order)
            documents = arm.documents(arm.population())
            examples = arm.num_examples(len(documents))
            assert len(documents) == 14 * 6 and examples == 14 * arm.exposures
            titles = [documents["title"][i % len(documents)] for i in range(examples)]
            assert {titles.count(name) for name in set(titles)} == {arm.exposures}


@pytest.mark.parametrize("unit, each", [("sentence", 2), ("biography", 1)])
def test_mentions_are_the_documents_that_state_a_fact(unit, each):
    arm = replace(ARM, unit=unit, mentions=(1, 3, 8), exposures=2)
    population = arm.population()
    documents = arm.documents(population)
    for person in population:
        texts = [d["text"] for d in documents if d["title"] == person.name]
        mentions = arm.mentions_of(person.index)
        assert mentions == (1, 3, 8)[person.index % 3] and len(texts) == mentions * each
        for attribute in arm.attributes:
            assert sum(person.facts[attribute] in text for text in texts) == mentions
    assert arm.num_examples(len(documents)) == 2 * len(documents)


def test_nobody_is_both_taught_and_asked_and_every_arm_asks_the_same_people():
    asked = [replace(ARM, **change).asked(ARM.population()) for change in ({}, {"wordings": 1}, {"seed": 5})]
    people = [{part: set(questions[part]["entity"]) for part in ("train", "test")} for questions in asked]
    assert people[0] == people[1] == people[2]
    assert not people[0]["train"] & people[0]["test"]
    assert len(people[0]["test"]) == 7
    more = {
        part: set(questions["entity"])
        for part, questions in replace(ARM, train_share=5 / 7).asked(ARM.population()).items()
    }
    assert len(more["train"]) == 10 and more["train"] > people[0]["train"] and not more["train"] & more["test"]


def test_both_directions_of_a_fact_stay_on_one_side():
    arm = replace(ARM, questions="both", num_cities=3000, attributes=("birth_place",))
    parts = arm.asked(arm.population())
    expected = reversed_questions(arm.population(), attributes=["birth_place"]).to_list()
    found = [r for part in parts.values() for r in part if r.pop("direction") == "reverse"]
    assert sorted(r["question"] for r in found) == sorted(r["question"] for r in expected)
    names = [set(part["entity"]) for part in parts.values()]
    assert not names[0] & names[1]


# ---- recipes and mistakes


@pytest.mark.parametrize("recipe", sorted(figures.RECIPES.glob("laboratory_*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_makes_arms_that_can_be_run(recipe):
    name = recipe.stem.removeprefix("laboratory_")
    if name in ("pretrain", "finetune", "reasoning"):
        pytest.skip("the recipe of a stage, not of a figure of laboratory.py")
    assert name.removesuffix("_full") in FIGURES
    settings, _ = parse_arguments((figures.FigureArguments,), ["--recipe", str(recipe)])
    arms = figures.make_arms(settings)
    assert len({runs.arm_folder(arm, runs.StageFlags(), "out") for arm in arms}) == len(arms)
    for arm in arms:
        assert arm.exposures % arm.versions == 0 or arm.mentions or arm.questions == "none"
        assert set(arm.objectives.split("+")) <= OBJECTIVES.keys()


def test_objectives_in_place_of_wordings_are_arms_of_the_fewest_wordings():
    flags = ["--wordings", "4", "2", "--seeds", "0", "1", "--one_wording_objectives", "left_to_right+entity_cue"]
    settings, _ = parse_arguments((figures.FigureArguments,), flags)
    arms = figures.make_arms(settings)
    told = [(arm.objectives, arm.wordings, arm.seed) for arm in arms]
    each = [("left_to_right", 4), ("left_to_right", 2), ("left_to_right+entity_cue", 2)]
    assert told == [(*arm, seed) for seed in (0, 1) for arm in each]  # one seed is whole before the next begins
    assert {replace(arm, objectives="titles", wordings=0, seed=0) for arm in arms} == {
        replace(arms[0], objectives="titles", wordings=0, seed=0)
    }
    assert figures.describe(arms[2], arms) == "seed 0, objectives left_to_right+entity_cue, wordings 2"


def test_an_arm_says_where_values_may_come_first_and_is_another_one():
    free = replace(ARM, name_first=False)
    assert "name_first" not in ARM.described() and free.described()["name_first"] is False
    assert runs.arm_folder(free, runs.StageFlags(), "out") != runs.arm_folder(ARM, runs.StageFlags(), "out")
    for arm, some_after in ((ARM, False), (replace(free, wordings=16, versions=16), True)):
        documents = arm.documents(population := arm.population())
        known = {person.name: person.facts for person in population}
        places = [
            (text.index(name), min(text.index(known[name][a]) for a in arm.attributes if known[name][a] in text))
            for name, text in zip(documents["title"][:], documents["text"][:], strict=True)
        ]
        assert any(value < name for name, value in places) == some_after


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "name a figure first: attributes, extraction, .*got --output_dir"),
        (["height"], "got height"),
        (["wordings", "--full"], "wordings has no larger sweep"),
        (["wordings", "--wordings", "99"], "wordings must be from 1 to (9|16) for birth_place, not 99"),
        (["wordings", "--orders", "sorted"], "order must be one of fixed, shuffled"),
        (
            ["wordings", "--objectives", "titles", "--one_wording_objectives", "titles"],
            "--objectives names titles twice",
        ),
        (["wordings", "--wordings", "2", "2"], "--wordings names 2 twice"),
        (["wordings", "--questions", "some"], "questions must be one of forward, both, none"),
        (["wordings", "--train_share", "1"], "train_share must be between 0 and 1, not 1.0"),
        (["frequency", "--mentions", "0"], "exposures and mentions must be at least 1"),
        (["wordings", "--unit", "sentence", "--full_name", "first"], "a lone sentence must say who it is about"),
        (["wordings", "--objectives", "right_to_left"], "unknown objective 'right_to_left'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(tmp_path, monkeypatch, argv, message):
    monkeypatch.setattr(figures, "run_arm", None)  # calling it would fail
    with pytest.raises(ValueError, match=message):
        figures.main([*argv, "--output_dir", str(tmp_path / "out"), "--results", str(tmp_path / "results")])
    assert not list(tmp_path.rglob("*.safetensors")) and not (tmp_path / "results").exists()


def test_a_document_longer_than_the_block_is_refused(tmp_path):
    arm = replace(ARM, unit="biography", attributes=("birth_place", "birth_date", "employer", "university"))
    with pytest.raises(
        ValueError, match=r"does not fit into block_size 128; raise it in laboratory_pretrain.yaml"
    ):
        runs.run_arm(arm, runs.StageFlags(), tmp_path)
