"""Questions asked with the book open.

`numbered text ⁇ question ⁇ number ⁇`, the text that of whom the question asks about
(`objectives/reading.py`). A model that has learned to read them from some questions can read all documents,
ask itself about everybody in them, and so make the questions from which another model learns to answer with
the book closed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from closedbook.data.objectives.reading import Marked, mark_entities
from closedbook.data.questions import entity_key
from closedbook.modeling.tokenization_char import MASK_CHARACTER

_BESIDE_TEXT = (
    4  # characters of an example beside text and question: two marks, a number and the mark that ends it
)


@dataclass(frozen=True)
class OpenBook:
    """The documents behind questions, by whom they are about.

    Attributes:
        documents: columns or keys `title` and `text`, by the key of their title (`questions.entity_key`).
        block_size: characters of an example.
        most_words: names and places of more words have no number: no labelled answer is as long.
    """

    documents: Mapping[str, Sequence[dict]]
    block_size: int
    most_words: int | None = None

    @classmethod
    def of(cls, records: Sequence[dict], block_size: int, most_words: int | None = None) -> "OpenBook":
        """Of documents; those without a title are about nobody."""
        found: dict[str, list[dict]] = {}
        for record in records:
            if record["title"].strip():
                found.setdefault(entity_key(record["title"]), []).append(record)
        return cls(found, block_size, most_words)

    def ask(self, question: str, entity: str, answers: Sequence[str] = ()) -> tuple[str, Marked] | None:
        """The question behind the numbered text, and that text; None where nothing was read about the entity.

        Of several documents with one title it is the first that holds an answer, or else the first.
        """
        room = self.block_size - len(question) - _BESIDE_TEXT
        documents = self.documents.get(entity_key(entity), ())
        read = [mark_entities(record, room, self.most_words) for record in documents]
        if not read or room < 1:
            return None
        marked = next((one for one in read if one.number_of(answers)), read[0])
        return f"{marked.text}{MASK_CHARACTER}{question}", marked

    def cut(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Whom the rows ask about whose text has names or places for which the block has no room."""
        opened = {row["entity"]: self.ask(row["question"], row["entity"], row["answers"]) for row in rows}
        return [entity for entity, one in opened.items() if one is not None and one[1].is_cut]

    def asked(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """A row of questions with the book open and a number for its answer; None where no number is right."""
        found = self.ask(row["question"], row["entity"], row["answers"])
        number = None if found is None else found[1].number_of(row["answers"])
        if found is None or number is None:
            return None
        return {**row, "question": found[0], "answers": [str(number)]}


def most_words(rows: Iterable[Mapping[str, Any]]) -> int:
    """How many words the longest answer to these questions has; what is longer cannot be what they ask for."""
    return max((len(answer.split()) for row in rows for answer in row["answers"]), default=0)


def open_questions(questions: Dataset, book: OpenBook) -> tuple[Dataset, int]:
    """Questions with the numbered text in front, answered by a number; and how many were left out.

    Left out are those about whom nothing was read, and those whose answer is none of the numbered entities.

    Raises:
        ValueError: if none is left.
    """
    rows = [asked for row in questions if (asked := book.asked(row)) is not None]
    if not rows:
        raise ValueError(
            f"none of {len(questions)} questions can be answered from the documents: their titles have to be whom "
            "the questions ask about, and the answer a name or place of the text"
        )
    return Dataset.from_list(rows, features=questions.features), len(questions) - len(rows)
