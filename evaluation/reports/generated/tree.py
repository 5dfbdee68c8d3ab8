"""The page of all files: half a line each, in the words that the files themselves begin with."""

import ast
import os
import re
from itertools import groupby
from pathlib import Path

ROOMS = ("closedbook", "modeling", "data", "evaluation", "training", "scripts", "tests")  # as imports go
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z`])")


def tree_page(root: Path, folder: Path) -> str:
    """Markdown with every code file of a checkout: a heading a folder, a line a file.

    Args:
        root: The checkout.
        folder: Where the page is to lie; its links lead from there.

    Raises:
        ValueError: If a room is missing, or a file does not begin by saying what it is.
    """
    missing = [room for room in ROOMS if not (root / room).is_dir()]
    if missing:
        raise ValueError(f"{root.resolve()} is not a checkout: it has no {', '.join(missing)}")
    lines = [
        "# Every file",
        "",
        "<!-- Written by scripts/report.py --tree docs/tree.md, in the words that the files begin with. -->",
    ]
    for place, files in groupby(_files(root), key=lambda path: path.parent):
        lines += ["", f"## {place.relative_to(root).as_posix()}/", ""]
        for path in files:
            words = _opening_words(path)
            if path.name == "__init__.py":
                lines += [words, ""] if words else []
                continue
            if not words:
                raise ValueError(f"{path} does not say what it is: begin it with half a line")
            lines.append(f"- [`{path.name}`]({Path(os.path.relpath(path, folder)).as_posix()}): {words}")
    return "\n".join(lines) + "\n"


def _files(root: Path) -> list[Path]:
    """All code, room by room and folder by folder, each folder before those inside of it."""
    rooms = (sorted((root / room).rglob("*.py"), key=lambda path: (path.parent, path.name)) for room in ROOMS)
    return [path for room in rooms for path in room]


def _opening_words(path: Path) -> str:
    """The first sentence of a module's docstring; "" where there is none."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return _SENTENCE_END.split(paragraph)[0]
