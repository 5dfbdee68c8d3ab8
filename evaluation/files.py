"""Files that appear whole or not at all, and that are named where they are damaged.

Every file is written beside its final place first and then moved there in one step, so that a crash leaves
the old file as it was, never half of a new one. Nothing of this package is imported here, and nothing heavy.
"""

import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_REMEDY = "restore it, or move it away to have it made again"


@contextmanager
def open_atomic(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing that appears at `path` only when the block ends without an error.

    Folders on the way are made. Text is UTF-8 with plain newlines on every system.

    Args:
        path: Where the file shall be.
        mode: "w" for text, "wb" for bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same folder, because a move between file systems is not one step.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with naming(path), open(unfinished, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut may keep the new name and lose the content
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Give errors of the system the name of the file that is written: of a full disk, they have none by
    themselves."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def share_weights(folder: str | Path) -> None:
    """Let whoever may read the other files of a model folder read its weights, too, in whichever folder of it.

    safetensors creates its files for their owner alone (0.8.0: mode 0600, whatever the umask), so that nobody else
    can load a model from a shared disk. What is newly written beside them tells what is usual there.
    """
    folder = Path(folder)
    usual = next((path for path in sorted(folder.glob("*.json")) if path.is_file()), None)
    if usual is None:
        return
    for weights in folder.rglob("*.safetensors"):
        if not weights.is_symlink() and stat.S_IMODE(weights.stat().st_mode) == 0o600:
            weights.chmod(stat.S_IMODE(usual.stat().st_mode))


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8; a crash leaves the old file."""
    with open_atomic(path) as file:
        file.write(text)


def write_json_atomic(path: str | Path, obj: Any) -> None:
    """Write `obj` as indented JSON; a crash leaves the old file.

    Raises:
        ValueError: If a number is infinite or not a number, which JSON cannot hold.
    """
    write_text_atomic(path, json.dumps(obj, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_jsonl_atomic(path: str | Path, rows: Iterable[Any]) -> None:
    """Write one JSON value a line, as `rows` yields them; a crash, also of `rows`, leaves the old file.

    Raises:
        ValueError: If a number is infinite or not a number, which JSON cannot hold.
    """
    with open_atomic(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        ValueError: If it is damaged; the message names file and line, and what to do.
    """
    return _parse_object(read_bytes(path), path, 1)


def read_json_objects(path: str | Path) -> list[dict[str, Any]]:
    """Read a file that holds one JSON object a line; row i stands in line i + 1.

    Raises:
        ValueError: If it is empty or damaged; the message names file and line, and what to do.
    """
    # bytes: text would also be cut where a string holds one of Unicode's own ends of a line
    lines = read_bytes(path).splitlines()
    if not lines:
        raise ValueError(f"{path} is empty; {_REMEDY}.")
    return [_parse_object(line, path, number) for number, line in enumerate(lines, start=1)]


def read_bytes(path: str | Path) -> bytes:
    """The content of a file, without a byte order mark.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name the file inside it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path (now in {Path.cwd()})")
    return path.read_bytes().removeprefix(b"\xef\xbb\xbf")


def _parse_object(content: bytes, path: str | Path, first_line: int) -> dict[str, Any]:
    """The object that stands in a file from its line `first_line` on."""
    try:
        parsed = json.loads(content)
    except json.JSONDecodeError as error:
        where = f"{path}, line {first_line + error.lineno - 1}"
        raise ValueError(f"{where} is not JSON ({error}); {_REMEDY}.") from error
    except UnicodeDecodeError as error:
        before = content[: error.start].count(b"\n")
        where = f"{path}, line {first_line + before}"
        raise ValueError(f"{where} is not text ({error}); {_REMEDY}.") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"{path}, line {first_line} has to be a JSON object, but is {parsed!r:.60}; {_REMEDY}.")
    return parsed
