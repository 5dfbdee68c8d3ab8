"""Synthetic people, written up in many wordings and asked about: a laboratory of knowledge.

After bioS of Allen-Zhu & Li, Physics of Language Models, part 3.1 (arXiv:2309.14316): one sentence per
attribute, many wordings, shuffled sentences. As nothing about these people stands in any other text, what a
model answers about them it can only have learned from the documents made here. Who they are, `population.py` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from datasets import Dataset, Features, IterableDataset, List, Value

from closedbook.data.people.population import Person, Population, known_attributes
from closedbook.data.people.wordings import ATTRIBUTES, indefinite_article

DOCUMENT_FEATURES = Features({"title": Value("string"), "text": Value("string")})
QUESTION_FEATURES = Features(
    {
        "question": Value("string"),
        "answers": List(Value("string")),
        "entity": Value("string"),
        "attribute": Value("string"),
    }
)


# ---- documents ---------------------------------------------------------------------------------------------


def _check_options(full_name: str, unit: str, versions: int) -> None:
    """Raise ValueError for options of the writers below that are unknown or do not fit together."""
    if full_name not in ("every", "first"):
        raise ValueError(f'full_name must be "every" or "first", not {full_name!r}')
    if unit not in ("biography", "sentence"):
        raise ValueError(f'unit must be "biography" or "sentence", not {unit!r}')
    if unit == "sentence" and full_name == "first":
        raise ValueError('unit="sentence" needs full_name="every": a lone sentence must say who it is about')
    if versions < 1:
        raise ValueError(f"versions must be at least 1, not {versions}")


@dataclass(frozen=True)
class Diversity:
    """How much the texts about one person differ: the knobs of the laboratory.

    Attributes:
        wordings: different wordings of a fact, drawn for each person; None for all there are. Beyond them,
            biographies repeat wordings that were used before.
        shuffle: tell the facts in a new order each time, instead of always in that of `attributes`.
        name_first: only wordings in which the name comes before the value, so that no text leads from a value to
            a name, and every value can be asked for by completing its sentence.
    """

    wordings: int | None = None
    shuffle: bool = True
    name_first: bool = False

    def statements(self, attribute: str) -> tuple[str, ...]:
        """The wordings to draw from.

        Raises:
            ValueError: for a number of wordings that the attribute does not have.
        """
        known = ATTRIBUTES[attribute].statements
        if self.name_first:
            known = tuple(text for text in known if text.index("{name}") < text.index("{answer}"))
        if self.wordings is not None and not 1 <= self.wordings <= len(known):
            raise ValueError(f"wordings must be from 1 to {len(known)} for {attribute}, not {self.wordings}")
        return known


def _write_versions(
    person: Person,
    random: Random,
    versions: int,
    attributes: tuple[str, ...],
    full_name: str,
    diversity: Diversity = Diversity(),
) -> Iterator[list[str]]:
    """Yield the sentences of `versions` biographies; no wording returns before all have been used."""
    decks = {}
    for attribute in attributes:
        statements = diversity.statements(attribute)
        decks[attribute] = random.sample(statements, len(statements))[: diversity.wordings]
    for version in range(versions):
        sentences = []
        order = random.sample(attributes, len(attributes)) if diversity.shuffle else attributes
        for place, attribute in enumerate(order):
            name = person.name if place == 0 or full_name == "every" else person.surname
            answer = person.facts[attribute]
            wording = decks[attribute][version % len(decks[attribute])]
            sentences.append(wording.format(name=name, answer=answer, a=indefinite_article(answer)))
        yield sentences


def write_biography(
    person: Person, random: Random, *, attributes: Sequence[str] | None = None, full_name: str = "every"
) -> str:
    """One biography: a sentence per attribute, in random wordings and random order.

    Args:
        person: whom it is about.
        random: source of the wordings and the order; nothing else is random.
        attributes: what it tells, by default everything.
        full_name: "every" sentence has the full name (the default: the paper finds that repeating it helps a
            model to tie the facts to the person), or only the "first", and the others the surname.

    Raises:
        ValueError: for an unknown attribute or another `full_name`.
    """
    _check_options(full_name, "biography", 1)
    return " ".join(next(_write_versions(person, random, 1, known_attributes(attributes), full_name)))


def _generate_documents(
    people: list[range],
    population: Population,
    versions: int,
    seed: int,
    attributes: tuple[str, ...],
    full_name: str,
    unit: str,
    diversity: Diversity = Diversity(),
) -> Iterator[dict[str, str]]:
    """The documents of the people with these indices; a list of ranges, as `datasets` shards by lists."""
    for index in (index for indices in people for index in indices):
        person = population[index]
        # A string seeds Random by its SHA-512, the same in every process.
        random = Random(f"biographies {seed} {index}")
        for sentences in _write_versions(person, random, versions, attributes, full_name, diversity):
            for text in sentences if unit == "sentence" else [" ".join(sentences)]:
                yield {"title": person.name, "text": text}


def biography_documents(
    population: Population,
    *,
    versions: int = 1,
    seed: int = 0,
    attributes: Sequence[str] | None = None,
    full_name: str = "every",
    unit: str = "biography",
    diversity: Diversity = Diversity(),
) -> Dataset:
    """Documents about everybody, in memory, with the columns `title` (the name) and `text`.

    Args:
        population: the people, in whose order the documents come.
        versions: differently worded biographies per person. Version v does not depend on how many there are,
            so that 1 and 5 versions (the paper's `multi5`) make a controlled comparison.
        seed: of wordings and orders; the facts depend on the population's seed.
        attributes: what the biographies tell, by default everything.
        full_name: see `write_biography`.
        unit: a document is a whole "biography", or a "sentence", which suits small blocks.
        diversity: how much the versions differ, by default as much as they can.

    Raises:
        ValueError: for unknown attributes or options, or fewer than one version.
    """
    _check_options(full_name, unit, versions)
    known = known_attributes(attributes)
    people = [range(len(population))]
    rows = list(_generate_documents(people, population, versions, seed, known, full_name, unit, diversity))
    return Dataset.from_list(rows, features=DOCUMENT_FEATURES)


def stream_biographies(
    population: Population,
    *,
    versions: int = 1,
    seed: int = 0,
    attributes: Sequence[str] | None = None,
    full_name: str = "every",
    unit: str = "biography",
    num_shards: int = 16,
) -> IterableDataset:
    """The records of `biography_documents`, in the same order, written only when read.

    Args:
        num_shards: runs of people that processes and data workers can share out among themselves; the
            default divides evenly among 2, 4, 8 or 16. At most one a person.

    The other arguments and errors are those of `biography_documents`.
    """
    _check_options(full_name, unit, versions)
    if num_shards < 1:
        raise ValueError(f"num_shards must be at least 1, not {num_shards}")
    num_shards = min(num_shards, len(population))
    ends = [shard * len(population) // num_shards for shard in range(num_shards + 1)]
    return IterableDataset.from_generator(
        _generate_documents,
        features=DOCUMENT_FEATURES,
        gen_kwargs={
            "people": [range(start, end) for start, end in pairwise(ends)],
            "population": population,
            "versions": versions,
            "seed": seed,
            "attributes": known_attributes(attributes),
            "full_name": full_name,
            "unit": unit,
        },
    )


# ---- questions ---------------------------------------------------------------------------------------------


def biography_questions(
    population: Population, *, attributes: Sequence[str] | None = ("birth_place",), wordings: int = 1
) -> Dataset:
    """Questions about everybody: columns `question`, `answers` (one), `entity` (the name) and `attribute`.

    Args:
        population: the people, in whose order the questions come.
        attributes: what is asked; None for everything. By default the question of the CS224N task.
        wordings: how many ways to ask each question; the canonical one comes first.

    Raises:
        ValueError: for unknown attributes, or a number of wordings that an attribute does not have.
    """
    known = known_attributes(attributes)
    most = min(len(ATTRIBUTES[attribute].questions) for attribute in known)
    if not 1 <= wordings <= most:
        raise ValueError(f"wordings must be from 1 to {most}, not {wordings}")
    rows = [
        {
            "question": question.format(name=person.name),
            "answers": [person.facts[attribute]],
            "entity": person.name,
            "attribute": attribute,
        }
        for person in population
        for attribute in known
        for question in ATTRIBUTES[attribute].questions[:wordings]
    ]
    return Dataset.from_list(rows, features=QUESTION_FEATURES)


def reversed_questions(population: Population, *, attributes: Sequence[str]) -> Dataset:
    """Questions from a value to the person, with the columns of `biography_questions`.

    `entity` is the person, who is also the answer: splits by entity then keep both directions of a fact on
    one side. Values that several people share have no one answer, and are not asked about.

    Raises:
        ValueError: for unknown attributes.
    """
    known = known_attributes(attributes)
    people = list(population)
    holders = {attribute: Counter(person.facts[attribute] for person in people) for attribute in known}
    rows = [
        {
            "question": ATTRIBUTES[attribute].reversed_question.format(answer=value, a=indefinite_article(value)),
            "answers": [person.name],
            "entity": person.name,
            "attribute": attribute,
        }
        for person in people
        for attribute in known
        if holders[attribute][value := person.facts[attribute]] == 1
    ]
    return Dataset.from_list(rows, features=QUESTION_FEATURES)
