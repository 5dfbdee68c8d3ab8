"""One command tells what a model knows: who is asked, what is fitted on whom, and what is written."""

import json
import shutil

import pytest
from ranks import Ranks

from closedbook.data.questions import entity_key
from closedbook.evaluation.knowing.familiarity import read_scale, subject_features
from closedbook.evaluation.knowing.provenance import trace_questions
from closedbook.evaluation.knowing.summary import GROUPS
from closedbook.evaluation.predictions import read_predictions
from closedbook.evaluation.run_record import read_run, write_run
from closedbook.training import documents
from closedbook.training.asking import knowing
from closedbook.training.asking.people import gather
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.finished_runs import GrowingFile

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


MORE = ("--num_people", "60")


@pytest.fixture(scope="module")
def crowd(tiny, tmp_path_factory):
    """Models of sixty people: one that was trained on all of them, and two on half of them each."""
    folder = tmp_path_factory.mktemp("crowd")
    flags = [*tiny.people(), *MORE, "--max_steps", "30", "--learning_rate", "0.02"]
    tiny.pretrain(folder / "read", *tiny.people(), *MORE)
    tiny.finetune(folder / "whole", folder / "read", *flags)
    for fold in ("1", "2"):
        half = ["--validation_share", "0.5", "--validation_fold", fold]
        tiny.finetune(folder / fold, folder / "read", *flags, *half)
    return folder


def crossed(crowd, *flags):
    return ["--model", str(crowd / "whole"), "--cross_fitted", str(crowd / "1"), str(crowd / "2"), *flags]


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


def test_people_of_whom_nothing_is_held_are_traced_and_invented_alike(models, monkeypatch):
    """Documents that are made when asked for: as many strangers, and everybody's answer comes from the same
    text."""
    held = gathered(models / "held_out")
    monkeypatch.setattr(documents, "MOST_HELD", 0)
    made = gathered(models / "held_out")
    assert people_of(made.invented).isdisjoint(map(entity_key, held.documents["title"]))
    assert len(made.invented) == len(held.invented)
    assert {kind: len(part) for kind, part in made.strangers.reported.items()} == {
        kind: len(part) for kind, part in held.strangers.reported.items()
    }
    for part in (held.asked, held.held_out, held.trained, made.invented):
        traces = [trace_questions(part, each.documents, held.trained) for each in (held, made)]
        assert traces[0] == traces[1]


def test_another_division_of_the_people_is_refused(models):
    with pytest.raises(ValueError, match="--num_asked_people 10 divides the people otherwise .* all of them"):
        gathered(models / "held_out", "--num_asked_people", "10")


def test_people_trained_to_be_unknown_are_not_invented_again(models):
    names = read_run(models / "unknown").last.unknown_people
    groups = gathered(models / "unknown", "--num_invented", "40")
    assert len(names) == 6
    assert people_of(groups.invented).isdisjoint(map(entity_key, names))
    assert people_of(groups.trained).isdisjoint(map(entity_key, names))


