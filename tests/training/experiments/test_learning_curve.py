"""A curve of accuracy over the checkpoints of a pretraining run."""

import json

import pytest

from closedbook.training.experiments import learning_curve


@pytest.fixture
def command(tiny, files, tmp_path):
    """The command for a run of eight steps with two checkpoints."""
    run = tmp_path / "run"
    tiny.pretrain(run, "--corpus", "wiki", "--corpus_path", files["wiki"])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "questions: cs224n\nrow_length: 64\nuse_cpu: true\nglobal_batch_size: 4\nsave_strategy: 'no'\n",
        encoding="utf-8",
    )
    return [
        *("--model", str(run), "--train_questions", str(files["train"]), "--validation_share", "0.4"),
        *("--recipe", str(recipe), "--num_train_epochs", "1", "--num_threads", "1"),
        *("--results", str(tmp_path / "results")),
    ]


def test_every_checkpoint_is_a_point_at_the_characters_it_had_read(command, tmp_path, monkeypatch):
    curve = learning_curve.main(command)
    characters = curve["stages"][0]["end"]
    assert [point[0] for point in curve["accuracy"]] == [characters // 2, characters]
    assert all(0 <= point[1] <= 1 for point in curve["accuracy"])
    written = json.loads((tmp_path / "results" / "curves" / "run.json").read_text(encoding="utf-8"))
    assert written["accuracy"] == curve["accuracy"]
    assert {"command", "versions", "hardware"} <= written.keys()
    monkeypatch.setattr(learning_curve, "teach_and_ask", lambda *_: pytest.fail("asked again"))
    assert learning_curve.main(command)["accuracy"] == curve["accuracy"]
    with pytest.raises(ValueError, match="curves/run.json is of runs with another taught.num_train_epochs"):
        learning_curve.main([*command, "--num_train_epochs", "2"])
    record = tmp_path / "run" / "run.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"seed": 3', '"seed": 4'), encoding="utf-8")
    with pytest.raises(ValueError, match="curves/run.json is of runs with another seed, "):
        learning_curve.main(command)  # the folder of another run, whose checkpoints were at the same characters


def test_a_run_that_read_the_questions_is_refused(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"protocol": "mixed"}), encoding="utf-8")
    with pytest.raises(ValueError, match="was pretrained on questions too"):
        learning_curve.main(["--model", str(tmp_path), "--train_questions", "t.tsv", "--results", str(tmp_path)])


def test_a_run_without_checkpoints_is_refused_with_the_remedy(command, tmp_path):
    for checkpoint in (tmp_path / "run").glob("checkpoint-*"):
        checkpoint.rename(tmp_path / checkpoint.name)
    with pytest.raises(ValueError, match="keeps no checkpoints; pretrain with --save_steps"):
        learning_curve.main(command)
