"""The manifest of a folder: which files a run wrote there, how large they are, and what they hold.

`manifest.json` of a model folder names the files that decide an answer: weights, vocabulary, and the values of
the configuration. That of a checkpoint names all of its files. Whoever reads either can tell a file that was cut
short, whose bits have turned, or that somebody has changed, from the one that the run wrote.

Of a configuration its values count and not its bytes, because other tools add fields of their own to it.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from closedbook.evaluation.files import read_json_object, write_json_atomic

MANIFEST_FILE = "manifest.json"
CONFIG_FILE = "config.json"
FORMAT = 1
# Fields of a configuration that decide nothing of what a model answers; libraries rewrite them as they like.
_INDIFFERENT = {"_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version"}
_INDIFFERENT |= {"use_cache"}


def write_manifest(folder: str | Path, names: Iterable[str]) -> None:
    """Write the manifest of a folder.

    Args:
        folder: what it describes.
        names: of the files that it is about, relative to the folder.
    """
    folder = Path(folder)
    files = {name: _described(folder / name) for name in sorted(names)}
    write_json_atomic(folder / MANIFEST_FILE, {"format": FORMAT, "files": files})


def manifest_files(folder: str | Path) -> dict[str, dict[str, Any]]:
    """Name of a file -> `size` in bytes and `sha256`, or `values` of a configuration; empty without a manifest.

    Raises:
        ValueError: if the manifest is damaged, or of a later format.
    """
    path = Path(folder) / MANIFEST_FILE
    if not path.is_file():
        return {}
    content = read_json_object(path)
    if content.get("format") != FORMAT or not isinstance(content.get("files"), dict):
        raise ValueError(
            f"{path} is of format {content.get('format')!r}, and this version reads {FORMAT}: update closedbook"
        )
    return content["files"]


def first_difference(folder: str | Path) -> str | None:
    """What of a folder is not as its manifest says, in words; None if all is, or there is no manifest.

    Raises:
        ValueError: if the manifest itself is damaged.
    """
    folder = Path(folder)
    for name, known in manifest_files(folder).items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if "values" in known:
            changed = _changed_value(known["values"], path)
            if changed:
                return changed
        elif path.stat().st_size != known["size"]:
            return f"{name} has {path.stat().st_size} bytes instead of {known['size']}"
        elif _digest(path) != known["sha256"]:
            return f"{name} holds something else than what was written (its checksum differs)"
    return None


def _described(path: Path) -> dict[str, Any]:
    if path.name == CONFIG_FILE:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {"values": {name: value for name, value in values.items() if name not in _INDIFFERENT}}
    return {"size": path.stat().st_size, "sha256": _digest(path)}


def _changed_value(known: dict[str, Any], path: Path) -> str | None:
    now = read_json_object(path)
    for name, value in known.items():
        # a tool that drops what is empty has changed nothing
        if now.get(name) != value:
            return f"{path.name}: {name} is {now.get(name)!r}, but was {value!r} when the run wrote it"
    return None


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
