"""One command tells what a model knows: who is asked, what is fitted on whom, and what is written."""

import json
import shutil

import pytest

from closedbook.data.questions import entity_key
from closedbook.evaluation.knowing.summary import GROUPS
from closedbook.evaluation.predictions import read_predictions
from closedbook.evaluation.run_record import read_run, write_run
from closedbook.training.asking import knowing
from closedbook.training.asking.people import gather

SHARE = ["--validation_share", "0.25"]


@pytest.fixture(scope="module")
def models(tiny, pretrained, tmp_path_factory):
    """Three folders: with people held out, without, and with people to be refused."""
    folder = tmp_path_factory.mktemp("knowing")
    flags = [*tiny.people(), "--max_steps", "30", "--learning_rate", "0.02"]
    tiny.finetune(folder / "held_out", pretrained, *flags, *SHARE)
    tiny.finetune(folder / "nobody", pretrained, *flags)
    tiny.finetune(folder / "unknown", pretrained, *flags, *SHARE, "--num_unknown_people", "6")
    return folder


def people_of(dataset) -> set[str]:
    return set(map(entity_key, dataset["entity"][:]))


def gathered(model, *flags):
    args, people = knowing.parse(["--model", str(model), *map(str, flags)])
    return gather(args, people, read_run(model))


def test_the_run_file_says_whom_to_ask_and_the_groups_do_not_meet(models):
    groups = gathered(models / "held_out")
    assert (len(groups.asked), len(groups.trained), len(groups.held_out), len(groups.invented)) == (8, 9, 3, 8)
    everybody = [people_of(part) for part in (groups.asked, groups.trained, groups.held_out, groups.invented)]
    assert len(set.union(*everybody)) == sum(map(len, everybody)) == 28
    assert "share 0.25 by seed 3" in groups.calibration
    assert people_of(groups.invented).isdisjoint(map(entity_key, groups.documents["title"]))


def test_people_trained_to_be_unknown_are_not_invented_again(models):
    names = read_run(models / "unknown").last.unknown_people
    groups = gathered(models / "unknown", "--num_invented", "40")
    assert len(names) == 6
    assert people_of(groups.invented).isdisjoint(map(entity_key, names))
    assert people_of(groups.trained).isdisjoint(map(entity_key, names))


def test_without_people_held_out_the_remedy_is_named(models):
    with pytest.raises(ValueError, match=r"--validation_share 0\.2.* or give other people's questions"):
        knowing.know(["--model", str(models / "nobody")])


def test_a_file_of_other_people_will_do_instead(models, tmp_path):
    others = tmp_path / "others.tsv"
    others.write_text("Where was Ada Lind born?\tOslo\nWhere was Bo Rask born?\tRome\n", encoding="utf-8")
    groups = gathered(models / "nobody", "--calibration_questions", others)
    assert groups.held_out["entity"][:] == ["Ada Lind", "Bo Rask"]
    assert len(groups.trained) == 12


