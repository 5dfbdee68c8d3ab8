"""Text files read block by block, so that a file may be larger than memory, compressed or not.

A block is a number of whole lines. Every complaint names file and line, as those of `data/text_files.py` do.
"""

import hashlib
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import fsspec
import numpy as np

from closedbook.data.text_files import describe_not_utf8, describe_nul, unify_line_ends

BLOCK_BYTES = 8 << 20  # read at once: large enough for Python's costs a block to vanish, small beside a model
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_MARK = b"\xef\xbb\xbf"  # byte order mark


@dataclass(frozen=True)
class Span:
    """A part of a file, from one line's begin to another's.

    Attributes:
        path: the file.
        start, stop: bytes; None as the stop is the end of the file. A compressed file has one span, the whole.
        first_line: number of its first line, from 1.
    """

    path: Path
    start: int = 0
    stop: int | None = None
    first_line: int = 1


@dataclass(frozen=True)
class Block:
    """Whole lines that stand one after the other.

    Attributes:
        lines: without their ends, blank ones included.
        first_line: number of the first one.
        damaged: numbers of lines that were left out of `lines`, an empty line in their place.
        next_byte: where the line after the block begins in the file, or in what a compressed file holds.
    """

    lines: list[str]
    first_line: int
    damaged: tuple[int, ...]
    next_byte: int

    def __len__(self) -> int:
        return len(self.lines)


def is_compressed(path: Path) -> bool:
    """Whether the ending says that the file is compressed."""
    return path.suffix.lower() in COMPRESSED


def kind_of(path: Path) -> str:
    """The ending that says what is in the file, in lower case: `.jsonl` of `people.jsonl.gz`."""
    return (Path(path.stem) if is_compressed(path) else path).suffix.lower()


def open_bytes(path: Path) -> IO[bytes]:
    """Open what a file holds, decompressed as its ending says.

    Raises:
        ValueError: for a kind of compression whose package is not installed.
    """
    if not is_compressed(path):
        return open(path, "rb")
    try:
        return fsspec.open(str(path), "rb", compression="infer").open()
    except (ImportError, ValueError) as error:
        raise ValueError(f"{path}: {path.suffix} cannot be read here ({error}): decompress it first") from error


def read_blocks(span: Span, *, skip_damaged: bool = False, block_bytes: int | None = None) -> Iterator[Block]:
    """The lines of a part of a UTF-8 text file, some megabytes at a time; any of the three ends ends a line.

    Args:
        span: the part.
        skip_damaged: leave out lines that are not UTF-8 or hold a NUL, and say so in the block; a compressed file
            that breaks off then ends where it does. Otherwise both are errors.
        block_bytes: read at once, `BLOCK_BYTES` where nothing is said.

    Raises:
        ValueError: naming file and line, for bytes that are no UTF-8, for a NUL, for a damaged archive.
    """
    line, place, parts = span.first_line, span.start, [b""]
    left = None if span.stop is None else span.stop - span.start
    block_bytes = block_bytes or BLOCK_BYTES
    with open_bytes(span.path) as file:
        if span.start:
            file.seek(span.start)
        while True:
            try:
                data = file.read(block_bytes if left is None else min(block_bytes, left))
            except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                if not is_compressed(span.path):
                    raise
                rest = b"".join(parts)
                if not skip_damaged:
                    last = line + count_ends(rest)
                    raise ValueError(
                        f"{span.path}: the archive is damaged at line {last} of what it holds ({error}): make it "
                        "again, or read what can be read with --skip_damaged"
                    ) from error
                yield _block(span.path, rest, place, line, skip_damaged=True, is_broken=True)
                return
            left = None if left is None else left - len(data)
            cut = _last_end(data)
            if data and cut == 0:  # a line longer than a block
                parts.append(data)
                continue
            whole = b"".join([*parts, data[:cut] if data else b""])
            if whole:
                block = _block(span.path, whole, place, line, skip_damaged)
                yield block
                line, place = line + len(block), place + len(whole)
            if not data:
                return
            parts = [data[cut:]]


