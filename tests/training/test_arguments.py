"""Flags and recipes are the same names; flags win; what makes no sense is refused by name."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from closedbook.evaluation.laboratory.tables import FIGURES as LABORATORY_FIGURES
from closedbook.training import arguments, finetuning, pretraining
from closedbook.training.arguments import (
    ClosedbookTrainingArguments,
    CorpusArguments,
    ModelArguments,
    PopulationArguments,
)
from closedbook.training.command_line import recipe_name

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
FIGURES = {f"laboratory_{figure}" for figure in (*LABORATORY_FIGURES, "bits_full", "reasoning")}
RECIPES = sorted(path for path in (SCRIPTS / "recipes").glob("*.yaml") if path.stem not in FIGURES)
LAUNCH = sorted((SCRIPTS / "launch").glob("*.yaml"))


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe; returns its path as text."""

    def write(content: str) -> str:
        path = tmp_path / "recipe.yaml"
        path.write_text(content, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def training(parse):
    """The training arguments that some flags give."""

    def read(*flags: str) -> ClosedbookTrainingArguments:
        return parse((ClosedbookTrainingArguments,), ["--output_dir", "out", *flags])[0]

    return read


def test_a_recipe_names_a_key_once(parse, recipe):
    path = recipe("seed: 1\nlearning_rate: 0.1\nseed: 2\n")
    with pytest.raises(ValueError, match="recipe.yaml: seed stands in line 1 and again in line 3"):
        parse([ClosedbookTrainingArguments], ["--recipe", path])


def test_a_recipe_key_is_the_flag_of_the_same_name(parse, recipe):
    kinds = (ModelArguments, PopulationArguments, CorpusArguments)
    lines = "hidden_size: 32\narchitecture: perceiver\nattributes: [birth_place, employer]\ncorpus: wiki\n"
    *from_recipe, path = parse(kinds, ["--recipe", recipe(lines)])
    flags = ["--hidden_size", "32", "--architecture", "perceiver", "--attributes", "birth_place", "employer"]
    *from_flags, none = parse(kinds, [*flags, "--corpus", "wiki"])
    assert from_recipe == from_flags
    assert path == Path(recipe(lines))
    assert none is None


def test_flags_win_over_the_recipe_wherever_they_stand(parse, recipe):
    path = recipe("hidden_size: 32\nblock_size: 48\nnum_latents: 8\n")
    flags = ["--hidden_size", "64", "--recipe", path, "--num_latents", "9"]
    model, _ = parse((ModelArguments,), flags)
    assert (model.hidden_size, model.block_size, model.num_latents) == (64, 48, 9)


def test_the_recipe_may_be_given_with_an_equals_sign(parse, recipe):
    model, path = parse((ModelArguments,), [f"--recipe={recipe('hidden_size: 32')}"])
    assert model.hidden_size == 32
    assert path.name == "recipe.yaml"


def test_lists_mappings_booleans_and_negative_numbers_mean_in_a_recipe_what_they_say(parse, recipe):
    lines = (
        "output_dir: out\noverwrite: true\nresume: false\nattributes: [birth_place, employer]\n"
        "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr_rate: 0.25}\nmax_steps: -1\n"
        "learning_rate: 6e-3\n"
    )
    people, args, _ = parse((PopulationArguments, ClosedbookTrainingArguments), ["--recipe", recipe(lines)])
    assert people.attributes == ["birth_place", "employer"]
    assert args.lr_scheduler_kwargs == {"min_lr_rate": 0.25}
    assert (args.overwrite, args.resume, args.max_steps, args.learning_rate) == (True, False, -1, 0.006)


@pytest.mark.parametrize("value", ["", "null", "[]"])
def test_a_key_without_a_value_is_refused_by_name(parse, recipe, value):
    path = recipe(f"hidden_size: 32\nattributes: {value}\n")
    with pytest.raises(ValueError, match=r"recipe\.yaml: attributes has no value"):
        parse((ModelArguments, PopulationArguments), ["--recipe", path])


def test_unknown_keys_are_all_named_with_the_file(parse, recipe):
    with pytest.raises(ValueError, match=r"hiden_size \(did you mean hidden_size\?\), zebra$"):
        parse((ModelArguments,), ["--recipe", recipe("hiden_size: 32\nblock_size: 8\nzebra: 1\n")])


@pytest.mark.parametrize(
    "flags, told",
    [
        (["--hiden_size", "32"], "there is no flag --hiden_size; did you mean --hidden_size?"),
        (["--hiden_size=32"], "there is no flag --hiden_size; did you mean --hidden_size?"),
        (["--recpie", "demo.yaml"], "there is no flag --recpie; did you mean --recipe?"),
        (["--zebra"], "there is no flag --zebra; --help lists the flags"),
        (["--hidden_size", "32", "64"], "no flag takes 64"),
        (["-block_size", "32"], "no flag takes -block_size 32"),
        (["--num", "1"], "ambiguous option: --num could match"),
    ],
)
def test_what_no_flag_takes_ends_the_program_with_status_2_and_one_line(parse, flags, told, capsys):
    with pytest.raises(SystemExit) as left:
        parse((ModelArguments,), flags)
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_the_beginning_of_a_flag_is_as_good_as_the_flag(parse):
    assert parse((ModelArguments,), ["--hidden_s", "32"])[0].hidden_size == 32


def test_a_recipe_has_to_exist_and_to_be_named(parse, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.yaml does not exist"):
        parse((ModelArguments,), ["--recipe", str(tmp_path / "nowhere.yaml")])
    with pytest.raises(ValueError, match="--recipe needs a file"):
        parse((ModelArguments,), ["--hidden_size", "32", "--recipe"])


@pytest.mark.parametrize("content", ["", "just text", "- hidden_size\n- block_size\n", "32"])
def test_a_recipe_has_to_be_a_mapping(parse, recipe, content):
    with pytest.raises(ValueError, match="must map argument names to values"):
        parse((ModelArguments,), ["--recipe", recipe(content)])


def test_a_recipe_that_is_no_yaml_is_named(parse, recipe):
    with pytest.raises(ValueError, match=r"recipe\.yaml"):
        parse((ModelArguments,), ["--recipe", recipe("hidden_size: [32\nblock_size: }")])


def test_a_run_names_its_recipe_without_the_folders_of_a_machine(tmp_path):
    assert recipe_name(None) is None
    assert recipe_name(Path("scripts/recipes/a.yaml")) == "scripts/recipes/a.yaml"
    assert recipe_name(tmp_path / "a.yaml") == "a.yaml"


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--max_steps", "-5"], "max_steps must be positive .*-5"),
        (["--max_steps", "0"], "max_steps must be positive .*0"),
        (["--num_train_epochs", "0"], "num_train_epochs must be positive, got 0"),
        (["--num_train_epochs", "-1"], "num_train_epochs must be positive, got -1"),
        (["--precision", "fp8"], "precision must be auto, bf16 or fp32, got 'fp8'"),
        (["--optimizer", "sgd"], "optimizer must be muon or adamw, got 'sgd'"),
    ],
)
def test_training_arguments_without_sense_are_refused(training, flags, message):
    with pytest.raises(ValueError, match=message):
        training(*flags)