def test_a_file_of_people_who_were_trained_on_is_refused(models, tmp_path):
    name = gathered(models / "held_out").trained["entity"][0]
    others = tmp_path / "others.tsv"
    others.write_text(f"Where was Ada Lind born?\tOslo\nWhere was {name} born?\tRome\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"1 people whom the model was trained to answer about, such as {name}"):
        gathered(models / "held_out", "--calibration_questions", others)


def test_other_training_questions_than_those_of_the_run_are_refused(models):
    with pytest.raises(ValueError, match="--num_people 30 makes other people than the model was trained on"):
        gathered(models / "held_out", "--num_people", "30")
    with pytest.raises(ValueError, match="--population_seed 3 makes other people .* population_seed 0"):
        gathered(models / "held_out", "--population_seed", "3")


def test_the_people_held_out_are_those_that_the_run_wrote_down(models, tmp_path):
    run = read_run(models / "held_out")
    groups = gathered(models / "held_out")
    assert people_of(groups.held_out) == set(map(entity_key, run.last.held_out_people))
    others = sorted(set(groups.trained["entity"]))[:3]  # as if the run had kept these out
    changed = tmp_path / "changed"
    shutil.copytree(models / "held_out", changed)
    write_run(changed, run.with_last(held_out_people=others))
    assert people_of(gathered(changed).held_out) == set(map(entity_key, others))
    write_run(changed, run.with_last(held_out_people=["Nobody Known"]))
    with pytest.raises(ValueError, match="kept 1 people out .* do not ask about 1 of them, such as nobody known"):
        gathered(changed)


def test_a_record_without_names_has_its_split_made_again(models, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(models / "held_out", old)
    content = json.loads((old / "run.json").read_text(encoding="utf-8"))
    for stage in (content, content["pretraining"]):  # as version 0.1 wrote it
        stage.pop("format")
        stage.pop("held_out_people", None)
    (old / "run.json").write_text(json.dumps(content), encoding="utf-8")
    assert people_of(gathered(old).held_out) == people_of(gathered(models / "held_out").held_out)


def test_asking_about_people_trained_to_be_unknown_is_refused(models, tmp_path):
    name = read_run(models / "unknown").last.unknown_people[0]
    files = {part: tmp_path / f"{part}.tsv" for part in ("asked", "train", "others")}
    trained = gathered(models / "unknown")
    train = [*trained.trained, *trained.held_out]
    files["train"].write_text(
        "".join(f"{row['question']}\t{row['answers'][0]}\n" for row in train), encoding="utf-8"
    )
    files["asked"].write_text(f"Where was {name} born?\tRome\n", encoding="utf-8")
    flags = ["--questions", "file", "--question_file", files["asked"], "--train_questions", files["train"]]
    with pytest.raises(ValueError, match="trained to know nothing about 1 of those asked"):
        gathered(models / "unknown", *flags)


@pytest.mark.parametrize("promise", ["1", "-0.1", "nan"])
def test_a_promise_that_is_no_share_is_refused(models, promise):
    with pytest.raises(ValueError, match="max_error_rate"):
        knowing.know(["--model", str(models / "held_out"), "--max_error_rate", promise])


def test_a_recipe_is_refused(models, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("num_trained: 3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="flags only"):
        knowing.know(["--model", str(models / "held_out"), "--recipe", str(recipe)])


def test_everything_is_written_with_provenance_and_the_figures_agree_with_the_rows(models, tmp_path, capsys):
    summary = knowing.know(["--model", str(models / "held_out"), "--output_dir", str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["knowing.json", "predictions.jsonl"]
    assert json.loads((tmp_path / "knowing.json").read_text(encoding="utf-8")) == summary
    rows = read_predictions(tmp_path / "predictions.jsonl")
    sizes = {group: sum(row["group"] == group for row in rows) for group in GROUPS}
    assert sizes == {"asked": 8, "held_out": 3, "trained": 9, "invented": 8}
    provenance = {group: {row["provenance"] for row in rows if row["group"] == group} for group in GROUPS}
    assert provenance == {
        "asked": {"stated"},  # the biographies tell where each of them was born
        "held_out": {"stated"},
        "trained": {"fine_tuned"},
        "invented": {"unseen"},
    }
    assert not any(row["correct"] for row in rows if row["group"] == "invented")
    right = sum(row["correct"] for row in rows if row["group"] == "asked")
    assert summary["groups"]["asked"]["accuracy"]["count"] == right
    assert summary["invented"]["answered"]["count"] == 8
    assert (summary["protocol"], summary["train_seed"], summary["model"]) == ("two_stage", 3, "vanilla")
    # Three held-out people prove no error rate of a tenth.
    assert summary["abstention"]["threshold"] is None
    assert "cannot be promised" in summary["abstention"]["explanation"]
    assert {"versions", "hardware", "commit", "command", "seed"} <= summary.keys()
    knowing.main(["--model", str(models / "held_out"), "--output_dir", str(tmp_path)])
    assert capsys.readouterr().out.startswith("8 people who do not exist: 100.0% get an answer")


def test_the_card_of_the_model_tells_what_was_found(models, tmp_path):
    folder = shutil.copytree(models / "held_out", tmp_path / "model")
    assert "made up" not in (folder / "README.md").read_text(encoding="utf-8")
    summary = knowing.know(["--model", str(folder)])
    card = (folder / "README.md").read_text(encoding="utf-8")
    share = summary["invented"]["answered_confidently"]["share"]
    assert f"Answers that are made up: {share:.1%} of 8 invented people" in card
    assert (summary["questions"], summary["split"]) == ("biographies", "test")


def test_the_files_of_the_reference_task_are_answered_about_too(tiny, files, tmp_path):
    flags = ["--questions", "cs224n", "--train_questions", files["train"]]
    tiny.pretrain(tmp_path / "read", "--corpus", "wiki", "--corpus_path", files["wiki"], "--max_steps", "1")
    more = ["--exclude_people_of", files["dev"], "--validation_share", "0.4", "--max_steps", "1"]
    tiny.finetune(tmp_path / "model", tmp_path / "read", *flags, *more)
    (tmp_path / "read").rename(tmp_path / "moved")  # only the run file is needed, which tells the rest
    asked = ["--model", str(tmp_path / "model"), "--question_file", str(files["dev"]), "--num_invented", "5"]
    summary = knowing.know([*asked, "--output_dir", str(tmp_path / "out")])
    sizes = {name: group["n"] for name, group in summary["groups"].items()}
    assert sizes == {"asked": 3, "held_out": 2, "trained": 3, "invented": 5}
    assert summary["split"] is None  # nobody said which one the file is
