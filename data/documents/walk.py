"""The files of a folder that are documents, in an order that is everywhere the same, and what is left out."""

import logging
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from closedbook.data.tables.blocks import kind_of

logger = logging.getLogger(__name__)

TEXTS = (".txt",)
MARKDOWN = (".md", ".markdown")
TABLES = (".jsonl", ".csv", ".tsv", ".parquet")
# How files begin that hold a text, but are none.
_OTHERS = {
    b"%PDF-": "PDF",
    b"PK\x03\x04": "zip archive, as .docx, .odt and .epub are",
    b"{\\rtf": "RTF file",
    b"\xd0\xcf\x11\xe0": "file of an old word processor (.doc)",
}
NAMED = 3  # files that a message names before it only counts


@dataclass
class Found:
    """What a folder holds.

    Attributes:
        files: those to read, by their path below the folder.
        others: endings of files that are no documents, each with its number.
        hidden: files and folders whose name begins with a full stop; they are not looked into.
        links: symbolic links, to wherever they lead; what lies in the folder itself is found without them.
    """

    files: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


def find_files(folder: Path) -> Found:
    """All documents below a folder, ordered by their path below it, letter by letter, whatever the machine.

    Raises:
        ValueError: where there is none, naming the endings that there are.
        OSError: for a folder that may not be looked into.
    """
    found = Found()

    def refuse(error: OSError) -> None:
        raise error

    for above, folders, files in os.walk(folder, onerror=refuse):
        place = Path(above)
        for name in sorted([*folders, *files]):
            below = (place / name).relative_to(folder)
            if name.startswith("."):
                found.hidden.append(readable(below))
            elif (place / name).is_symlink():
                found.links.append(readable(below))
            elif name in files and kind_of(below) in (*TEXTS, *MARKDOWN, *TABLES):
                found.files.append(below)
            elif name in files:
                found.others[below.suffix.lower() or "no ending"] += 1
        folders[:] = [name for name in folders if not name.startswith(".")]
    found.files.sort(key=lambda path: path.parts)
    if not found.files:
        kinds = ", ".join((*TEXTS, *MARKDOWN, *TABLES))
        seen = ", ".join(left_out(found)) or "nothing"
        raise ValueError(f"{folder} holds no document ({kinds}); there is: {seen}")
    if told := left_out(found):
        logger.warning("%s: %d files are read; left out: %s", folder, len(found.files), ", ".join(told))
    return found


def check_is_text(path: Path) -> None:
    """Refuse what a word processor or a printer understands: its bytes would be read as if they were the text.

    Raises:
        ValueError: naming the file, what it is and what to do.
    """
    if not path.is_file():  # a pipe is read once
        return
    with open(path, "rb") as file:
        head = file.read(max(map(len, _OTHERS)))
    for begin, kind in _OTHERS.items():
        if head.startswith(begin):
            raise ValueError(f"{path} is a {kind}, not a text: save what it holds as .txt or .md first")


def left_out(found: Found) -> list[str]:
    """What was found and is not read, a phrase a kind."""
    told = [f"{number} {ending}" for ending, number in sorted(found.others.items())]
    told += [f"{len(found.hidden)} hidden ({shortened(found.hidden)})"] if found.hidden else []
    return told + ([f"{len(found.links)} links ({shortened(found.links)})"] if found.links else [])


def shortened(names: list[str]) -> str:
    """The first names of a list, and that there are more."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def readable(path: Path) -> str:
    """A path with forward slashes, as UTF-8: bytes of a name that are none are replaced."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
