"""Documents of any files: a folder of texts, Markdown, rows of tables; each has a title and a place."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value

from closedbook.data.corpora import load_text, name_of_line
from closedbook.data.hub_rows import read_rows
from closedbook.data.objectives.entities import find_entities
from closedbook.data.text_files import numbered_lines, read_file

logger = logging.getLogger(__name__)

SOURCED_FEATURES = Features({"title": Value("string"), "text": Value("string"), "source": Value("string")})
TEXTS = (".txt", ".md", ".markdown")
TABLES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
LONGEST_NAME = 8  # words; what stands before a full stop and is longer is a sentence
_VERBS = frozenset(("is", "was", "are", "were", "has", "had"))


def is_plain_lines(path: str | Path) -> bool:
    """Whether a path is a single file that `load_text` reads line by line, as it always has."""
    path = Path(path)
    return not path.is_dir() and path.suffix.lower() not in (*TEXTS[1:], *TABLES)


def load_any_text(path: str | Path) -> Dataset:
    """Documents of a file of lines (titles empty), or of whatever `load_documents` reads."""
    return load_text(path) if is_plain_lines(path) else load_documents(path)


def load_documents(path: str | Path) -> Dataset:
    """Documents of a folder or a file: columns `title`, `text` and `source`, "file:line" as seen from there.

    - Of a folder, every .txt and .md file is a document; its title is that of its front matter, its first heading,
      or the file's name. Tables in it (.jsonl, .json, .csv, .tsv, .parquet) are read row by row. Files are
      in the order of their names, hidden ones are left out, and links that lead out of the folder, too.
    - Of a .txt file by itself every line is a document, whose title is the name that it begins with ("Name.
      sentence"), if it does.
    - A table has a column `text`, and perhaps `title`.

    Raises:
        FileNotFoundError: if there is no such path.
        ValueError: for a folder without such files (naming the endings that there are), an empty file or row,
            bytes that are not UTF-8 (naming line and byte), or a table without `text`.
    """
    path = Path(path)
    if path.is_dir():
        rows = list(_of_folder(path))
    elif path.suffix.lower() in TABLES:
        rows = list(_of_table(path, path.name))
    elif path.suffix.lower() in TEXTS[1:]:
        rows = [_of_file(path, path.name)]
    else:
        rows = [
            {"title": title_of_line(line), "text": line, "source": f"{path.name}:{number}"}
            for number, line in numbered_lines(path)
        ]
    repeated = len(rows) - len({row["text"] for row in rows})
    if repeated:
        logger.warning("%s: %d documents are the same as an earlier one, and are kept", path, repeated)
    return Dataset.from_list(rows, features=SOURCED_FEATURES)


def _of_folder(folder: Path) -> Iterator[dict[str, str]]:
    others: Counter[str] = Counter()
    found = False
    for file in _files(folder):
        name, ending = file.relative_to(folder).as_posix(), file.suffix.lower()
        if ending in TEXTS:
            yield _of_file(file, name)
        elif ending in TABLES:
            yield from _of_table(file, name)
        else:
            others[ending or "no ending"] += 1
            continue
        found = True
    told = ", ".join(f"{count} of {ending}" for ending, count in sorted(others.items()))
    if not found:
        raise ValueError(
            f"{folder} holds no documents: no file of it ends in {', '.join((*TEXTS, *TABLES))}"
            + (f" ({told})" if told else "")
        )
    if others:
        logger.warning("%s: files that are no documents are left out: %s", folder, told)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder in the order of their paths; no hidden ones, and none that lie elsewhere."""
    paths = []
    for root, folders, names in os.walk(folder):  # does not follow links to folders, which could go in circles
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(root) / name for name in names if not name.startswith(".")]
    whole = folder.resolve()
    for path in sorted(paths, key=lambda path: path.relative_to(folder).as_posix()):
        if path.is_symlink() and not path.resolve().is_relative_to(whole):
            logger.warning("%s is left out: it is a link that leads out of %s", path, folder)
        elif path.is_file():
            yield path


def _of_file(path: Path, name: str) -> dict[str, str]:
    """One document of a text or Markdown file, from its first line of text on."""
    lines = read_file(path).removesuffix("\n").split("\n")
    title, begin = "", 0
    if path.suffix.lower() != ".txt":
        title, begin = _front_matter(lines)
        heading = next((line for line in lines[begin:] if line.startswith("#") and line.strip("# ")), "")
        title = title or heading.strip("# ").strip()
    elif lines[0].startswith("# "):
        title = lines[0].strip("# ").strip()
    while begin < len(lines) - 1 and not lines[begin].strip():
        begin += 1
    text = "\n".join(lines[begin:]).rstrip()
    if not text.strip():
        raise ValueError(f"{path} holds nothing but front matter: write text below it, or take the file away")
    return {"title": title or path.stem.replace("_", " "), "text": text, "source": f"{name}:{begin + 1}"}


def _front_matter(lines: list[str]) -> tuple[str, int]:
    """The title that YAML between two lines of `---` gives, and where the text after it begins."""
    if lines[0].strip() != "---":
        return "", 0
    for number, line in enumerate(lines[1:], start=1):
        if line.strip() in ("---", "..."):
            titles = (part for part in lines[1:number] if part.lower().startswith("title:"))
            return next(titles, "").partition(":")[2].strip().strip("\"'"), number + 1
    return "", 0


def _of_table(path: Path, name: str) -> Iterator[dict[str, str]]:
    rows: Iterable[dict[str, Any]] = _rows(path)
    for number, row in enumerate(rows, start=1):
        text, title = row.get("text"), row.get("title")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{path}: row {number} has no text: fill it in, or leave the row out")
        yield {"title": title if isinstance(title, str) else "", "text": text, "source": f"{name}:{number}"}


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    if path.suffix.lower() != ".parquet":
        return read_rows(path, ("text",))
    return read_rows(path, ("text", "title") if _has_title(path) else ("text",))


def _has_title(path: Path) -> bool:
    import pyarrow.parquet

    return "title" in pyarrow.parquet.read_schema(path).names


def title_of_line(line: str) -> str:
    """The name at the head of a line "Name. sentence"; an empty string where a sentence stands there."""
    name = name_of_line(line)
    found = find_entities(name)
    is_name = bool(found) and found[0].start == 0 and name.count(" ") < LONGEST_NAME
    return name if is_name and not _VERBS & set(name.split()) else ""