@pytest.mark.parametrize(
    "flags, expected",
    [
        ([], (128, 1, 128)),
        (["--global_batch_size", "32"], (32, 1, 32)),
        (["--global_batch_size", "512"], (128, 4, 512)),
        (["--global_batch_size", "24", "--per_device_train_batch_size", "8"], (8, 3, 24)),
        (["--per_device_train_batch_size", "8", "--gradient_accumulation_steps", "2"], (8, 2, 16)),
    ],
)
def test_accumulation_follows_from_the_global_batch(training, flags, expected):
    args = training(*flags)
    args.divide_batch()
    batch, accumulation, whole = expected
    assert args.per_device_train_batch_size == batch
    assert args.gradient_accumulation_steps == accumulation
    assert args.global_batch_size == whole


@pytest.mark.parametrize("size, most", [(0, 8), (-8, 8), (12, 8), (20, 16)])
def test_a_global_batch_that_does_not_divide_is_refused(training, size, most):
    args = training("--global_batch_size", str(size), "--per_device_train_batch_size", str(most))
    with pytest.raises(ValueError, match=f"global_batch_size {size}"):
        args.divide_batch()


def test_a_global_batch_divides_among_the_processes(training, monkeypatch):
    args = training("--global_batch_size", "24", "--per_device_train_batch_size", "4")
    monkeypatch.setattr(type(args), "world_size", property(lambda self: 3))
    args.divide_batch()
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (4, 2)
    args = training("--global_batch_size", "16")
    with pytest.raises(ValueError, match="does not divide among 3 processes"):
        args.divide_batch()


