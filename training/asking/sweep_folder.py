"""A sweep over arms on one model: what all of them owe to it, and how processes share the asking."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from tqdm.auto import tqdm

from closedbook.evaluation.answering.stock_models import resolve_dtype
from closedbook.training.finished_runs import ArmFiles
from closedbook.training.hardware import process_state

# What transformers reads of a model's folder.
_READ = ("*.safetensors", "pytorch_model*.bin", "*.json", "*.jinja", "*.txt", "*.model", "*.py")


def fingerprint(folder: str | Path, besides: Collection[str] = ()) -> str | None:
    """Sixteen digits of a hash of what a model folder is read from; None for a name on the Hub.

    Args:
        folder: of the model.
        besides: names of files that do not count.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    digests = []
    files = (path for path in folder.glob("*") if any(map(path.match, _READ)) and path.name not in besides)
    for path in sorted(files):
        with open(path, "rb") as file:
            digests.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def describe_model(model: str, dtype: str) -> dict[str, str | None]:
    """What every arm of a sweep owes to its model: its name, its fingerprint, and the precision that is used here.

    Raises:
        ValueError: for an unknown precision.
    """
    return {"model": model, "weights": fingerprint(model), "dtype": resolve_dtype(dtype)}


def _each_alone(arms: Iterable[Any]) -> list[list[Any]]:
    return [[arm] for arm in arms]


def ask_missing(
    store: ArmFiles,
    arms: Iterable[Any],
    begin: Callable[[PartialState], Callable[[Sequence[Any]], Iterable[Sequence[dict]]]],
    together: Callable[[Iterable[Any]], Sequence[Sequence[Any]]] = _each_alone,
) -> bool:
    """Ask the arms that are not finished, each in one of the processes of a launch.

    Args:
        store: where arms are kept.
        arms: all that are wanted.
        begin: called once, given which process this is, and only where there is something to ask: loads what that
            takes, and returns what asks a group of arms, the rows of each in their order.
        together: groups the missing arms into those that are asked together; by default each is asked alone.

    Returns:
        Whether this process is the one that sums up; all arms are written by then.

    Raises:
        ValueError: as `ArmFiles.missing` does, in every process.
    """
    state = process_state()
    groups = together(store.missing(arms))
    if state.is_main_process:
        store.begin()
    mine = groups[state.process_index :: state.num_processes]
    state.wait_for_everyone()  # the shares are of one list: no arm is written before all have looked
    if mine:
        ask = begin(state)
        for group in tqdm(mine, unit="prompt set", desc="sweep", disable=not state.is_main_process):
            for arm, rows in zip(group, ask(group), strict=True):
                store.write(arm, rows)
    state.wait_for_everyone()
    return state.is_main_process
