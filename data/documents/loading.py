"""A user's own documents: a file or a folder of text, Markdown and tables, with titles and with their places."""

import logging
from pathlib import Path

from datasets import Dataset, Features, Value

from closedbook.data.documents.markdown import read_markdown
from closedbook.data.documents.tables import read_table
from closedbook.data.documents.titles import title_at_head, title_of_file
from closedbook.data.documents.walk import MARKDOWN, TABLES, find_files, readable, shortened
from closedbook.data.text_files import numbered_lines, read_file

logger = logging.getLogger(__name__)

SOURCED_FEATURES = Features({"title": Value("string"), "text": Value("string"), "source": Value("string")})
UNITS = ("auto", "line", "file", "heading")

Found = tuple[int, str, str]  # line in which it begins, title, text


def load_documents(
    path: str | Path,
    *,
    document_unit: str = "auto",
    title_column: str | None = None,
    text_column: str | None = None,
) -> Dataset:
    """Documents of a file, or of all files below a folder, with the columns `title`, `text` and `source`.

    `source` is `file:line`, the file relative to the folder (of a single file its name), the line where the
    document begins; of a parquet file the number of its row.

    | files                              | a document is                         | its title                    |
    |------------------------------------|---------------------------------------|------------------------------|
    | one text file                      | a line that is not blank              | none: lines name nobody      |
    | `.txt` in a folder                 | a file                                | `title_at_head`, or its name |
    | `.md`, `.markdown`                 | a section: a heading, what stands below | "Guide: Installing"        |
    | `.jsonl` `.csv` `.tsv` `.parquet`  | a row                                 | its column, or `title_at_head` |

    A section, and a Markdown file that is one document, begins with its title on a line of its own, so that
    objectives that read the beginning of a text know whom it is about.

    Args:
        path: a file or a folder. Links in a folder are not followed; hidden files, and those of other endings,
            are left out. All that is left out is said.
        document_unit: what a document is in text and Markdown: a `line` (of Markdown: a paragraph, an item, a row
            of a table), a `file`, a `heading` (of Markdown alone; a text file in a folder stays one document), or
            `auto`, as in the table above.
        title_column, text_column: of tables, see `read_table`.

    Raises:
        FileNotFoundError: where there is no such path.
        ValueError: naming the file, its line and what to do; for an option without effect. Of several damaged
            files in a folder the first is named, and the others counted.
    """
    check_unit(document_unit)
    path = Path(path)
    folder, files = (path, find_files(path).files) if path.is_dir() else (path.parent, [Path(path.name)])
    _check_effect(path, files, document_unit, title_column, text_column)
    rows: list[tuple[str, str, str]] = []
    empty: list[str] = []
    damaged: list[Exception] = []
    for file in files:
        try:
            if path.is_dir() and not (folder / file).read_bytes().strip():
                empty.append(readable(file))
                continue
            if (kind := file.suffix.lower()) in TABLES:
                found = read_table(folder / file, title_column, text_column)
            elif kind in MARKDOWN:
                found = _read_markdown(folder, file, "heading" if document_unit == "auto" else document_unit)
            else:
                found = _read_text(folder, file, document_unit, is_alone=not path.is_dir())
        except (ValueError, OSError) as error:
            damaged.append(error)
            continue
        if not found:
            empty.append(readable(file))
        rows += [(title, text, f"{readable(file)}:{line}") for line, title, text in found]
    if damaged:
        if len(damaged) == 1:
            raise damaged[0]
        raise ValueError(f"{damaged[0]} ({len(damaged) - 1} more files of {path} cannot be read either)")
    if not rows:
        raise ValueError(f"{path}: all of its {len(files)} documents are empty: {shortened(empty)}")
    if empty:
        logger.warning("%s: %d files without a text are left out: %s", path, len(empty), shortened(empty))
    _tell_duplicates(path, rows)
    columns = zip(("title", "text", "source"), map(list, zip(*rows, strict=True)), strict=True)
    return Dataset.from_dict(dict(columns), features=SOURCED_FEATURES)


def with_titles(documents: Dataset) -> Dataset:
    """The documents; those without a title get the name that they begin with, where they do (`title_at_head`)."""
    titles = [
        title or title_at_head(text) for title, text in zip(documents["title"], documents["text"], strict=True)
    ]
    columns = {name: documents[name][:] for name in documents.column_names}
    return Dataset.from_dict(columns | {"title": titles}, features=documents.features)


def check_unit(unit: str) -> None:
    """Refuse a unit that there is not.

    Raises:
        ValueError: naming those that there are.
    """
    if unit not in UNITS:
        raise ValueError(f"--document_unit {unit} is unknown: use one of {', '.join(UNITS)}")


def _check_effect(
    path: Path, files: list[Path], unit: str, title_column: str | None, text_column: str | None
) -> None:
    """Refuse options that nothing among the files depends on.

    Raises:
        ValueError: naming the option, and what it needs.
    """
    endings = {file.suffix.lower() for file in files}
    for name, value in (("title_column", title_column), ("text_column", text_column)):
        if value is not None and not endings & set(TABLES):
            raise ValueError(f"--{name} {value} has no effect: {path} holds no table ({', '.join(TABLES)})")
    if unit == "heading" and not endings & set(MARKDOWN):
        raise ValueError(
            f"--document_unit heading has no effect: {path} holds no Markdown ({', '.join(MARKDOWN)})"
        )
    if unit != "auto" and not endings - set(TABLES):
        raise ValueError(f"--document_unit {unit} has no effect: in {path} a document is a row of a table")


def _read_text(folder: Path, file: Path, unit: str, is_alone: bool) -> list[Found]:
    """The documents of a text file; one that stands alone is read by its lines, unless `unit` says otherwise."""
    if unit == "line" or (unit == "auto" and is_alone):
        return [(number, "", line) for number, line in numbered_lines(folder / file)]
    text = read_file(folder / file)
    line = 1 + len(text) - len(text.lstrip("\n"))
    return [(line, title_at_head(text) or title_of_file(readable(file)), text.strip("\n"))]


def _read_markdown(folder: Path, file: Path, unit: str) -> list[Found]:
    title, sections = read_markdown(read_file(folder / file), title_of_file(readable(file)))
    if unit == "line":
        return [
            (line, section.title, text)
            for section in sections
            for block in section.blocks
            for line, text in block
            if text.strip()
        ]
    if unit == "heading":
        return [(part.line, part.title, f"{part.title}\n\n{part.body}") for part in sections if part.blocks]
    parts = [f"{part.heading}\n\n{part.body}".strip("\n") for part in sections]
    body = "\n\n".join(parts)
    begins = body == title or body.startswith(f"{title}\n")
    says = any(part.blocks for part in sections)
    return [(1, title, body if begins else f"{title}\n\n{body}")] if says else []


def _tell_duplicates(path: Path, rows: list[tuple[str, str, str]]) -> None:
    first: dict[tuple[str, str], str] = {}
    again = [source for title, text, source in rows if first.setdefault((title, text), source) != source]
    if again:
        logger.warning(
            "%s: %d of %d documents stand there before, and are read as often as they stand: %s",
            *(path, len(again), len(rows), shortened(again)),
        )
