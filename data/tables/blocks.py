"""Text files read block by block, so that a file may be larger than memory, compressed or not.

A block is a number of whole lines. Every complaint names file and line.
"""

import hashlib
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import fsspec
import numpy as np

BLOCK_BYTES = 8 << 20  # read at once: large enough for Python's costs a block to vanish, small beside a model
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_MARK = b"\xef\xbb\xbf"  # byte order mark
_ENDS = re.compile(rb"\r\n|\r|\n")


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
    with open_bytes(span.path) as file:
        if span.start:
            file.seek(span.start)
        yield from blocks_of(file, span, skip_damaged=skip_damaged, block_bytes=block_bytes)


def blocks_of(
    file: IO[bytes], span: Span, *, skip_damaged: bool = False, block_bytes: int | None = None
) -> Iterator[Block]:
    """As `read_blocks`, of a file that is open where the span begins: a pipe can be opened once only."""
    line, place, parts = span.first_line, span.start, [b""]
    left = None if span.stop is None else span.stop - span.start
    block_bytes = block_bytes or BLOCK_BYTES
    is_last = False
    while not is_last:
        wanted = block_bytes if left is None else min(block_bytes, left)
        data, error = _some(file, wanted, is_compressed(span.path))
        if error is not None:
            rest = b"".join([*parts, data])
            if not skip_damaged:
                last = line + count_ends(rest)
                raise ValueError(
                    f"{span.path}: the archive is damaged at line {last} of what it holds ({error}): make it "
                    "again, or read what can be read with --skip_damaged"
                ) from error
            yield _block(span.path, rest, place, line, skip_damaged=True, is_broken=True)
            return
        left = None if left is None else left - len(data)
        # an archive may give less than it was asked for, and break off after that
        is_last = not data or (len(data) < wanted and not is_compressed(span.path))
        cut = len(data) if is_last else _last_end(data)
        parts.append(data[:cut] if cut else data)
        if not (cut or is_last):  # a line longer than a block
            continue
        whole, parts = b"".join(parts), [data[cut:]]
        if whole:
            block = _block(span.path, whole, place, line, skip_damaged)
            yield block
            line, place = line + len(block), place + len(whole)


def _some(file: IO[bytes], wanted: int, is_archive: bool) -> tuple[bytes, Exception | None]:
    """At most so many bytes; of an archive that breaks off, those before that, and the error."""
    if not is_archive:
        return file.read(wanted), None
    read = getattr(file, "read1", file.read)  # `read` loses what it had when the error comes
    data = bytearray()
    try:
        while len(data) < wanted and (more := read(wanted - len(data))):
            data += more
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        return bytes(data), error
    return bytes(data), None


def _last_end(data: bytes) -> int:
    """Behind the last end of a line; a carriage return at the very end may be half of one."""
    cut = data.rfind(b"\n") + 1
    return cut or data.rfind(b"\r", 0, len(data) - 1) + 1


def _block(path: Path, data: bytes, place: int, line: int, skip_damaged: bool, is_broken: bool = False) -> Block:
    """The block that some bytes hold, which begin at `place` of the file and line `line`.

    The last line of a broken archive is not whole.
    """
    after, damaged = place + len(data), []
    try:
        lines = decoded(path, data, place, line).split("\n")
    except ValueError:
        if not skip_damaged:
            raise
        lines = []
        for number, raw in enumerate(_ENDS.split(_without_mark(data, place))):
            text = raw.decode("utf-8", "ignore")
            if text.encode() != raw or "\0" in text:
                damaged.append(number)
            lines.append("" if damaged[-1:] == [number] else text)
    if is_broken:
        damaged.append(len(lines) - 1)
        lines[-1] = ""
    elif data.endswith((b"\n", b"\r")) or lines == [""]:
        lines.pop()  # behind the last end of a line stands none
    return Block(lines, line, tuple(line + number for number in damaged), after)


def decoded(path: Path, data: bytes, place: int = 0, line: int = 1) -> str:
    """The text of bytes that begin at a place and a line of a file: without a byte order mark, ends of lines
    as `\\n`.

    Raises:
        ValueError: naming file and line, for a byte that is no UTF-8, or for a NUL, which is a character to
            UTF-8 and a sign of a binary or damaged file to everybody else.
    """
    found = _without_mark(data, place)
    place += len(data) - len(found)
    try:
        text = found.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        wrong = found[error.start]
        raise ValueError(
            f"{path}:{line + count_ends(found[: error.start])}: byte {place + error.start} of the file "
            f"(0x{wrong:02x}) is not UTF-8: save the file as UTF-8{_how(path, found)}"
        ) from error
    if "\0" in text:
        line += text[: text.index("\0")].count("\n")
        raise ValueError(
            f"{path}:{line}: holds a NUL (U+0000), which no text has: is the file whole, and is it text?"
        )
    return text


def _without_mark(data: bytes, place: int) -> bytes:
    return data if place else data.removeprefix(_MARK)


def _how(path: Path, data: bytes) -> str:
    """How to, where the bytes tell what they are: UTF-16 and UTF-32 begin with a mark."""
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "; it seems to be no text at all"
    encoding = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "WINDOWS-1252"
    return f", such as by `iconv -f {encoding} -t UTF-8 {path.name}`, if that is its encoding"


@dataclass(frozen=True)
class Scan:
    """What a pass over the bytes of a file says.

    Attributes:
        sha256: of its bytes.
        state: of the file while they were read.
        spans: its parts, each of some size, the first from its begin.
    """

    sha256: str
    state: os.stat_result
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
    check_unchanged(path, before, path.stat())
    return Scan(digest.hexdigest(), before, tuple(spans))


def check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    """Refuse a file that was written to while it was read.

    Raises:
        ValueError: naming it.
    """
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ValueError(f"{path} changed while it was read: wait until nobody writes to it, and start again")


def count_ends(data: bytes, last: bytes = b"") -> int:
    """Ends of lines in some bytes, before which stands `last`; "\r\n" is one."""
    # bytes.count takes twenty times as long where there is much to count
    feeds = int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")))
    halves = last == b"\r" and data[:1] == b"\n"
    if b"\r" not in data:
        return feeds - halves
    return feeds + data.count(b"\r") - data.count(b"\r\n") - halves
