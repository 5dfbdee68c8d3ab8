"""A user's own documents: a file or a folder of text, Markdown and tables, with titles and with their places."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from datasets import Dataset, Features, Value

from closedbook.data.documents.reading import Reader, pieces_of
from closedbook.data.documents.titles import title_at_head
from closedbook.data.documents.walk import MARKDOWN, TABLES, check_is_text, find_files, readable, shortened
from closedbook.data.tables.blocks import Span, check_unchanged, is_compressed, kind_of
from closedbook.data.tables.kept import Batch, keep_table
from closedbook.data.tables.records import IN_MEMORY_BYTES

logger = logging.getLogger(__name__)

SOURCED_FEATURES = Features({"title": Value("string"), "text": Value("string"), "source": Value("string")})
UNITS = ("auto", "line", "file", "heading")


def load_documents(
    path: str | Path,
    *,
    document_unit: str = "auto",
    title_column: str | None = None,
    text_column: str | None = None,
    skip_damaged: bool = False,
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

    Each may be compressed (`.gz`, `.bz2`, `.xz`, and `.zst` where its package is installed), all but parquet.

    Files of more than `IN_MEMORY_BYTES` are made a table in the cache of `datasets` once
    (`data/tables/kept.py`), in parts of 64 MiB and by as many processes as there are processors; the next
    start finds it by the files' checksums, and the rows are read where they lie. Of less, the data set is
    held in memory, and documents that stand there twice are told of.

    Args:
        path: a file or a folder. Links in a folder are not followed; hidden files, and those of other endings,
            are left out. All that is left out is said.
        document_unit: what a document is in text and Markdown: a `line` (of Markdown: a paragraph, an item, a row
            of a table), a `file`, a `heading` (of Markdown alone; a text file in a folder stays one document), or
            `auto`, as in the table above.
        title_column, text_column: of tables, see `read_table`.
        skip_damaged: leave out lines and rows that cannot be read (bytes that are no UTF-8, broken JSON, a
            group of rows of a parquet file, the rest of an archive that breaks off), and say how many and
            where.

    Raises:
        FileNotFoundError: where there is no such path.
        ValueError: naming the file, its line and what to do; for an option without effect. Of several damaged
            files in a folder the first is named, and the others counted.
    """
    check_unit(document_unit)
    path = Path(path)
    reader, files = reader_of(path, document_unit, title_column, text_column, skip_damaged)
    sizes = [expected_bytes(file) for file in files]
    if sum(sizes) > IN_MEMORY_BYTES:
        return _kept(path, reader, files, sizes)
    batches: list[Batch] = []
    empty: list[str] = []
    damaged: list[Exception] = []
    for file in files:
        try:
            before = file.stat()
            if path.is_dir() and not before.st_size:
                empty.append(readable(file.relative_to(reader.folder)))
                continue
            found = [batch for batch in reader.read(Span(file)) if batch.texts or batch.damaged]
            check_unchanged(file, before, file.stat())
        except (ValueError, OSError) as error:
            if path.is_dir() and str(error) == f"{file} is empty: there is nothing to load from it":
                empty.append(readable(file.relative_to(reader.folder)))
            else:
                damaged.append(error)
            continue
        if not found:
            empty.append(readable(file.relative_to(reader.folder)))
        batches += found
    if damaged:
        if len(damaged) == 1:
            raise damaged[0]
        raise ValueError(f"{damaged[0]} ({len(damaged) - 1} more files of {path} cannot be read either)")
    left_out = [place for batch in batches for place in batch.damaged]
    tell_damaged(path, len(left_out), left_out)
    rows = {
        name: [value for batch in batches for value in getattr(batch, f"{name}s")] for name in SOURCED_FEATURES
    }
    if not rows["text"]:
        if not path.is_dir() and not left_out:
            raise ValueError(f"{path} is empty: there is nothing to load from it")
        if left_out:
            raise ValueError(f"{path}: nothing is left of it without its {len(left_out)} damaged places")
        raise ValueError(f"{path}: all of its {len(files)} documents are empty: {shortened(empty)}")
    if empty:
        logger.warning("%s: %d files without a text are left out: %s", path, len(empty), shortened(empty))
    _tell_duplicates(path, list(zip(rows["title"], rows["text"], rows["source"], strict=True)))
    return Dataset.from_dict(rows, features=SOURCED_FEATURES)


