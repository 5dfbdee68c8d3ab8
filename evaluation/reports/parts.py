"""What a page is put together from: texts, tables, pictures, and notes of what is missing.

A part is a dict that `page.html` turns into HTML, escaping all of its text.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedbook.evaluation.figures import data_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Part = dict[str, Any]


def section(name: str, title: str, parts: list[Part]) -> dict[str, Any]:
    """A part of the page with a heading; `name` is what a link to it says."""
    return {"id": name, "title": title, "parts": parts}


def text(words: str) -> Part:
    """A paragraph."""
    return {"kind": "text", "text": words}


def missing(words: str, *command: str | Path) -> Part:
    """A note of what is not there, with the command that makes it."""
    return {"kind": "missing", "text": words, "command": shlex.join(map(str, command))}


def not_evaluated(folder: str | Path) -> Part:
    """A note that a run has no predictions yet."""
    return missing("This run has not been evaluated yet.", "python", "scripts/evaluate.py", "--model", folder)


def figure(drawn: Figure, words: str) -> Part:
    """A picture; the words are its caption, and what a reader hears who does not see it."""
    return {"kind": "figure", "source": data_uri(drawn), "words": words}


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> Part:
    """A table whose first columns are text and whose others are numbers, set to the right."""
    return {"kind": "table", "columns": columns, "rows": rows, "numbers": range(text_columns, len(columns))}


def percent(share: float | None) -> str:
    """A share with a digit after the point; nothing for None."""
    return "" if share is None else f"{share:.1%}"


def between(interval: Sequence[float] | None) -> str:
    """An interval of shares; nothing for None."""
    return "" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"
