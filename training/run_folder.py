"""The folder of a run: who may write there, from where to go on, and how the finished model gets in."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.files import share_weights
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run
from closedbook.training.checks.outputs import check_writable
from closedbook.training.keeping.checkpoints import last_good_checkpoint
from closedbook.training.keeping.finite import check_weights
from closedbook.training.keeping.lock import sole_writer
from closedbook.training.keeping.manifest import CONFIG_FILE, MANIFEST_FILE, write_manifest
from closedbook.training.keeping.written import (
    is_occupied,
    is_of_a_model,
    remove_files,
    remove_leftovers,
    written_files,
)


def check_output_folder(
    folder: str | Path, resume: bool | None, overwrite: bool, record: str = RUN_FILE
) -> Path | None:
    """Check that a run may write to `folder`, and change nothing; returns the checkpoint to go on from, if any.

    Args:
        folder: to be written to.
        resume: go on with the run there; None for a command that knows no such thing.
        overwrite: replace the run there.
        record: name of the file by which a run's folder is known.

    Raises:
        ValueError: if the folder holds a run and neither `resume` nor `overwrite` is set, or if both are.
        FileNotFoundError: if there is nothing to resume.
    """
    folder = Path(folder)
    if resume and overwrite:
        raise ValueError("--resume keeps a run and --overwrite replaces it: choose one")
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"output_dir {folder} is a file")
    check_writable(folder)
    if resume:
        checkpoint = last_good_checkpoint(folder)
        if checkpoint is None:
            raise FileNotFoundError(f"--resume: no complete checkpoint in {folder}")
        if not (folder / record).exists():  # checkpoints that were copied alone
            print(
                f"{folder} has no {record}, so that its checkpoints are of a run with these settings and this "
                "data is not checked",
                file=sys.stderr,
            )
        return checkpoint
    if is_occupied(folder):
        ours = (folder / record).exists()
        if not overwrite:
            goes_on = resume is not None and (ours or last_good_checkpoint(folder) is not None)
            ways = ["use another folder"]
            ways += ["--resume to go on with the run there"] * goes_on + ["--overwrite to replace it"] * ours
            raise ValueError(f"output_dir {folder} already holds files: {', or '.join(ways)}")
        if not ours:
            raise ValueError(f"--overwrite: {folder} was not written by this command; clear it yourself")
    return None


@contextmanager
def replacing(folder: str | Path, overwrite: bool, record: str = RUN_FILE) -> Iterator[None]:
    """Hold a folder while a model is written into it at one go, and remove what an older run had there after that.

    Args:
        folder: to be written to.
        overwrite: replace what is there.
        record: name of the file by which the folder is known.

    Raises:
        ValueError: as `check_output_folder` does, or if another run holds the folder.
    """
    with sole_writer(folder):
        check_output_folder(folder, None, overwrite, record)
        remove_leftovers(folder)
        before = {path: path.stat().st_ino for path in written_files(folder, record)}
        yield
        # what was written anew has another inode: nothing is written in place
        remove_files([path for path, inode in before.items() if path.stat().st_ino == inode], folder)


def check_outside_model(folder: str | Path, files: Iterable[str | Path | None]) -> None:
    """Refuse to write over a file of a model, or into one of its checkpoints.

    Raises:
        ValueError: naming the file.
    """
    for file in files:
        if file and is_of_a_model(folder, file):
            raise ValueError(f"{file} is a file of the model in {folder}, or in its checkpoints: write elsewhere")


def save_model_folder(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path, state_dict: dict | None = None
) -> None:
    """Save model, code and tokenizer; each file appears in one step, the weights last, and then their manifest.

    Written to a folder beside the final one first, so that a kill or a full disk leaves what was there.

    Whoever loads the folder finds it ready to be asked: the most probable answer is taken, where a pipeline would
    draw one, and prompts of a batch are padded on their left, where answers do not begin after padding. That holds
    for models that were taught no questions, too: nothing here is trained on what a tokenizer padded, and all
    that a causal language model is called for afterwards is to go on with a text.

    Args:
        model: whose weights are saved.
        tokenizer: of the model.
        folder: made where it is missing.
        state_dict: the whole weights where the model itself holds only a shard of them (FSDP). Its class is then
            one that torch made on the fly, and the folder is written as by a model of the class it was made from.

    Raises:
        NonFiniteError: if a weight is infinite or not a number.
    """
    folder = Path(folder)
    if state_dict is not None:
        model = _unsharded(model, state_dict)
    check_weights(model, f"the model is not saved to {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    try:
        if model.generation_config is not None:
            model.generation_config.do_sample = False
        tokenizer.padding_side = "left"
        model.save_pretrained(unfinished)
        (unfinished / "README.md").unlink(missing_ok=True)  # of an adapter, by its library; the card comes later
        tokenizer.save_pretrained(unfinished)
        share_weights(unfinished)
        write_manifest(unfinished, [path.name for path in unfinished.iterdir() if _decides(path)])
        (folder / MANIFEST_FILE).unlink(missing_ok=True)  # of the files that are replaced now
        last = {".safetensors": 1, MANIFEST_FILE: 2}
        for path in sorted(unfinished.iterdir(), key=lambda path: last.get(path.name, last.get(path.suffix, 0))):
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _decides(path: Path) -> bool:
    """Whether a file of a model folder decides what the model answers."""
    return path.suffix == ".safetensors" or path.name in (CONFIG_FILE, "adapter_config.json", "tokenizer.json")


def _unsharded(model: PreTrainedModel, state_dict: dict) -> PreTrainedModel:
    """A model on the CPU with whole weights, of the class that a sharded one had before it was sharded."""
    whole = AutoModelForCausalLM.from_config(model.config)
    whole.load_state_dict(state_dict)
    whole.generation_config = model.generation_config
    return whole


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
