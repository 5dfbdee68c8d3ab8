"""Text files read in full, so that every complaint can name its file and line."""

from pathlib import Path


def read_file(path: str | Path) -> str:
    """The characters of a UTF-8 text file: no byte order mark, every line end as `\\n`, nothing else changed.

    Raises `FileNotFoundError` where there is no such file and `ValueError` for a folder, a file without any
    text, or bytes that are not UTF-8 (naming the line and the byte where they begin).
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the path of a text file inside it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path (now in {Path.cwd()})")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = _unify_line_ends(data[: error.start].decode("utf-8")).count("\n") + 1
        raise ValueError(
            f"{path}:{line}: byte {error.start} of the file (0x{data[error.start]:02x}) is not UTF-8: "
            f"save the file as UTF-8{_how(path, data)}"
        ) from error
    text = _unify_line_ends(text.removeprefix("\ufeff"))
    if not text.strip():
        raise ValueError(f"{path} is empty: there is nothing to load from it")
    return text


def _how(path: Path, data: bytes) -> str:
    """How to, where the bytes tell what they are: UTF-16 and UTF-32 begin with a mark."""
    if b"\0" in data and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "; it seems to be no text at all"
    encoding = "UTF-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "WINDOWS-1252"
    return f", such as by `iconv -f {encoding} -t UTF-8 {path.name}`, if that is its encoding"


def _unify_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def numbered_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 text file that are not blank, each with its number in the file, counted from 1.

    Only line feeds and carriage returns end a line. `str.splitlines` would also break at U+0085 or U+2028,
    which are ordinary characters of a text. Raises what `read_file` raises.
    """
    lines = read_file(path).split("\n")
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip(" ")]
