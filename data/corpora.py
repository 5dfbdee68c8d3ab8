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

DOCUMENT_FEATURES = Features({"title": Value("string"), "text": Value("string")})

# Abbreviations that stand before more of the same name. Those that close a name (Jr., Sr., Esq.) are left
# out on purpose: after them the sentence begins.
_LEADING_ABBREVIATION = re.compile(r"Capt|Chas|Col|Dr|Fr|Gen|Geo|Lt|Maj|Mr|Mrs|Ms|Prof|Rev|Sgt|St|Ste|Thos|Wm")


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
            "save the file as UTF-8"
        ) from error
    text = _unify_line_ends(text.removeprefix("\ufeff"))
    if not text.strip():
        raise ValueError(f"{path} is empty: there is nothing to load from it")
    return text


def _unify_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def numbered_lines(path: str | Path) -> list[tuple[int, str]]:
    """The lines of a UTF-8 text file that are not blank, each with its number in the file, counted from 1.

    Only line feeds and carriage returns end a line. `str.splitlines` would also break at U+0085 or U+2028,
    which are ordinary characters of a text. Raises what `read_file` raises.
    """
    lines = read_file(path).split("\n")
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip(" ")]


def name_of_line(line: str) -> str:
    """The name at the head of a `Name. sentence` line, or an empty string where the line has no such head.

    The name ends at the first full stop with a space after it, unless that full stop belongs to an initial
    ("Thomas J. Walker", "J.C. Patterson", "J.-P. Serre") or to an abbreviation with more of the name behind
    it ("St. John"). A full stop of the name's own at its end stays: "Horatio Bisbee, Jr.. Born" gives
    "Horatio Bisbee, Jr.". Two more cases: an initial does end the name when the sentence opens by repeating
    it ("Malcolm X. Malcolm X was"), or when no other end comes before the sentence's own.
    """
    doubtful = []
    for stop in re.finditer(r"\. ", line):
        name, sentence = line[: stop.start()], line[stop.end() :]
        if name.endswith(" "):  # " . " closes a sentence in this format: the name ended somewhere before
            break
        last = re.split(r"[ .\-]", name)[-1]
        is_initial = len(last) == 1 and last.isupper()
        if not is_initial and not _LEADING_ABBREVIATION.fullmatch(last):
            return name
        if " " in name and re.match(re.escape(name) + r"\b(?!\.)", sentence):
            return name
        doubtful.append(name)
    return next((name for name in doubtful if " " in name), doubtful[0] if doubtful else "")


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


CORPORA = {"wiki": load_wiki, "text": load_text, "hub": load_hub_corpus}