def reader_of(
    path: Path, unit: str, title_column: str | None, text_column: str | None, skip_damaged: bool
) -> tuple[Reader, list[Path]]:
    """How a file or a folder is read, and its files.

    Raises:
        FileNotFoundError: where there is no such path.
        ValueError: for an option without effect.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path (now in {Path.cwd()})")
    folder, files = (path, find_files(path).files) if path.is_dir() else (path.parent, [Path(path.name)])
    _check_effect(path, files, unit, title_column, text_column)
    if not path.is_dir():
        check_is_text(path)
    reader = Reader(folder, not path.is_dir(), unit, title_column, text_column, skip_damaged)
    return reader, [folder / file for file in files]


def expected_bytes(file: Path) -> int:
    """Bytes of text in a file, as well as its size tells: compressed text is about four times as long."""
    return file.stat().st_size * (4 if is_compressed(file) or file.suffix.lower() == ".parquet" else 1)


def tell_damaged(path: Path, number: int, examples: Sequence[str]) -> None:
    """Say how much was left out because it could not be read, and where first."""
    if number:
        logger.warning(
            "%s: %d damaged places are left out (--skip_damaged): %s", path, number, shortened(list(examples))
        )


def _kept(path: Path, reader: Reader, files: list[Path], sizes: list[int]) -> Dataset:
    """The documents as a table on disk; made when these files are read in this way for the first time."""
    named, spans, weights = [], [], []
    for file, size in zip(files, sizes, strict=True):
        if not file.stat().st_size:
            continue
        scan = reader.scan(file)
        named.append([readable(file.relative_to(reader.folder)), scan.sha256])
        spans += [(span, scan.state) for span in scan.spans]
        weights += [(span.stop or size) - span.start for span in scan.spans]
    recipe = {"files": named, "reader": asdict(replace(reader, folder=Path()))}
    table = keep_table(recipe, pieces_of(spans, weights), reader, SOURCED_FEATURES, sum(sizes))
    tell_damaged(path, table.about.damaged, table.about.examples)
    if not table.about.documents:
        raise ValueError(f"{path}: all of its {len(files)} documents are empty")
    return table.dataset()


def with_titles(documents: Dataset) -> Dataset:
    """The documents; those without a title get the name that they begin with, where they do (`title_at_head`)."""

    def titled(rows: dict[str, list[str]]) -> dict[str, list[str]]:
        pairs = zip(rows["title"], rows["text"], strict=True)
        return rows | {"title": [title or title_at_head(text) for title, text in pairs]}

    if documents.data.nbytes > IN_MEMORY_BYTES:
        return documents.map(titled, batched=True, features=documents.features)
    columns = titled({name: documents[name][:] for name in documents.column_names})
    return Dataset.from_dict(columns, features=documents.features)


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
    endings = {kind_of(file) for file in files}
    for name, value in (("title_column", title_column), ("text_column", text_column)):
        if value is not None and not endings & set(TABLES):
            raise ValueError(f"--{name} {value} has no effect: {path} holds no table ({', '.join(TABLES)})")
    if unit == "heading" and not endings & set(MARKDOWN):
        raise ValueError(
            f"--document_unit heading has no effect: {path} holds no Markdown ({', '.join(MARKDOWN)})"
        )
    if unit != "auto" and not endings - set(TABLES):
        raise ValueError(f"--document_unit {unit} has no effect: in {path} a document is a row of a table")


def _tell_duplicates(path: Path, rows: list[tuple[str, str, str]]) -> None:
    first: dict[tuple[str, str], str] = {}
    again = [source for title, text, source in rows if first.setdefault((title, text), source) != source]
    if again:
        logger.warning(
            "%s: %d of %d documents stand there before, and are read as often as they stand: %s",
            *(path, len(again), len(rows), shortened(again)),
        )
