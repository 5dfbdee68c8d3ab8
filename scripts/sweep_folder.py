"""The folder of a sweep over arms on one model: what all arms have in common, and that it stays so."""

import hashlib
import json
from pathlib import Path

from closedbook.evaluation.results import write_json_atomic


def fingerprint(folder: str | Path) -> str | None:
    """Sixteen digits of a hash of a model folder's weights, configuration and tokenizer; None for a Hub name."""
    folder = Path(folder)
    if not folder.is_dir():
        return None
    digests = []
    for path in sorted(path for path in folder.glob("*") if path.suffix in (".safetensors", ".json", ".jinja")):
        with open(path, "rb") as file:
            digests.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]


def begin_sweep(path: Path, sweep: dict) -> None:
    """Write what the arms have in common.

    Raises:
        ValueError: if the folder has arms that have something else in common.
    """
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else sweep
    other = [name for name in sweep if known.get(name) != sweep[name]]
    if other:
        raise ValueError(
            f"{path} is of a sweep with another {', '.join(other)}, whose arms do not compare with these; use "
            "another --output_dir, or move it away"
        )
    write_json_atomic(path, sweep)
