"""Flags that would have no effect are refused: who types one believes that it does something.

A flag is known as given by its value, which is not the default; giving a default is harmless. What a recipe says
counts where it would spoil a run; where it only has no effect beside a flag that was typed, it is left alone.
"""

import logging
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any

from closedbook.data.real_facts import REAL_FACTS
from closedbook.training.arguments import (
    ClosedbookTrainingArguments,
    CorpusArguments,
    ModelArguments,
    PopulationArguments,
    QuestionArguments,
    default_of,
)
from closedbook.training.checks.together import Problems

logger = logging.getLogger(__name__)

_OURS = "the order of the examples is that of the mixture, example i being the same whoever computes it"

WITHOUT_FILE = ("biographies", *REAL_FACTS)  # corpora that are made here, or by an installed package
# Flags about the form of documents, each with the corpora that have such forms.
FORMS = {"document_unit": ("text",), "title_column": ("text", "hub"), "text_column": ("text", "hub")}
FORMS |= {"streaming": ("text", "hub"), "skip_damaged": ("text",)}

# Of the library's arguments: what nothing here uses, or what would spoil a run, and why.
_NEVER = {
    "label_smoothing_factor": "the library would compare each character with itself instead of the next one",
    "remove_unused_columns": "the collator needs every column",
    "train_sampling_strategy": _OURS,
    "length_column_name": _OURS,
    "data_seed": _OURS,
    "dataloader_drop_last": "a run takes whole batches only, and an evaluation may be smaller than one",
    "ignore_data_skip": "a resumed run would learn from the first examples again",
    "resume_from_checkpoint": "--resume goes on from the last good checkpoint",
    "auto_find_batch_size": "--per_device_train_batch_size says how many examples a device holds at once",
    "use_cache": "packed examples would read each other's keys",
    "label_names": "the labels are those of the collator",
    "include_for_metrics": "no metrics are computed from predictions while training",
    "batch_eval_metrics": "no metrics are computed from predictions while training",
    "eval_do_concat_batches": "no metrics are computed from predictions while training",
    "eval_use_gather_object": "no metrics are computed from predictions while training",
    "prediction_loss_only": "no metrics are computed from predictions while training",
    "do_train": "the script says what is done",
    "do_eval": "the script says what is done; --eval_strategy when it is evaluated",
    "do_predict": "the script says what is done",
}
# Name -> whether it counts, given the arguments, and what it needs.
_NEEDS_MUON_OFF = ("optim", "optim_args", "optim_target_modules", "adam_epsilon")
_NEEDS_WORKERS = (
    *("dataloader_persistent_workers", "dataloader_prefetch_factor", "dataloader_multiprocessing_context"),
    "dataloader_in_order",
)
_NEEDS_TRACKIO = ("project", "trackio_space_id", "trackio_bucket_id", "trackio_static_space_id")
_NEEDS_PROCESSES = (
    *("ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp_static_graph"),
    *("ddp_backend", "ddp_timeout", "average_tokens_across_devices"),
)


def given(args: Any) -> set[str]:
    """Names of the fields of a dataclass of flags that have not their default, typed or from a recipe."""
    if isinstance(args, ClosedbookTrainingArguments):
        return set(args.given)  # before the library filled in what follows from them
    found = set()
    for item in fields(args):
        default = default_of(item)
        if item.init and default is not MISSING and getattr(args, item.name) != default:
            found.add(item.name)
    return found


def typed(args: Any) -> set[str]:
    """As `given`, without what only a recipe says: a line of it may lose its effect by a flag that is typed."""
    names: set[str] | None = getattr(args, "typed", None)
    return given(args) if names is None else given(args) & names


def check_effect_in_training(args: ClosedbookTrainingArguments) -> None:
    """Refuse training arguments that have no effect, or none that anybody wants.

    Raises:
        ValueError: with one line a flag.
    """
    known, asked = given(args), typed(args)
    on_evaluation = args.eval_strategy != "no"
    on_best = args.load_best_model_at_end or args.save_strategy == "best"
    on_best = on_best or args.lr_scheduler_type == "reduce_lr_on_plateau"
    needs = (
        (_NEEDS_MUON_OFF, args.optimizer != "muon", "--optimizer muon brings its own; --optimizer adamw uses it"),
        (("hub_strategy",), args.push_to_hub, "it needs --push_to_hub"),  # for the others, see `check_hub_flags`
        (_NEEDS_WORKERS, args.dataloader_num_workers > 0, "it needs --dataloader_num_workers"),
        (_NEEDS_TRACKIO, "trackio" in _words(args.report_to), "it needs --report_to trackio"),
        (_NEEDS_PROCESSES, args.world_size > 1, "this run is one process"),
        (("eval_steps", "eval_delay"), on_evaluation, "it needs --eval_strategy"),
        (("metric_for_best_model", "greater_is_better"), on_best, "it needs --load_best_model_at_end"),
        (("save_only_model",), args.save_strategy != "no", "--save_strategy is no"),
        (("nonfinite_limit",), args.on_nonfinite == "skip", "it needs --on_nonfinite skip"),
        (("gradient_accumulation_steps",), "global_batch_size" not in known, "--global_batch_size derives it"),
        (("bf16",), False, "say --precision bf16 or --precision fp32"),
        (("fp16",), not args.use_cpu, "a CPU does not train in fp16: use --precision bf16 or fp32"),
        (("fp16_full_eval",), not args.use_cpu, "a CPU does not evaluate in fp16"),
    )
    lines = [f"--{name} has no effect here: {why}" for name, why in _NEVER.items() if name in known]
    for names, counts, why in needs:
        lines += [f"--{name} has no effect: {why}" for name in names if name in asked and not counts]
    refuse(lines)