def test_without_people_held_out_the_remedy_is_named(models):
    with pytest.raises(
        ValueError, match="Give other people's questions with .*, or fine-tune with --validation_share 0.2"
    ):
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
    assert sizes == {
        "asked": 8,
        "held_out": 3,
        "trained": 9,
        "invented": 8,
        "strangers": 6,  # a quarter as many of each other kind
        "held_out_strangers": 0,  # nothing was to be promised of them
    }
    provenance = {group: {row["provenance"] for row in rows if row["group"] == group} for group in GROUPS}
    assert provenance == {
        "asked": {"stated"},  # the biographies tell where each of them was born
        "held_out": {"stated"},
        "trained": {"fine_tuned"},
        "invented": {"unseen"},
        "strangers": {"unseen"},
        "held_out_strangers": set(),
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
    assert sizes == {
        "asked": 3,
        "held_out": 2,
        "trained": 3,
        "invented": 5,
        "strangers": 4,
    }  # no thing is as short
    assert summary["split"] is None  # nobody said which one the file is


def test_cross_fitting_asks_everybody_of_a_model_that_was_not_trained_on_them(crowd, tmp_path):
    flags = ["--confidence", "combined", "--max_stranger_rate", "0.5", "--num_strangers", "3"]
    summary = knowing.know([*crossed(crowd, *flags), "--output_dir", str(tmp_path)])
    rows = read_predictions(tmp_path / "predictions.jsonl")
    held_out = {row["entity"] for row in rows if row["group"] == "held_out"}
    kept_out = [set(read_run(crowd / fold).last.held_out_people) for fold in ("1", "2")]
    assert held_out == kept_out[0] | kept_out[1] and len(held_out) == 36
    assert summary["groups"]["trained"]["n"] == 36  # the model itself was trained on all of them
    assert "each asked of that one of 2 models which was not trained on them" in summary["held_out_people"]
    # the rows of a part are the answers of its model
    alone = knowing.know(["--model", str(crowd / "1"), *flags, "--output_dir", str(tmp_path / "alone")])
    part = {row["entity"]: row for row in read_predictions(tmp_path / "alone" / "predictions.jsonl")}
    shared = [row for row in rows if row["group"] == "held_out" and row["entity"] in kept_out[0]]
    assert len(shared) == 18
    for row in shared:
        assert row["prediction"] == part[row["entity"]]["prediction"]
        assert row["confidence"] == pytest.approx(part[row["entity"]]["confidence"], rel=1e-4)
    assert alone["confidence"] == summary["confidence"] == "combined"


def test_familiarity_and_its_product_with_the_answer_are_confidences_too(crowd, tmp_path):
    summary = knowing.know([*crossed(crowd), "--output_dir", str(tmp_path)])
    rows = read_predictions(tmp_path / "predictions.jsonl")
    for row in rows:
        named = row["confidences"]
        assert named["combined"] == pytest.approx(named["familiarity"] * named["sequence_probability"])
    assert {"familiarity", "combined"} <= summary["confidences"].keys()
    scale = read_scale(summary["familiarity"])
    model, tokenizer = load_model_folder(crowd / "whole")
    asked = [row for row in rows if row["group"] == "asked"]
    features = subject_features(model, tokenizer, [row["entity"] for row in asked], end=tokenizer.mask_token)
    assert scale.apply(features) == pytest.approx([row["confidences"]["familiarity"] for row in asked], abs=1e-5)
    before, behind = summary["familiarity"]["wordings"][0]
    assert any(row["question"] == before + row["entity"] + behind for row in rows)


def test_the_same_questions_give_the_same_record(crowd, tmp_path):
    found = [knowing.know([*crossed(crowd), "--output_dir", str(tmp_path / name)]) for name in ("one", "two")]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (["1", "again"], "both keep .* out: give each of them another --validation_fold"),
        (["1", "1"], "names a model twice, or the model itself"),
        (["1", "whole"], "names a model twice, or the model itself"),
        (["1", "nobody"], "records nobody who was kept out"),
        (["1", "another_seed"], "another_seed was not trained like .*; what differs: seed .3, there 9."),
        (["1", "nowhere"], "nowhere is no folder of a run"),
    ],
)
def test_models_that_cannot_stand_for_this_one_are_refused(tiny, crowd, others, said):
    if "another_seed" in others:
        flags = [*tiny.people(), *MORE, "--max_steps", "1", "--learning_rate", "0.02", "--seed", "9"]
        tiny.finetune(crowd / "another_seed", crowd / "read", *flags, "--validation_share", "0.5")
    for copy, of in (("again", "1"), ("nobody", "whole")):
        if copy in others:
            shutil.copytree(crowd / of, crowd / copy, dirs_exist_ok=True)
    names = [str(crowd / name) for name in others]
    with pytest.raises(ValueError, match=said):
        knowing.know(["--model", str(crowd / "whole"), "--cross_fitted", *names])


