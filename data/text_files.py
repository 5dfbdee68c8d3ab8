"""Text files read to the end, whole or line by line, so that every complaint can name its file and line."""

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from closedbook.data.tables.blocks import Span, blocks_of, check_unchanged, decoded

HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # of a surrogate pair: JSON can say it, and no text may hold it
_BLOCK = 1 << 20  # bytes of a file that are looked at together: more is no faster


def read_file(path: str | Path) -> str:
    """The characters of a UTF-8 text file: no byte order mark, every line end as `\\n`, nothing else changed.

    Raises `FileNotFoundError` where there is no such file and `ValueError` for a folder, a file without any
    text, a file that changes while it is read, bytes that are not UTF-8 (naming the line and the byte where they
    begin), or a NUL, which is a character to UTF-8 and a sign of a binary or damaged file to everybody else.
    """
    with _opened(path) as file:
        text = decoded(Path(path), file.read())
    if not text.strip():
        raise ValueError(f"{path} is empty: there is nothing to load from it")
    return text


@contextmanager
def _opened(path: str | Path) -> Iterator[BinaryIO]:
    """A file to be read in full inside of the block, after which it has to be what it was before.

    A pipe has no size and no time of a last change: it is read as it comes.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the path of a text file inside it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path (now in {Path.cwd()})")
    with open(path, "rb") as file:
        before = os.fstat(file.fileno())
        yield file
        after = os.fstat(file.fileno())
    if stat.S_ISREG(before.st_mode):
        check_unchanged(path, before, after)


def numbered_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines that `stream_lines` gives, all of them read before the first is looked at."""
    return list(stream_lines(path))


def stream_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 text file that are not blank, each with its number in the file, counted from 1.

    Only line feeds and carriage returns end a line. `str.splitlines` would also break at U+0085 or U+2028,
    which are ordinary characters of a text. A file of any size takes the memory of a few megabytes of it.

    Raises what `read_file` raises, when it comes to the place; that a file is empty or has changed, at its end.
    """
    for number, line in enumerate(_all_lines(path), start=1):
        if line.strip(" "):
            yield number, line


def stream_text(path: str | Path) -> Iterator[str]:
    """All lines of a UTF-8 text file, each with its line feed, for those who read quoted ones. See
    `stream_lines`."""
    return (f"{line}\n" for line in _all_lines(path))


def _all_lines(path: str | Path) -> Iterator[str]:
    has_text = False
    with _opened(path) as file:
        for block in blocks_of(file, Span(Path(path)), block_bytes=_BLOCK):
            has_text = has_text or any(line.strip() for line in block.lines)
            yield from block.lines
    if not has_text:
        raise ValueError(f"{path} is empty: there is nothing to load from it")


def parse_json(text: str, **options: Any) -> Any:
    """What `json.loads` reads, but an object that has a key twice is refused: the earlier value would be lost.

    Raises `json.JSONDecodeError` where the text is no JSON, and `ValueError` naming the repeated key, or for
    brackets in brackets so deep that they cannot be read.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, **options)
    except RecursionError:
        raise ValueError("brackets stand in brackets too deep to be read: it is damaged, repair it") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated!r} is given {keys.count(repeated)} times: keep one of them")
    return found


def misspelt_keys(given: Iterable[str], known: Iterable[str]) -> list[str]:
    """Words on keys that are not read, but look like one that is and is not given: `anwser` (for `answer`?)."""
    return list(_misspelt(frozenset(given), frozenset(known)))


@lru_cache  # the rows of a file have the same keys, nearly all of them
def _misspelt(keys: frozenset[str], known: frozenset[str]) -> tuple[str, ...]:
    missing = sorted(known - keys)
    near = {key: get_close_matches(key, missing, n=1, cutoff=0.82) for key in sorted(keys - known)}
    return tuple(f"{key} (for {found[0]}?)" for key, found in near.items() if found)
