"""Corpora: named loaders that give documents, a `datasets.Dataset` with the columns `title` and `text`.

`title` is the entity that the document is about (empty where a corpus names none) and `text` is what a model
is trained on. The loaders read files in full, so that every complaint can name its file and line; a corpus
too large for memory goes through `load_hub_corpus`, which leaves reading and streaming to `datasets`.

To add a corpus: write its loader here and give it a line in `CORPORA`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from datasets import Dataset, Features, IterableDataset, Value, load_dataset

from closedbook.data.documents.loading import load_documents
from closedbook.data.documents.titles import name_of_line
from closedbook.data.hub_rows import read_rows, with_options
from closedbook.data.real_facts import country_documents, element_documents
from closedbook.data.text_files import numbered_lines, read_file

DOCUMENT_FEATURES = Features({"title": Value("string"), "text": Value("string")})


def load_wiki(path: str | Path) -> Dataset:
    """Documents of a file in the format of CS224N's `wiki.txt`: one person a line, `Name. sentence`.

    `text` is the whole line without its line end, since that is what the reference pretraining reads; `title`
    is the name (`name_of_line`). A person may have several lines, and each is a document.

    The reference counts the line feed among the characters: 418,352 with it, and a vocabulary of 256 only if
    the tokenizer is also given "\\n", which no `text` holds.

    Raises what `read_file` raises, and `ValueError` for a line that does not begin with a name.
    """
    titles, texts = [], []
    for number, line in numbered_lines(path):
        title = name_of_line(line)
        if not title.strip():
            raise ValueError(
                f"{path}:{number}: expected `Name. sentence`, got {line[:60]!r}: put the name in front, "
                "or read free text with load_text"
            )
        titles.append(title)
        texts.append(line)
    return Dataset.from_dict({"title": titles, "text": texts}, features=DOCUMENT_FEATURES)


def load_text(
    paths: str | Path | Sequence[str | Path], *, one_document_per: Literal["line", "file"] = "line"
) -> Dataset:
    """Documents of any UTF-8 text files, in the order given.

    `one_document_per="line"` makes each line that is not blank a document with an empty title (lines name
    nobody); `"file"` makes each file one document, its title the file's name without the ending, its text
    without the line end that closes the file.

    Raises what `read_file` raises, and `ValueError` for no path at all or another `one_document_per`.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if not paths:
        raise ValueError("no text file was named: give at least one path")
    if one_document_per == "file":
        titles = [Path(path).stem for path in paths]
        texts = [read_file(path).removesuffix("\n") for path in paths]
    elif one_document_per == "line":
        texts = [line for path in paths for _, line in numbered_lines(path)]
        titles = [""] * len(texts)
    else:
        raise ValueError(f"one_document_per={one_document_per!r} is unknown: use 'line' or 'file'")
    return Dataset.from_dict({"title": titles, "text": texts}, features=DOCUMENT_FEATURES)


def load_hub_corpus(
    name: str,
    config: str | None = None,
    *,
    split: str = "train",
    data_files: str | list[str] | None = None,
    title_column: str = "title",
    text_column: str = "text",
    streaming: bool = False,
) -> Dataset | IterableDataset:
    """Documents of a data set on the Hub, or of anything else that `datasets.load_dataset` opens.

    The defaults fit Wikipedia: `load_hub_corpus("wikimedia/wikipedia", "20231101.simple")`. `name` may also
    be a local folder, or a format such as `"json"` together with `data_files`. `streaming=True` gives an
    `IterableDataset`, which fetches documents as they are read.

    Raises `ValueError` where the data set lacks one of the two columns; what `load_dataset` raises passes
    through.
    """
    dataset = load_dataset(name, config, split=split, data_files=data_files, streaming=streaming)
    # A stream of plain files knows its columns only once a row was read.
    columns = dataset.column_names or list(next(iter(dataset), {}))
    for option, column in (("title_column", title_column), ("text_column", text_column)):
        if column not in columns:
            raise ValueError(f"{name} has no column {column!r}: set {option} to one of {', '.join(columns)}")
    renamed = {title_column: "title", text_column: "text"}
    documents = dataset.select_columns([title_column, text_column])
    return documents.rename_columns({old: new for old, new in renamed.items() if old != new})


def load_wiki_bio(source: str | Path, *, split: str = "train", revision: str | None = None) -> Dataset:
    """Documents of WikiBio (Lebret et al. 2016): the first paragraphs of Wikipedia's biographies, a person each.

    `text` is `target_text`, `title` the name in the infobox (`input_text`), or else the article's. Texts are in
    lower case and cut into words, as published (brackets are written as such again), so that no capital marks an
    entity: objectives that need entities find dates' numbers only. `source` and the errors are those of
    `read_rows`. On the Hub, `michaelauli/wiki_bio` is a script, which `datasets` no longer runs: give a `.jsonl`
    or `.parquet` file with the columns `input_text` and `target_text`.

    Licence: CC BY-SA 3.0, that of Wikipedia.
    """
    titles, texts = [], []
    columns = ("input_text", "target_text")
    for number, row in enumerate(read_rows(source, columns, split=split, revision=revision), start=1):
        try:
            titles.append(_name_in_infobox(row["input_text"]))
            text = " ".join(row["target_text"].split("\n")).strip()
            texts.append(_BRACKETS.sub(lambda match: "()"[match[1] == "r"], text))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{source}: row {number} is not as WikiBio has them (input_text with table and context, "
                f"target_text): {error!r}"
            ) from error
    return Dataset.from_dict({"title": titles, "text": texts}, features=DOCUMENT_FEATURES)


_BRACKETS = re.compile(r"-(l|r)rb-")


def _name_in_infobox(infobox: dict) -> str:
    """The `name` of an infobox, or the article's title; a table is a list a column, or a list of cells."""
    table = infobox["table"]
    if isinstance(table, dict):
        cells = dict(zip(table["column_header"], table["content"], strict=True))
    else:
        cells = {cell["column_header"]: cell["content"] for cell in table}
    return (cells.get("name") or cells.get("article_title") or infobox["context"]).strip()


CORPORA = {
    "wiki": load_wiki,
    "text": load_documents,
    "hub": with_options(load_hub_corpus),
    "wiki_bio": with_options(load_wiki_bio),
    "elements": element_documents,
    "countries": country_documents,
}