def _last_end(data: bytes) -> int:
    """Behind the last end of a line; a carriage return at the very end may be half of one."""
    cut = data.rfind(b"\n") + 1
    return cut or data.rfind(b"\r", 0, len(data) - 1) + 1


def _block(path: Path, data: bytes, place: int, line: int, skip_damaged: bool, is_broken: bool = False) -> Block:
    """The block that some bytes hold, which begin at `place` of the file and line `line`.

    The last line of a broken archive is not whole.
    """
    after = place + len(data)
    if place == 0:
        data = data.removeprefix(_MARK)
    if not data and not is_broken:
        return Block([], line, (), after)
    damaged: list[int] = []
    try:
        lines = unify_line_ends(data.decode("utf-8")).split("\n")
    except UnicodeDecodeError as error:
        if not skip_damaged:
            place, before = after - len(data) + error.start, count_ends(data[: error.start])
            raise ValueError(describe_not_utf8(path, line + before, data, error.start, place)) from error
        lines = []
        for number, raw in enumerate(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")):
            try:
                lines.append(raw.decode("utf-8"))
            except UnicodeDecodeError:
                damaged.append(number)
                lines.append("")
    if is_broken:
        damaged.append(len(lines) - 1)
    elif data.endswith((b"\n", b"\r")):
        lines.pop()
    if b"\0" in data:
        with_nul = [number for number, content in enumerate(lines) if "\0" in content]
        if with_nul and not skip_damaged:
            raise ValueError(describe_nul(path, line + with_nul[0]))
        damaged += with_nul
    for number in damaged:
        lines[number] = ""
    return Block(lines, line, tuple(line + number for number in sorted(damaged)), after)


@dataclass(frozen=True)
class Scan:
    """What a pass over the bytes of a file says.

    Attributes:
        sha256: of its bytes.
        spans: its parts, each of some size, the first from its begin.
    """

    sha256: str
    spans: tuple[Span, ...]


def scan_file(path: Path, span_bytes: int | None) -> Scan:
    """The checksum of a file, and where it can be cut between two lines.

    Args:
        path: the file.
        span_bytes: least size of a part but for the last; None leaves it whole, as does compression.

    Raises:
        ValueError: where the file changes meanwhile.
    """
    before = path.stat()
    digest, spans = hashlib.sha256(), []
    start, first_line, place, line, last = 0, 1, 0, 1, b""
    with open(path, "rb") as file:
        while data := file.read(BLOCK_BYTES):
            digest.update(data)
            if span_bytes is not None and not is_compressed(path):
                cut = data.rfind(b"\n") + 1
                if cut and place + cut - start >= span_bytes:
                    line_at_cut = line + count_ends(data[:cut], last)
                    spans.append(Span(path, start, place + cut, first_line))
                    start, first_line = place + cut, line_at_cut
                line += count_ends(data, last)
                last = data[-1:]
            place += len(data)
    if start < place or not spans:
        spans.append(Span(path, start, None, first_line))
    check_unchanged(path, before.st_size, before.st_mtime_ns)
    return Scan(digest.hexdigest(), tuple(spans))


def check_unchanged(path: Path, size: int, mtime_ns: int) -> None:
    """Refuse a file that is being written while it is read.

    Raises:
        ValueError: naming it.
    """
    now = path.stat()
    if (now.st_size, now.st_mtime_ns) != (size, mtime_ns):
        raise ValueError(f"{path} changed while it was read: begin again once nobody writes to it any more")


def count_ends(data: bytes, last: bytes = b"") -> int:
    """Ends of lines in some bytes, before which stands `last`; "\r\n" is one."""
    # bytes.count takes twenty times as long where there is much to count
    feeds = int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")))
    halves = last == b"\r" and data[:1] == b"\n"
    if b"\r" not in data:
        return feeds - halves
    return feeds + data.count(b"\r") - data.count(b"\r\n") - halves
