"""Documents as a stream: of files, in their order, and of what `datasets` streams."""

import copy
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import IterableDataset

from closedbook.data.documents.loading import reader_of
from closedbook.data.documents.titles import title_at_head
from closedbook.data.documents.walk import readable
from closedbook.data.tables.blocks import Span, is_compressed
from closedbook.data.tables.stream import Bookmark, Record, Source

logger = logging.getLogger(__name__)
_ROWS = 1024  # of a stream of `datasets` between two bookmarks


class FileSource(Source):
    """The documents of a file or a folder, one file after the other, as `load_documents` reads them.

    A bookmark in text and JSON lines is a place in the file, which is opened there. Any other file, and a
    compressed one, is read again up to there.

    Args:
        path: a file or a folder.
        titled: give documents without a title the name that they begin with.
        options: of `load_documents`.

    Raises:
        ValueError, FileNotFoundError: as `load_documents` does of a wrong path or option; of what the files hold,
            when it is read.
    """

    def __init__(self, path: str | Path, titled: bool = False, **options: Any) -> None:
        self.name = str(path)
        self.titled = titled
        unit = options.get("document_unit", "auto")
        columns = (options.get("title_column"), options.get("text_column"))
        self.reader, self.files = reader_of(Path(path), unit, *columns, options.get("skip_damaged", False))
        self.options = options

    def read(self, bookmark: Bookmark | None) -> Iterator[tuple[list[Record], Bookmark]]:
        mark = bookmark or {"file": 0, "byte": 0, "line": 1, "rows": 0}
        for number in range(mark["file"], len(self.files)):
            path = self.files[number]
            if not path.stat().st_size:
                continue
            here = mark if number == mark["file"] else {"byte": 0, "line": 1, "rows": 0}
            behind, rows = here["rows"], 0
            for batch in self.reader.read(Span(path, here["byte"], None, here["line"])):
                for place in batch.damaged:
                    logger.warning("%s is damaged, and left out (--skip_damaged)", place)
                columns = zip(batch.titles, batch.texts, batch.sources, strict=True)
                records = [self._record(*row) for row in columns][behind:]
                rows += len(batch.texts)
                behind = max(0, behind - len(batch.texts))
                if batch.behind is None or is_compressed(path):
                    yield records, {"file": number, "byte": 0, "line": 1, "rows": rows}
                else:
                    byte, line = batch.behind
                    yield records, {"file": number, "byte": byte, "line": line, "rows": 0}

    def describe(self) -> Any:
        files = [[readable(path.relative_to(self.reader.folder)), path.stat().st_size] for path in self.files]
        return {"files": files, "options": self.options, "titled": self.titled}

    def _record(self, title: str, text: str, source: str) -> Record:
        return {"title": title or (title_at_head(text) if self.titled else ""), "text": text, "source": source}


class HubSource(Source):
    """What `datasets` streams: of the Hub, or of a folder that it opens.

    Args:
        dataset: with the columns `title` and `text`.
        name: for messages.
        titled: give documents without a title the name that they begin with.
    """

    def __init__(self, dataset: IterableDataset, name: str, titled: bool = False) -> None:
        self.dataset = dataset
        self.name = name
        self.titled = titled

    def read(self, bookmark: Bookmark | None) -> Iterator[tuple[list[Record], Bookmark]]:
        dataset = copy.deepcopy(self.dataset)  # which knows nothing of how far it was read
        if bookmark is not None:
            dataset.load_state_dict(bookmark["state"])
        records: list[Record] = []
        for row in dataset:
            title, text = row["title"] or "", row["text"] or ""
            if text.strip():
                records.append({"title": title or (title_at_head(text) if self.titled else ""), "text": text})
            if len(records) == _ROWS:
                yield records, {"state": dataset.state_dict()}
                records = []
        yield records, {"state": dataset.state_dict()}

    def describe(self) -> Any:
        return {"name": self.name, "titled": self.titled}
