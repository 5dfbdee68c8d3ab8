"""Tiny training runs of every stage and architecture, and what a model of them answers.

Each run is a script's `main` with flags; recorded are all its losses, gradient norms and learning rates, the run
file's facts, and checksums of the weights before the first step and after the last.
"""

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from golden_environment import call_script, hash_tensors, read_json, read_jsonl

PEOPLE = ["--num_people", "20", "--population_seed", "4", "--attributes", "birth_place", "profession"]
MACHINE = ["--num_threads", "1", "--use_cpu", "True", "--precision", "fp32", "--disable_tqdm", "True"]
TRAINING = [
    *(*MACHINE, "--report_to", "none", "--logging_steps", "1", "--save_strategy", "no", "--seed", "3"),
    *("--global_batch_size", "8", "--row_length", "128", "--eval_examples", "16"),
]
SIZES = [
    *("--hidden_size", "32", "--num_hidden_layers", "2", "--num_attention_heads", "2", "--block_size", "64"),
]
LINFORMER = ["--attention", "linformer", "--attention_block_size", "8", "--num_landmarks", "8"]
BIGBIRD = ["--attention", "bigbird", "--attention_block_size", "8"]
PERCEIVER = ["--architecture", "perceiver", "--num_latents", "16"]
PRETRAINING = [*PEOPLE, *TRAINING, *SIZES, "--num_versions", "1", "--max_steps", "6"]
FINETUNING = [*TRAINING, *PEOPLE, "--max_steps", "4"]
# Dropout draws in every other run; here it is off, so that only the architecture speaks.
ARCHITECTURES = {
    "vanilla": [],
    "vanilla-rotary": ["--position", "rotary"],
    "vanilla-synthesizer_dense": ["--attention", "synthesizer_dense"],
    "vanilla-synthesizer_random": ["--attention", "synthesizer_random"],
    "vanilla-linformer": LINFORMER,
    "vanilla-linformer-rotary": [*LINFORMER, "--position", "rotary"],
    "vanilla-bigbird": BIGBIRD,
    "vanilla-bigbird-rotary": [*BIGBIRD, "--position", "rotary"],
    "perceiver-spread": [*PERCEIVER, "--latent_layout", "spread"],
    "perceiver-prefix": [*PERCEIVER, "--latent_layout", "prefix"],
    "perceiver-last": [*PERCEIVER, "--latent_layout", "last"],
}
UNUSUAL = [
    *("--shift_positions", "True", "--dropout", "0.2", "--attention_dropout", "0.1", "--optimizer", "adamw"),
    *("--learning_rate", "0.004", "--weight_decay", "0.3", "--adam_beta1", "0.8", "--adam_beta2", "0.9"),
    *("--warmup_steps", "2", "--lr_scheduler_type", "linear", "--max_grad_norm", "0.5"),
]
ALL_OBJECTIVES = [
    *("--biography_unit", "biography", "--objectives", "span_corruption=3", "title_windows", "t5_multi_span"),
    *("salient_spans=2", "mixture_of_denoisers", "fill_in_the_middle", "left_to_right@0.5", "reversed_order"),
    *("entity_recall", "entity_list", "entity_sequence", "entity_cue"),
    *("place_list", "place_sequence", "place_cue"),
]
MIXED = ["--objectives", "span_corruption=1", "question_answering=2@0.5", "--validation_share", "0.25"]
LEARNING = ["--dropout", "0.0", "--learning_rate", "0.02", "--max_steps", "120", "--logging_steps", "20"]


def runs() -> dict[str, tuple[str, str | None, list[str]]]:
    """Of every run, by the folder it writes to: its script, the run it starts from, and its flags.

    A run stands behind the one it starts from.
    """
    table: dict[str, tuple[str, str | None, list[str]]] = {}
    for name, flags in ARCHITECTURES.items():
        table[f"{name}/pretrained"] = ("pretrain", None, [*PRETRAINING, *flags, "--dropout", "0.0"])
        table[f"{name}/finetuned"] = ("finetune", f"{name}/pretrained", [*FINETUNING, "--dropout", "0.0"])
    return table | {
        "vanilla/no_pretraining": ("finetune", "vanilla/pretrained", [*FINETUNING, "--from_scratch", "True"]),
        "mixed/pretrained": ("pretrain", None, [*PRETRAINING, *MIXED]),
        "mixed/finetuned": ("finetune", "mixed/pretrained", [*FINETUNING, "--validation_share", "0.25"]),
        "unusual/pretrained": ("pretrain", None, [*PRETRAINING, *UNUSUAL, "--num_versions", "2"]),
        "unusual/finetuned": (
            "finetune",
            "unusual/pretrained",
            [*FINETUNING, *UNUSUAL, "--num_unknown_people", "4", "--validation_share", "0.2"],
        ),
        "perceiver-unusual/pretrained": (
            "pretrain",
            None,
            [*PRETRAINING, *ARCHITECTURES["perceiver-spread"], *UNUSUAL],
        ),
        "objectives/pretrained": ("pretrain", None, [*PRETRAINING, *ALL_OBJECTIVES]),
        "accumulated/pretrained": (
            "pretrain",
            None,
            [*PRETRAINING, "--per_device_train_batch_size", "4", "--attn_implementation", "sdpa"],
        ),
        "epochs/finetuned": (
            "finetune",
            "mixed/pretrained",
            [*FINETUNING, "--max_steps", "-1", "--num_train_epochs", "2", "--validation_share", "0.25"],
        ),
        "learned/pretrained": ("pretrain", None, [*PRETRAINING, *LEARNING]),
        "learned/finetuned": (
            "finetune",
            "learned/pretrained",
            [*FINETUNING, "--validation_share", "0.3", "--dropout", "0.0", "--max_steps", "24"],
        ),
    }