def test_precision_is_what_was_asked_for(training, monkeypatch):
    assert training("--precision", "bf16", "--use_cpu", "True").bf16
    assert not training("--precision", "fp32").bf16
    for has in (True, False):
        monkeypatch.setattr(arguments, "has_bf16", lambda use_cpu, has=has: has)
        assert training("--precision", "auto").bf16 is has


def test_the_defaults_that_the_data_depends_on_are_ours(training):
    args = training()
    assert not args.remove_unused_columns  # the collator needs every column
    assert args.train_sampling_strategy == "sequential"  # example i must stay example i
    assert args.lr_scheduler_kwargs == {"min_lr_rate": 0.1}


def test_each_run_logs_into_its_own_folder_unless_the_user_chose_one(training, monkeypatch):
    import os

    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    with training("--output_dir", "first").logging_in_own_folder():
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == os.path.join("first", "logs")
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", "mine")
    with training("--output_dir", "third").logging_in_own_folder():
        assert os.environ["TENSORBOARD_LOGGING_DIR"] == "mine"


@pytest.mark.parametrize(
    ("flags", "environment", "threads"),
    [
        ([], {}, 8),
        (["--num_threads", "3"], {"OMP_NUM_THREADS": "5"}, 3),
        ([], {"OMP_NUM_THREADS": "5"}, 5),
        ([], {"OMP_NUM_THREADS": "4,2"}, 4),
        ([], {"OMP_NUM_THREADS": ""}, 8),
        ([], {"LOCAL_WORLD_SIZE": "2"}, 4),
        ([], {"LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}, 4),  # torchrun sets 1 by itself
        ([], {"LOCAL_WORLD_SIZE": "16"}, 1),
        ([], {"ACCELERATE_MIXED_PRECISION": "no", "OMP_NUM_THREADS": "1"}, 8),  # and so does accelerate launch
    ],
)
def test_a_process_computes_in_its_share_of_the_cores_or_in_what_it_was_told(
    training, monkeypatch, flags, environment, threads
):
    chosen = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(arguments.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    training("--use_cpu", "True", *flags).set_threads()
    assert chosen == [threads]


def test_there_are_recipes_and_launch_files():
    assert {path.stem for path in RECIPES} >= {"demo_pretrain", "demo_finetune", "cs224n_vanilla_pretrain"}
    assert {path.stem for path in LAUNCH} >= {"cpu", "cpu2", "ddp", "fsdp2"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_sets_what_it_says_in_the_script_it_is_for(parse, path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    asks_only = "questions" in content and "corpus" not in content
    script, needed = (finetuning, ["--model", "folder"]) if asks_only else (pretraining, [])
    *parsed, _ = parse(script.ARGUMENTS, [*needed, "--output_dir", "out", "--recipe", str(path)])
    values = {item.name: getattr(kind, item.name) for kind in parsed for item in fields(kind)}
    for name, value in content.items():
        # the library keeps "none" as an empty list
        wanted = [] if (name, value) == ("report_to", "none") else value
        assert getattr(values[name], "value", values[name]) == wanted, name
    (args,) = (kind for kind in parsed if isinstance(kind, ClosedbookTrainingArguments))
    args.divide_batch()


@pytest.mark.parametrize("path", LAUNCH, ids=lambda path: path.stem)
def test_every_launch_file_is_one_of_accelerate(path):
    config = load_config_from_file(str(path))
    assert config.num_machines == (2 if path.stem == "multi_node" else 1)
    assert config.num_processes >= 1


def test_the_sharding_launch_file_names_a_block_that_exists():
    from closedbook.modeling.modeling_gpt import GPTPreTrainedModel

    wrapped = load_config_from_file(str(SCRIPTS / "launch" / "fsdp2.yaml")).fsdp_config
    assert wrapped["fsdp_transformer_layer_cls_to_wrap"] in GPTPreTrainedModel._no_split_modules
