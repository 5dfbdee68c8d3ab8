"""The folder of a run: who may write there, from where to go on, and how the finished model gets in."""

import json
import logging
import os
import pickle
import re
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.stock_models import from_pretrained
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run
from closedbook.modeling.tokenization_char import CharTokenizer

logger = logging.getLogger(__name__)

REMEDY = (
    "Only models of this package are loaded here, and they need none. Read it first; if you trust it, ask the "
    "model with scripts/evaluate.py --prompt and --trust_remote_code true"
)


def check_output_folder(folder: str | Path, resume: bool, overwrite: bool) -> Path | None:
    """Check that a run may write to `folder`, and change nothing; returns the checkpoint to go on from, if any.

    Raises:
        ValueError: if the folder holds a run and neither `resume` nor `overwrite` is set, or if both are.
        FileNotFoundError: if there is nothing to resume.
    """
    folder = Path(folder)
    if resume and overwrite:
        raise ValueError("--resume keeps a run and --overwrite replaces it: choose one")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output_dir {folder} is a file")
    occupied = folder.is_dir() and any(folder.iterdir())
    if resume:
        checkpoint = last_good_checkpoint(folder)
        if checkpoint is None:
            raise FileNotFoundError(f"--resume: no complete checkpoint in {folder}")
        return checkpoint
    if occupied:
        if not overwrite:
            raise ValueError(
                f"output_dir {folder} already holds files. Use another folder, --resume to go on with the run "
                "there, or --overwrite to replace it"
            )
        if not (folder / RUN_FILE).exists():
            raise ValueError(f"--overwrite: {folder} was not written by a run of this package; clear it yourself")
    return None


def claim_output_folder(folder: str | Path, resume: bool, overwrite: bool) -> Path | None:
    """Check as `check_output_folder` does, then clear a folder that is to be overwritten.

    To be called when nothing but the writing is left to do: a mistyped flag must not cost the old run.
    """
    checkpoint = check_output_folder(folder, resume, overwrite)
    if overwrite and Path(folder).exists():
        shutil.rmtree(folder)
    return checkpoint


def last_good_checkpoint(folder: str | Path) -> Path | None:
    """The newest checkpoint that is complete; broken ones (a kill or a full disk) are named and passed over."""
    checkpoints = [path for path in Path(folder).glob("checkpoint-*") if path.name.split("-")[-1].isdigit()]
    for path in sorted(checkpoints, key=lambda path: int(path.name.split("-")[-1]), reverse=True):
        problem = checkpoint_problem(path)
        if problem is None:
            return path
        logger.warning("passing over %s: %s", path, problem)
    return None


def checkpoint_problem(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None. The state file is the last that the library writes."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        if any(checkpoint.glob("pytorch_model_fsdp*")):
            return None  # sharded: torch.distributed.checkpoint checks its own files when it reads them
        with safe_open(checkpoint / "model.safetensors", framework="pt") as weights:
            weights.keys()
        torch.load(checkpoint / "optimizer.pt", weights_only=True, map_location="meta")
        torch.load(checkpoint / "scheduler.pt", weights_only=True)
    except (OSError, EOFError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def save_model_folder(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path, state_dict: dict | None = None
) -> None:
    """Save model, code and tokenizer; each file appears in one step, the weights last.

    Written to a folder beside the final one first, so that a kill or a full disk leaves what was there.

    Args:
        state_dict: the whole weights where the model itself holds only a shard of them (FSDP).
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    try:
        model.save_pretrained(unfinished, state_dict=state_dict)
        tokenizer.save_pretrained(unfinished)
        for path in sorted(unfinished.iterdir(), key=lambda path: path.suffix == ".safetensors"):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_model_folder(folder: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a checkpoint of this package with its tokenizer: `(model, tokenizer)`.

    Raises:
        FileNotFoundError: if the folder holds no model.
        ValueError: if its weights are damaged, or belong to another architecture, size or vocabulary, or if it
            needs code of its own.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{folder} holds no model (no config.json)")
    try:
        model, info = from_pretrained(
            AutoModelForCausalLM,
            folder,
            remedy=REMEDY,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # what does not fit is complained about below, all of it at once
    except SafetensorError as error:
        raise ValueError(
            f"the weights in {folder} are damaged ({error}). Copy the folder again, or load its last good "
            "checkpoint-* folder"
        ) from error
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    problems = {kind: sorted(map(str, info[kind])) for kind in kinds if info[kind]}
    if problems:
        raise ValueError(
            f"the weights in {folder} are not those of its config.json ({model.config.model_type}): {problems}"
        )
    tokenizer = CharTokenizer.from_pretrained(folder)
    if len(tokenizer) != model.config.vocab_size:
        raise ValueError(
            f"{folder}: the tokenizer has {len(tokenizer)} characters, the model {model.config.vocab_size}"
        )
    return model, tokenizer


def read_base_run(folder: str | Path) -> Run:
    """The record of a model to start from; for a checkpoint that of its run, as far as it had come by then."""
    folder = Path(folder)
    run = read_run(folder)
    step = re.fullmatch(r"checkpoint-(\d+)", folder.resolve().name)
    if run or not step:
        return run
    run = read_run(folder.resolve().parent)
    if run.last.steps:
        share = int(step[1]) / run.last.steps
        names = ("steps", "train_characters", "train_seconds")
        run = run.with_last(**{name: round(getattr(run.last, name) * share) for name in names})
    return run
