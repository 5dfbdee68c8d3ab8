"""The folder of a sweep over arms on one model: what all arms have in common, and that it stays so."""

import hashlib
from pathlib import Path

from closedbook.evaluation.answering.stock_models import resolve_dtype
from closedbook.evaluation.files import write_json_atomic
from closedbook.training.finished_runs import read_record, refuse_another

# What transformers reads of a model's folder.
_READ = ("*.safetensors", "pytorch_model*.bin", "*.json", "*.jinja", "*.txt", "*.model", "*.py")


def fingerprint(folder: str | Path) -> str | None:
    """Sixteen digits of a hash of what a model folder is read from; None for a name on the Hub."""
    folder = Path(folder)
    if not folder.is_dir():
        return None
    digests = []
    for path in sorted(path for path in folder.glob("*") if any(map(path.match, _READ))):
        with open(path, "rb") as file:
            digests.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def describe_model(model: str, dtype: str) -> dict[str, str | None]:
    """What every arm of a sweep owes to its model: its name, its fingerprint, and the precision that is used here.

    Raises:
        ValueError: for an unknown precision.
    """
    return {"model": model, "weights": fingerprint(model), "dtype": resolve_dtype(dtype)}


def begin_sweep(path: Path, sweep: dict) -> None:
    """Write what the arms have in common; what a sweep that stopped before its first arm wrote is replaced.

    Raises:
        ValueError: if the folder has arms that have something else in common, or arms of which that is not known.
    """
    if any(path.parent.glob("arms/*.jsonl")):
        if not path.exists():
            raise ValueError(
                f"{path.parent} has arms, but no {path.name} that says of which sweep; use another --output_dir, "
                "or move the folder away"
            )
        refuse_another(path, "a sweep", read_record(path) or {}, sweep)
    write_json_atomic(path, sweep)
