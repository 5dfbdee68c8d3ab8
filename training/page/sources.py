"""What the documents say of the subject of a question, looked up in milliseconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from closedbook.data.mentions import occurs
from closedbook.data.question_format import capitalised, entity_of_question
from closedbook.data.questions import entity_key
from closedbook.evaluation.ledger.facts import place
from closedbook.evaluation.ledger.sentences import sentences

SHOWN = 3  # sentences of a subject, where none holds the answer

STATED = "stated in what it read"
NEVER_STATED = "never stated in what it read"
NEVER_READ = "never read about"
UNKNOWN = "not looked up: no documents were given"


@dataclass(frozen=True)
class Source:
    """A sentence, and where it stands: "file:line" or "document 12"."""

    place: str
    sentence: str


@dataclass(frozen=True)
class Origin:
    """Where an answer can come from.

    Attributes:
        told: `STATED`, `NEVER_STATED`, `NEVER_READ` or `UNKNOWN`.
        subject: whom or what the question is about, as far as can be told; "" where it cannot.
        sources: the sentence that holds the answer, or else what is said of the subject first.
    """

    told: str
    subject: str
    sources: tuple[Source, ...] = ()


class Documents:
    """Documents that are looked up again and again.

    Args:
        documents: mappings with `title`, `text` and optionally `source`.
    """

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self._documents = documents
        self._keys = [entity_key(document["text"]) for document in documents]
        self._titled: dict[str, list[int]] = {}
        self._titles: dict[str, str] = {}
        for number, document in enumerate(documents):
            key = entity_key(document["title"])
            if key:
                self._titled.setdefault(key, []).append(number)
                self._titles.setdefault(key, document["title"].strip())

    def subject_of(self, question: str) -> str:
        """Whom a question is about: the longest title in it, else what its wording or its capitals tell."""
        asked = entity_key(question)
        titles = [key for key in self._titled if key in asked and occurs(key, asked)]
        if titles:
            return self._titles[max(titles, key=len)]
        named = entity_of_question(question)
        if named != question.strip():
            return named
        return max(capitalised(question), key=len, default="")

    def origin(self, question: str, answer: str) -> Origin:
        """Where the answer to a question can come from."""
        subject = self.subject_of(question)
        key = entity_key(subject)
        if not key:
            return Origin(NEVER_READ, "")
        numbers = dict.fromkeys(
            [
                *self._titled.get(key, ()),
                *(number for number, text in enumerate(self._keys) if key in text and occurs(key, text)),
            ]
        )
        if not numbers:
            return Origin(NEVER_READ, subject)
        found: list[Source] = []
        for number in numbers:
            for source in self._sentences(number):
                if occurs(answer, source.sentence):
                    return Origin(STATED, subject, (source,))
                found.append(source)
        return Origin(NEVER_STATED, subject, tuple(found[:SHOWN]))

    def _sentences(self, number: int) -> list[Source]:
        document = self._documents[number]
        return [
            Source(place(document, number, sentence.line), " ".join(sentence.text.split()))
            for sentence in sentences(document["text"])
        ]