def record_training(checkout: Path) -> dict[str, dict]:
    """All runs, in the current folder; a run that fails is recorded as its error, and the others go on."""
    import transformers  # noqa: F401 - with all that comes with it, now, so that it is frozen, too

    gc.freeze()  # the Trainer collects garbage for every run; over the libraries' objects that takes half of its time
    found = {}
    for name, (script, start, flags) in runs().items():
        model = ["--model", start] if start else []
        found[name] = record_run(checkout, script, [*flags, *model, "--output_dir", name], Path(name))
    return found


def record_run(checkout: Path, script: str, flags: list[str], folder: Path) -> dict:
    """One run: what it was, what it logged, and its weights."""
    try:
        with initial_weights() as initial:
            call_script(checkout, script, *flags)
        return read_run(folder) | {"initial_weights": initial[0]}
    except BaseException as error:  # also what a script raises to end its process
        return {"error": "".join(traceback.format_exception(error))}


def read_run(folder: Path) -> dict:
    """What a finished run's folder says of it, but for times and machines."""
    from safetensors.torch import load_file

    history = read_json(folder / "trainer_state.json")["log_history"]
    series = {}
    for key in ("loss", "grad_norm", "learning_rate", "eval_loss", "eval_exact_match"):
        series[key] = [entry[key] for entry in history if key in entry]
    facts = read_json(folder / "run.json")
    # of times, machines and commits nothing is expected; earlier stages are recorded as runs of their own; and
    # whether a file says "none" or nothing is its format
    apart = ("versions", "hardware", "commit", "command", "train_seconds", "pretraining", "format")
    told = {name: value for name, value in facts.items() if name not in apart}
    return {
        "facts": {name: value for name, value in told.items() if value not in (None, [], {})},
        "logged": {key: values for key, values in series.items() if values},
        "weights": hash_tensors(load_file(folder / "model.safetensors")),
    }


@contextmanager
def initial_weights() -> Iterator[list[str]]:
    """Collects checksums of the weights with which the stock Trainer starts; every layout trains with it."""
    from transformers import Trainer

    collected, unwrapped = [], Trainer.train

    def train(trainer, *args, **kwargs):
        collected.append(hash_tensors(dict(trainer.model.state_dict())))
        return unwrapped(trainer, *args, **kwargs)

    Trainer.train = train
    try:
        yield collected
    finally:
        Trainer.train = unwrapped


def record_asking(checkout: Path) -> dict[str, dict]:
    """What `learned/finetuned` answers: evaluate.py, and knowing.py with its confidences."""
    model = ["--model", "learned/finetuned", "--max_new_tokens", "12"]
    found = {}
    try:
        call_script(checkout, "evaluate", *model, *PEOPLE, "--output_dir", "answers")
        found["evaluate"] = read_answers(Path("answers"), "results.json")
    except BaseException as error:
        found["evaluate"] = {"error": "".join(traceback.format_exception(error))}
    try:
        few = ["--num_trained", "6", "--num_invented", "6", "--max_error_rate", "0.3"]
        call_script(checkout, "knowing", *model, *few, "--output_dir", "known")
        found["knowing"] = read_answers(Path("known"), "knowing.json")
    except BaseException as error:
        found["knowing"] = {"error": "".join(traceback.format_exception(error))}
    return found


def read_answers(folder: Path, summary: str) -> dict:
    """The rows of predictions, and the summary without times and machines."""
    apart = ("versions", "hardware", "commit", "command", "train_seconds", "train_commands", "train_hardware")
    apart += ("format",)
    content = {name: value for name, value in read_json(folder / summary).items() if name not in apart}
    return {"rows": read_jsonl(folder / "predictions.jsonl"), "summary": content}