def sizes_without_effect(architecture: str, attention: str) -> dict[str, str]:
    """Names of sizes of layers that a model does not have, with what they need.

    Args:
        architecture: `vanilla` or `perceiver`.
        attention: its kind.
    """
    found = {}
    if architecture != "perceiver":
        found |= dict.fromkeys(("num_latents", "latent_layout"), "--architecture perceiver")
    if attention != "linformer":
        found["num_landmarks"] = "--attention linformer"
    if attention != "bigbird":
        found |= dict.fromkeys(
            ("num_window_blocks", "num_global_blocks", "num_random_blocks"), "--attention bigbird"
        )
    if attention not in ("linformer", "bigbird"):
        found["attention_block_size"] = "--attention linformer or bigbird"
    return found


def check_effect_of_model(args: ModelArguments) -> None:
    """Refuse sizes of layers that the model does not have.

    Raises:
        ValueError: with one line a flag.
    """
    unused = sizes_without_effect(args.architecture, args.attention)
    refuse([f"--{name} has no effect: it needs {unused[name]}" for name in unused if name in typed(args)])


def check_effect_of_corpus(args: CorpusArguments, people: PopulationArguments, asks_about_people: bool) -> None:
    """Refuse a file that is not read and forms that a corpus has not; tell of people whom nobody asks about.

    The latter are only told of, because recipes and scripts carry them from one corpus to another.

    Args:
        args: the documents.
        people: the synthetic people.
        asks_about_people: whether questions are asked about them.

    Raises:
        ValueError: with one line a flag.
    """
    if args.corpus != "biographies":
        unused = typed(args) & {"num_versions", "biography_unit"}
        _tell(unused | (set() if asks_about_people else typed(people)), f"the corpus is {args.corpus}")
    lines = []
    if args.corpus in WITHOUT_FILE and args.corpus_path is not None:
        lines.append(
            f"--corpus_path {args.corpus_path} is not read: --corpus {args.corpus} makes its documents; say what "
            "the file is, such as --corpus text"
        )
    lines += [
        f"--{name} has no effect: the corpus is {args.corpus}; it is for --corpus {' or '.join(corpora)}"
        for name, corpora in FORMS.items()
        if name in typed(args) and args.corpus not in corpora
    ]
    refuse(lines)


def check_effect_of_questions(args: QuestionArguments, people: PopulationArguments | None) -> None:
    """Refuse a file of questions that is not read; tell of flags of synthetic people about whom nobody is asked.

    Args:
        args: the questions.
        people: the synthetic people; None where they have another use.

    Raises:
        ValueError: with one line a flag.
    """
    check_fold(args.validation_share, args.validation_fold)
    if args.questions != "biographies":
        _tell(set() if people is None else typed(people), f"the questions are {args.questions}")
        return
    lines = unread_files(args.questions, train_questions=args.train_questions)
    if args.exclude_people_of:
        lines.append("--exclude_people_of has no effect: the questions are biographies, which have no files")
    refuse(lines)


def check_fold(share: float, fold: int) -> None:
    """Refuse a fold that is none of those that a share makes.

    Raises:
        ValueError: saying which there are.
    """
    if fold == 1:
        return
    if share == 0:
        raise ValueError(f"--validation_fold {fold} has no effect: there is no --validation_share")
    number = round(1 / share)
    if abs(number * share - 1) > 1e-6:
        raise ValueError(f"--validation_fold: shares of {share:g} do not make a whole; take 0.5, 0.25, 0.2 or 0.1")
    if not 1 <= fold <= number:
        raise ValueError(f"--validation_fold is from 1 to {number} for a share of {share:g}, not {fold}")


def _tell(names: set[str], why: str) -> None:
    for name in sorted(names):
        logger.warning("--%s has no effect: %s", name, why)


def unread_files(questions: str, **files: str | None) -> list[str]:
    """One line for each file of questions that is named and not read, because they are about synthetic people."""
    return [
        f"--{flag} {file} is not read: --questions is {questions}; say what the file is, such as --questions file"
        for flag, file in files.items()
        if file is not None and questions == "biographies"
    ]


def people_without_effect(people: PopulationArguments, why: str) -> list[str]:
    """One line for each flag of the synthetic people that was given."""
    return [f"--{name} has no effect: {why}" for name in sorted(given(people))]


def _words(value: str | Iterable[str] | None) -> set[str]:
    return {value} if isinstance(value, str) else set(value or ())


def refuse(lines: list[str]) -> None:
    """Raise lines of problems, if there are any.

    Raises:
        ValueError: for one; `Problems` for several.
    """
    if len(lines) == 1:
        raise ValueError(lines[0])
    if lines:
        raise Problems(lines)
