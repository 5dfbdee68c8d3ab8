"""The comparison on the reference task: what it leaves, that it goes on where it stopped, what it refuses."""

import json
import shutil

import pytest

from closedbook.evaluation.results import load_results
from closedbook.evaluation.run_record import read_run
from closedbook.training.experiments import comparison
from closedbook.training.experiments.variants import VARIANTS

PRETRAINING = """\
corpus: wiki
hidden_size: 16
num_hidden_layers: 2
num_attention_heads: 2
block_size: 64
row_length: 64
dropout: 0.0
max_steps: 2
global_batch_size: 4
save_strategy: "no"
eval_examples: 8
"""
FINETUNING = """\
questions: cs224n
row_length: 64
num_train_epochs: 1
global_batch_size: 3
save_strategy: "no"
"""


@pytest.fixture
def comparing(files, tmp_path, monkeypatch):
    """The command on the reference files in small, with a tiny budget."""
    data = tmp_path / "data"
    data.mkdir()
    for name, file in (("corpus", "wiki"), ("train", "train"), ("dev", "dev"), ("inputs", "inputs")):
        shutil.copy(files[file], data / comparison.FILES[name])
    recipes = {"pretraining_recipe": PRETRAINING, "finetuning_recipe": FINETUNING}
    flags = []
    for name, content in recipes.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(content, encoding="utf-8")
        flags += [f"--{name}", str(path)]
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))  # restored: the runs set it

    def call(*more):
        places = ["--output_dir", str(tmp_path / "outputs"), "--results", str(tmp_path / "results")]
        return comparison.main(["--data", str(data), *flags, *places, "--num_threads", "1", *map(str, more)])

    call.folder = tmp_path
    return call


@pytest.fixture
def untouched_threads():
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


pytestmark = pytest.mark.usefixtures("untouched_threads")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_each_variant_and_seed_leaves_a_result_and_all_together_a_table(comparing):
    rows = comparing("--variants", "vanilla", "perceiver-prefix", "--seeds", 0, 1, "--task", "short")
    results = load_results(comparing.folder / "results")
    models = [result for result in results if result["protocol"] == "two_stage"]
    assert [(result["model"], result["seed"]) for result in models] == [
        *[("perceiver-prefix", 0), ("perceiver-prefix", 1)],
        *[("vanilla", 0), ("vanilla", 1)],
    ]
    for result in models:
        assert result["n"] == 3 and result["pretraining_loss"] > 0
        assert result["budget"]["pretraining"]["max_steps"] == 2
    summary = read(comparing.folder / "results" / "short" / "summary.json")
    assert summary["rows"] == rows and {"versions", "command", "hardware"} <= summary.keys()
    assert [row["pretraining_loss"] for row in rows] == sorted(row["pretraining_loss"] for row in rows)
    for row in rows:
        own = [result for result in models if result["model"] == row["variant"]]
        assert row["n"] == 6 and row["correct"] == sum(result["correct"] for result in own)
        assert row["pretraining_loss"] == pytest.approx(sum(r["pretraining_loss"] for r in own) / 2)
        assert row["interval"][0] >= row["interval_questions"][0]
        table = (comparing.folder / "results" / "short" / "summary.md").read_text(encoding="utf-8")
        assert f"| {row['variant']} |" in table
    assert any(result["protocol"] == "majority" for result in results)


def test_flags_change_the_budget_of_both_stages(comparing):
    comparing("--variants", "vanilla", "--seeds", 3, "--pretraining_steps", 1, "--finetuning_epochs", 2)
    folder = comparing.folder / "outputs" / "vanilla-seed3"
    # 6 training people, one of whom is asked about: 5 questions in batches of 3
    assert read_run(folder / "pretrained").last.steps == 1
    assert read_run(folder / "finetuned").last.steps == 4
    assert read_run(folder / "finetuned").last.seed == 3


def test_a_stopped_command_goes_on_with_the_stage_it_was_in(comparing, monkeypatch):
    def stopped(settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(comparison, "finetune", stopped)
        with pytest.raises(KeyboardInterrupt):
            comparing("--variants", "vanilla", "--seeds", 0)
    weights = comparing.folder / "outputs" / "vanilla-seed0" / "pretrained" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    (row,) = comparing("--variants", "vanilla", "--seeds", 0)
    assert weights.stat().st_mtime_ns == written and row["seeds"] == [0]

    def never(*args):
        raise AssertionError("repeated a finished run")

    monkeypatch.setattr(comparison, "run", never)
    assert comparing("--variants", "vanilla", "--seeds", 0) == [row]


def test_a_run_that_was_killed_while_training_begins_again(comparing):
    comparing("--variants", "vanilla", "--seeds", 0)
    folder = comparing.folder / "outputs" / "vanilla-seed0"
    record = read(folder / "pretrained" / "run.json")
    del record["eval_loss"]  # as it stands while a run goes on
    (folder / "pretrained" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    shutil.rmtree(folder / "finetuned")
    shutil.rmtree(comparing.folder / "results")
    (row,) = comparing("--variants", "vanilla", "--seeds", 0)
    assert row["pretraining_loss"] == read_run(folder / "pretrained").last.eval_loss


def test_another_budget_is_refused_before_anything_runs(comparing, monkeypatch):
    comparing("--variants", "vanilla", "--seeds", 0)
    monkeypatch.setattr(comparison, "run", lambda *args: pytest.fail("ran"))
    with pytest.raises(ValueError, match="is of a run with another .*, which does not compare"):
        comparing("--variants", "vanilla-rotary", "vanilla", "--seeds", 0, "--pretraining_steps", 5)


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--variants", "transformer"), "--variants: 'transformer' is unknown; known: vanilla, vanilla-rotary"),
        (("--variants", "vanilla", "vanilla"), "--variants names vanilla twice"),
        (("--seeds", 1, 1), "--seeds names 1 twice"),
    ],
)
def test_a_mistyped_choice_is_refused_before_anything_is_written(comparing, flags, message):
    with pytest.raises(ValueError, match=message):
        comparing(*flags)
    assert not (comparing.folder / "results").exists() and not (comparing.folder / "outputs").exists()


def test_missing_files_are_named(comparing):
    (comparing.folder / "data" / "birth_dev.tsv").unlink()
    with pytest.raises(FileNotFoundError, match="--data: there is no .*birth_dev.tsv"):
        comparing()
    with pytest.raises(FileNotFoundError, match="recipe nowhere.yaml does not exist"):
        comparison.Budget(pretraining_recipe="nowhere.yaml").describe()


def test_the_recipes_name_no_architecture(comparing):
    budget = comparison.Budget().describe()
    chosen = {name for fields in VARIANTS.values() for name in fields}
    assert not chosen & (budget["pretraining"].keys() | budget["finetuning"].keys())
