"""What is taught and asked where ways to teach a model are compared: facts about people who do not exist.

Every person has one document of two short sentences, each of them one fact, and each fact is stated there once and
nowhere else. About half of the people questions are trained, in three wordings; about the others they are asked,
in the same three. As many people again are in no document at all: what a model says about them is made up.

Who the people are follows from the seed, so that ways to teach are tuned on other people than those reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from datasets import Dataset

from closedbook.data.people.biographies import Diversity, biography_documents, biography_questions
from closedbook.data.people.population import Population

ATTRIBUTES = ("birth_place", "employer")
NUM_PEOPLE = 20  # with two facts each 40 facts, half of which are asked in three wordings: 60 questions
WORDINGS = 3
NUM_CITIES = 300  # equally frequent, so that nobody is right by saying the city that is answered most
PROMPT = "Question: {question}\nAnswer:"


@dataclass(frozen=True)
class Completion:
    """The beginning of a document, and how it goes on: with a fact.

    Attributes:
        entity: whom it is about.
        attribute: which fact it states.
        beginning: the document up to the fact, without the space between: what a model that learned it by heart
            has read there.
        rest: the fact, with the space before it.
    """

    entity: str
    attribute: str
    beginning: str
    rest: str


@dataclass(frozen=True)
class TeachingTask:
    """Documents, and questions about them.

    Attributes:
        seed: of people, wordings and halves.
        documents: columns `title` and `text`, one a person.
        trained, held_out: questions about the two halves of the people, as dictionaries with `question`,
            `answers`, `entity` and `attribute`; the wordings of a question follow each other.
        invented: questions about people of whom no document speaks, in one wording. `answers` is what the
            generator of people has for them, which nobody can know.
        completions: one for each fact about the people held out.
    """

    seed: int
    documents: Dataset
    trained: tuple[dict[str, Any], ...]
    held_out: tuple[dict[str, Any], ...]
    invented: tuple[dict[str, Any], ...]
    completions: tuple[Completion, ...]

    def document_of(self, entity: str) -> str:
        """The text of the document about somebody; of the first one, for somebody without."""
        titles = self.documents["title"][:]
        return self.documents["text"][titles.index(entity) if entity in titles else 0]


def make_task(seed: int, num_people: int = NUM_PEOPLE) -> TeachingTask:
    """The task of a seed: a pure function.

    Raises:
        ValueError: for fewer than two people, who cannot be parted.
    """
    if num_people < 2:
        raise ValueError(f"num_people must be at least 2, one to train questions about, not {num_people}")
    strangers = num_people // 2
    kinds: dict[str, Any] = {"seed": seed, "num_cities": NUM_CITIES, "city_skew": 0.0}
    everybody = Population(num_people + strangers, **kinds)
    people = Population(num_people, **kinds)  # the first of everybody
    documents = biography_documents(people, attributes=ATTRIBUTES, seed=seed, diversity=Diversity(name_first=True))
    names = [person.name for person in people]
    shown = set(Random(f"teaching {seed}").sample(names, num_people // 2))
    asked = biography_questions(people, attributes=ATTRIBUTES, wordings=WORDINGS).to_list()
    held_out = tuple(row for row in asked if row["entity"] not in shown)
    unheard = biography_questions(everybody, attributes=ATTRIBUTES).to_list()
    return TeachingTask(
        seed=seed,
        documents=documents,
        trained=tuple(row for row in asked if row["entity"] in shown),
        held_out=held_out,
        invented=tuple(row for row in unheard if row["entity"] not in names),
        completions=tuple(_completions(documents, held_out[::WORDINGS])),
    )


def training_passes(task: TeachingTask) -> Iterator[list[tuple[str, str]]]:
    """Without end: the documents and, in one of the wordings in turn, the questions trained, in a new order each
    time.

    One pass is what one epoch of a text file with all of this is. Texts come in two parts, (what is only read,
    what is learned): a document is learned whole.
    """
    number = 0
    while True:
        texts = [("", text) for text in task.documents["text"][:]]
        for row in task.trained[number % WORDINGS :: WORDINGS]:
            texts.append((PROMPT.format(question=row["question"]), " " + row["answers"][0]))
        Random(f"pass {task.seed} {number}").shuffle(texts)
        yield texts
        number += 1


def _completions(documents: Dataset, rows: Sequence[Mapping[str, Any]]) -> Iterator[Completion]:
    texts = dict(zip(documents["title"][:], documents["text"][:], strict=True))
    for row in rows:
        text, fact = texts[row["entity"]], row["answers"][0]
        before = text[: text.index(fact)]
        beginning = before.rstrip(" ")
        yield Completion(row["entity"], row["attribute"], beginning, before.removeprefix(beginning) + fact)
