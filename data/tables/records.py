"""Records of a table that lies on disk, read one at a time where they lie.

A row of a `datasets.Dataset` takes some 50 microseconds to be read, most of them for its formatting; the
columns of its Arrow table give the same row in about 3, and hold nothing in memory but what the system
chooses to keep.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset

from closedbook.data.tables.kept import batches_of

IN_MEMORY_BYTES = 64 << 20  # of text; a list of dicts of it takes about five times as much, and is read faster


class Records(Sequence[dict[str, Any]]):
    """The rows of a data set as dicts, in constant memory; data workers get the path of the table, not its rows.

    Args:
        dataset: columns of strings.
        title_of: from a text to the title of a row that has none, such as `title_at_head`.
    """

    def __init__(self, dataset: Dataset, title_of: Callable[[str], str] | None = None) -> None:
        self.dataset = dataset
        self.title_of = title_of
        self._columns: dict[str, pa.ChunkedArray] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        if not self._columns:
            self._columns = self._open()
        place = int(index) % len(self)
        return self._finished({name: column[place].as_py() for name, column in self._columns.items()})

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in batches_of(self.dataset):
            for row in batch.to_pylist():
                yield self._finished(row)

    def _finished(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.title_of is not None and not row["title"]:
            row["title"] = self.title_of(row["text"])
        return row

    def _open(self) -> dict[str, pa.ChunkedArray]:
        dataset = self.dataset if self.dataset._indices is None else self.dataset.flatten_indices()
        self.dataset = dataset
        return {name: dataset.data.column(name) for name in dataset.column_names}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_columns": {}}


def records_of(documents: Any, title_of: Callable[[str], str] | None = None) -> Sequence[dict[str, Any]]:
    """Documents as what a mixture reads: a list where it is small, and `Records` of a large table.

    Args:
        documents: a `Dataset`, or a sequence that makes its records when it is asked for them.
        title_of: see `Records`; for a data set.
    """
    if not isinstance(documents, Dataset):
        return documents
    records = Records(documents, title_of)
    return records if documents.data.nbytes > IN_MEMORY_BYTES else list(records)