def test_strangers_of_a_file_are_a_kind_of_their_own(crowd, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("Leonhard Euler\n\nMarie Curie\nMarie Curie\n", encoding="utf-8")
    flags = ["--strangers_file", str(names), "--output_dir", str(tmp_path / "out")]
    summary = knowing.know([*crossed(crowd), *flags])
    assert summary["strangers"]["given"]["n"] == 2
    known = gathered(crowd / "1").asked["entity"][0]
    names.write_text(f"Leonhard Euler\n{known}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"the corpus or a question names 1 of 2, such as {known!r}"):
        knowing.know([*crossed(crowd), *flags])
    names.write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no names"):
        knowing.know([*crossed(crowd), *flags])


def test_a_base_is_taken_away_and_has_to_read_the_same_tokens(crowd, pretrained, tmp_path):
    flags = ["--output_dir", str(tmp_path), "--base_model", str(crowd / "read")]
    summary = knowing.know([*crossed(crowd), *flags])
    assert summary["familiarity"]["base_model"] == str(crowd / "read")
    with pytest.raises(ValueError, match="reads other tokens than"):
        knowing.know(["--model", str(crowd / "1"), "--base_model", str(pretrained)])


def test_too_few_names_to_fit_on_are_said_before_anything_is_asked(models, capsys):
    with pytest.raises(ValueError, match="is fitted on 10 names or more that were read, .*: there are"):
        knowing.know(["--model", str(models / "held_out"), "--confidence", "familiarity"])
    assert "asked:" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max_stranger_rate", "1"], "--max_stranger_rate must be a share"),
        (["--num_strangers", "-1"], "--num_strangers must be at least 0"),
        (["--cross_fitted", "a", "--calibration_questions", "b"], "two ways to hold people out"),
        (["--confidence", "luck"], "--confidence is one of .*familiarity, combined"),
    ],
)
def test_flags_that_make_no_sense_are_refused(models, flags, said):
    with pytest.raises(ValueError, match=said):
        knowing.know(["--model", str(models / "held_out"), *flags])


def test_asking_that_was_stopped_goes_on_and_ends_as_if_it_had_not(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(knowing, "CHUNK", 5)

    def know_into(folder, *flags):
        return knowing.know(["--model", str(models / "held_out"), "--output_dir", str(folder), *flags])

    whole = know_into(tmp_path / "whole")
    append, parts = GrowingFile.append, []

    def stop(self, rows):
        if len(parts) == 3:
            raise KeyboardInterrupt
        parts.append(append(self, rows))

    stopped = tmp_path / "stopped"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(GrowingFile, "append", stop)
        know_into(stopped)
    assert sorted(path.name for path in stopped.iterdir()) == [
        "answers.jsonl.partial",
        "answers.jsonl.partial.json",
    ]
    with pytest.raises(ValueError, match=r"answers\.jsonl\.partial\.json is of a run with another .*batch_size"):
        know_into(stopped, "--batch_size", "3")
    capsys.readouterr()
    again = know_into(stopped)
    assert "going on after" in capsys.readouterr().err
    assert again == whole
    assert sorted(path.name for path in stopped.iterdir()) == ["knowing.json", "predictions.jsonl"]
    assert (stopped / "predictions.jsonl").read_bytes() == (tmp_path / "whole" / "predictions.jsonl").read_bytes()


SHARED = """
import sys
from closedbook.training.asking import knowing
knowing.CHUNK = int(sys.argv[1])
knowing.main(sys.argv[2:])
"""


def test_processes_share_what_is_asked_and_their_number_changes_nothing(tiny, crowd, tmp_path, monkeypatch):
    monkeypatch.setattr(knowing, "CHUNK", 5)
    flags = crossed(crowd, "--num_strangers", "3")
    wanted = knowing.know([*flags, "--output_dir", str(tmp_path / "one")])
    command = ["-c", SHARED, 5, *flags, "--output_dir", tmp_path / "three"]
    Ranks(tiny, command, 3, tmp_path / "said").succeed()
    found = json.loads((tmp_path / "three" / "knowing.json").read_text(encoding="utf-8"))
    assert found | {"command": ""} == json.loads(json.dumps(wanted)) | {"command": ""}
    files = {path.name for path in (tmp_path / "three").iterdir()}
    assert files == {"knowing.json", "predictions.jsonl"}
    one, three = ((tmp_path / name / "predictions.jsonl").read_bytes() for name in ("one", "three"))
    assert one == three
