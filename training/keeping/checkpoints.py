"""The checkpoints of a run: which is good, and which go when a newer one is there."""

import json
import logging
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from closedbook.evaluation.files import share_weights
from closedbook.training.keeping.finite import non_finite_tensor
from closedbook.training.keeping.manifest import MANIFEST_FILE, first_difference, write_manifest
from closedbook.training.keeping.written import checkpoint_folders, remove_checkpoint

logger = logging.getLogger(__name__)


def seal_checkpoint(checkpoint: Path) -> None:
    """Write the manifest of a checkpoint that is complete."""
    share_weights(checkpoint)
    files = [path for path in checkpoint.rglob("*") if path.is_file() and path.name != MANIFEST_FILE]
    write_manifest(checkpoint, [path.relative_to(checkpoint).as_posix() for path in files])


def rotate_checkpoints(folder: str | Path, limit: int | None, best: str | None) -> None:
    """Remove the oldest checkpoints, all but the `limit` newest; the best one stays, too.

    Only what a run wrote goes: the library would remove the folders with all that lies in them.
    """
    if limit is None or limit <= 0:
        return
    for checkpoint in checkpoint_folders(folder)[:-limit]:
        if best is None or checkpoint.resolve() != Path(best).resolve():
            remove_checkpoint(checkpoint)


def last_good_checkpoint(folder: str | Path) -> Path | None:
    """The newest checkpoint that is complete; broken ones (a kill or a full disk) are named and passed over."""
    for path in reversed(checkpoint_folders(folder)):
        problem = checkpoint_problem(path)
        if problem is None:
            return path
        logger.warning("passing over %s: %s", path, problem)
    return None


def checkpoint_problem(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None.

    Its manifest says all; without one, which is how version 0.1 and a kill leave it, the state file is the last
    that the library writes, and the other files have to be readable. Weights have to be finite.
    """
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        different = first_difference(checkpoint)
        if different is not None:
            return different
        if any(checkpoint.glob("pytorch_model_fsdp*")):
            return None  # sharded: torch.distributed.checkpoint checks its own files when it reads them
        adapter = checkpoint / "adapter_model.safetensors"
        file = adapter if adapter.is_file() else checkpoint / "model.safetensors"
        with safe_open(file, framework="pt") as weights:
            broken = non_finite_tensor((name, weights.get_tensor(name)) for name in weights.keys())  # noqa: SIM118
        torch.load(checkpoint / "optimizer.pt", weights_only=True, map_location="meta")
        torch.load(checkpoint / "scheduler.pt", weights_only=True)
    except (OSError, EOFError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        return f"{type(error).__name__}: {error}"
    return f"{broken} is infinite or not a number" if broken else None
