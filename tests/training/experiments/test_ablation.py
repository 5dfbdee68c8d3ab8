"""Objective by objective: equal budgets, no file of held-out answers, and results that are kept."""

import json

import pytest
from datasets import Dataset

from closedbook.data.corpora import name_of_line
from closedbook.data.mixture import Component, Mixture
from closedbook.data.people.biographies import biography_questions
from closedbook.data.people.population import Population
from closedbook.evaluation.run_record import read_run
from closedbook.training.experiments import ablation
from closedbook.training.experiments.ablation_people import exposures

ARMS = ["recipe", "recipe, questions mixed in", "left to right"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    questions = biography_questions(Population(40, seed=1), attributes=["birth_place"])
    rows = [(row["entity"], row["question"], row["answers"][0]) for row in questions]
    wiki = [f"{name}. {name} was born in {place} . Where ? Where?" for name, _, place in rows]
    train = [f"{question}\t{place}" for _, question, place in rows]
    (folder / "wiki.txt").write_text("\n".join(wiki) + "\n", encoding="utf-8")
    (folder / "birth_places_train.tsv").write_text("\n".join(train) + "\n", encoding="utf-8")
    return folder


def command(data, folder, *flags):
    return [
        *("--data", str(data), "--num_people", "20", "--characters", "6000", "--step_characters", "1500"),
        *("--hidden_size", "16", "--finetuning_epochs", "1", "--num_threads", "1"),
        *("--output_dir", str(folder / "outputs"), "--results", str(folder / "results"), *flags),
    ]


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    return folder, ablation.main(command(data, folder, "--arms", *ARMS))


def test_every_arm_reads_about_the_same_characters_in_the_same_steps(finished):
    folder, results = finished
    assert [result["ablation"] for result in results] == ARMS
    runs = [read_run(folder / "outputs" / f"{ablation.slug(arm)}-seed0" / "pretrained").last for arm in ARMS]
    assert {run.steps for run in runs} == {4}
    assert all(abs(run.train_characters - 6000) < 600 for run in runs)
    assert [result["protocol"] for result in results] == ["two_stage", "mixed", "two_stage"]


def test_the_asked_people_are_pretrained_on_and_never_fine_tuned_on(finished):
    folder, results = finished
    people = folder / "outputs" / "people-20"
    lines = {
        name: (people / f"{name}.tsv").read_text(encoding="utf-8").splitlines() for name in ("train", "held_out")
    }
    assert (len(lines["train"]), len(lines["held_out"])) == (12, 8)
    assert not set(lines["train"]) & set(lines["held_out"])
    titles = {name_of_line(line) for line in (people / "wiki.txt").read_text(encoding="utf-8").splitlines()}
    assert len(titles) == 20
    assert all(any(title in question for title in titles) for question in lines["held_out"])
    assert {result["n"] for result in results} == {8}


def test_exposures_count_examples_with_the_answer_of_a_held_out_person(finished):
    _, results = finished
    exposures = [result["exposures"] for result in results]
    assert exposures[0] > exposures[2] > 0  # recalls show the answer in fewer characters than whole lines


def test_a_finished_arm_is_not_run_again(finished, data, monkeypatch):
    folder, results = finished
    monkeypatch.setattr(ablation, "run", lambda *_: pytest.fail("ran again"))
    assert ablation.main(command(data, folder, "--arms", *ARMS)) == json.loads(json.dumps(results))


def test_a_result_of_another_budget_is_refused_before_anything_runs(finished, data, monkeypatch):
    folder, _ = finished
    monkeypatch.setattr(ablation, "run", lambda *_: pytest.fail("ran"))
    for flags in (["--characters", "9000"], ["--num_people", "22"], ["--finetuning_epochs", "2"]):
        with pytest.raises(ValueError, match="is of a run with another .*, which does not compare"):
            ablation.main(command(data, folder, "--arms", "title windows", "recipe", *flags))
    arms = ablation.ARMS | {"recipe": (["left_to_right"], [])}  # the same name for something else
    monkeypatch.setattr(ablation, "ARMS", arms)
    with pytest.raises(ValueError, match="is of a run with another"):
        ablation.main(command(data, folder, "--arms", "recipe"))


def test_exposures_are_counted_by_person_and_in_whole_answers():
    people = [{"title": "Ada Lee", "text": "Rome"}, {"title": "Bo Day", "text": "Oslo Rome"}]
    asked = Dataset.from_list(
        [{"entity": "ADA LEE", "answers": ["Rome"]}, {"entity": "Bo Day", "answers": ["Oslo"]}]
    )
    mixture = Mixture([Component("all", people, "left_to_right")], 0, 64, 6)
    assert exposures(mixture, asked) == 3  # three passes: one example each of both
    assert exposures(mixture, asked.select([0])) == 3  # "Rome" in the text about Bo Day is none of Ada Lee's
    cut = Mixture([Component("all", people, "left_to_right")], 0, 3, 6)
    assert exposures(cut, asked) == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--arms", "magic"], "--arms: 'magic' is unknown"),
        (["--num_people", "40"], "--num_people must be between 10 and 39"),
    ],
)
def test_bad_input_is_refused(data, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        ablation.main(command(data, tmp_path, *flags))
