"""Whether outputs can be written, where they belong, and over nothing that is read."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

_NAME = re.compile(r"\w[\w.+-]*")
# What commands write by names that others give to files of theirs, too, and what the first object in them has.
_OURS = {
    "predictions.jsonl": {"question", "prediction"},
    "results.json": {"protocol", "accuracy"},
    "knowing.json": {"abstention", "split"},
    "ledger.jsonl": {"fact", "verdict"},
    "ledger.json": {"verdicts", "facts"},
}


def check_name(flag: str, name: str) -> None:
    """Refuse a name that would not make one part of a path: it would leave the folder that it belongs to.

    Raises:
        ValueError: naming the flag, and which characters a name may have.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"--{flag} {name!r} becomes part of a file name; use letters, digits, _, +, . and - only")


def check_writable(folder: str | Path) -> None:
    """Refuse a folder that cannot be written to, before anything slow; nothing is made.

    Raises:
        ValueError: naming the folder, or the one above it that is there.
    """
    there = Path(folder).absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"cannot write to {folder}: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"cannot write to {folder}: no permission in {there}")


def named_again(names: Iterable[str | Path]) -> str | Path | None:
    """The first of some folders or names that stands there twice, by whatever path; None if none does."""
    seen: set[Path] = set()
    for name in names:
        path = Path(name).resolve()
        if path in seen:
            return name
        seen.add(path)
    return None


def check_outputs(
    files: Iterable[str | Path | None], inputs: Iterable[tuple[str, str | Path | None]] = ()
) -> None:
    """Refuse files that cannot be written, that are read or not ours, or of which one would go over another.

    A file that is there already is replaced if this package wrote it. That counts for names that a command chose;
    one that was typed may hold anything.

    Args:
        files: to be written; None for one that is not asked for.
        inputs: flag and what it names, to be read.

    Raises:
        ValueError: naming the file.
    """
    read = {
        Path(source).resolve(): flag for flag, source in inputs if source is not None and Path(source).exists()
    }
    written: set[Path] = set()
    for file in files:
        if file is None or file == "":
            continue
        path = Path(file)
        if path.resolve() in written:
            raise ValueError(f"{path} would be written twice, the one over the other: name another file")
        written.add(path.resolve())
        check_writable(path.parent)
        if path.is_dir():
            raise ValueError(f"cannot write {path}: it is a folder")
        if path.resolve() in read:
            raise ValueError(
                f"{path} would be written over what --{read[path.resolve()]} reads: use another folder"
            )
        if path.name in _OURS and not _is_ours(path):
            raise ValueError(
                f"{path} was not written by this command, and would be lost: use another --output_dir"
            )


def check_prefix(flag: str, prefix: str | None, endings: Iterable[str]) -> None:
    """Refuse a name without an ending that its files cannot be written by; None names none.

    Raises:
        ValueError: naming the flag, for the name of a folder; and as `check_outputs` does.
    """
    if prefix is None:
        return
    if Path(prefix).is_dir() or prefix.endswith(("/", os.sep)) or not Path(prefix).name:
        example = (Path(prefix) / "results").as_posix()
        raise ValueError(
            f"--{flag} {prefix} is a folder: name the files in it without an ending, such as {example}"
        )
    check_outputs([f"{prefix}{ending}" for ending in endings])


def _is_ours(path: Path) -> bool:
    """Whether a file is missing, empty, or begins as those of its name do that are written here."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.readline() if path.suffix == ".jsonl" else file.read()
    try:
        return _OURS[path.name] <= json.loads(text).keys()
    except (ValueError, AttributeError):
        return False


def check_output_outside(folder: str | Path, flag: str, source: str | Path | None) -> None:
    """Refuse to write into a folder of documents: the next run would read what this one has written there.

    Args:
        folder: to be written to.
        flag: that names the documents.
        source: file, folder or name of the Hub.

    Raises:
        ValueError: naming the flag and both folders.
    """
    if source is None or not Path(source).is_dir():
        return
    if Path(folder).resolve().is_relative_to(Path(source).resolve()):
        raise ValueError(
            f"the output_dir {folder} lies in --{flag} {source}, whose files are read: write to another folder"
        )


def check_inputs_outside(folder: str | Path, inputs: Iterable[tuple[str, str | Path | None]]) -> None:
    """Refuse to read from the folder that is written to: what is replaced there may be what is read.

    Args:
        folder: to be written to.
        inputs: flag and what it names, to be read; names of the Hub are no files and pass.

    Raises:
        ValueError: naming the flag and the file.
    """
    for flag, source in inputs:
        if source is None or not Path(source).exists():
            continue
        if Path(source).resolve().is_relative_to(Path(folder).resolve()):
            raise ValueError(
                f"--{flag} {source} lies in the output_dir {folder}: use another folder for the output"
            )
