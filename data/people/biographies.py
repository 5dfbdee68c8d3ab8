"""Synthetic people, written up in many wordings and asked about: a laboratory of knowledge.

After bioS of Allen-Zhu & Li, Physics of Language Models, part 3.1 (arXiv:2309.14316): one sentence per
attribute, many wordings, shuffled sentences. As nothing about these people stands in any other text, what a
model answers about them it can only have learned from the documents made here. Who they are, `population.py` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from datasets import Dataset, Features, IterableDataset, List, Value

from closedbook.data.people.on_demand import BiographyDocuments, BiographyQuestions
from closedbook.data.people.population import Population, known_attributes
from closedbook.data.people.telling import FULLY_DIVERSE, Diversity
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


def biography_documents(
    population: Population,
    *,
    versions: int = 1,
    seed: int = 0,
    attributes: Sequence[str] | None = None,
    full_name: str = "every",
    unit: str = "biography",
    diversity: Diversity = FULLY_DIVERSE,
) -> Dataset:
    """Documents about everybody, in memory, with the columns `title` (the name) and `text`.

    Of more people than memory has room for, `BiographyDocuments` makes the same documents when they are asked for.

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
    documents = BiographyDocuments(
        population,
        versions=versions,
        seed=seed,
        attributes=attributes,
        full_name=full_name,
        unit=unit,
        diversity=diversity,
    )
    return Dataset.from_list(list(documents), features=DOCUMENT_FEATURES)


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
    documents = BiographyDocuments(
        population, versions=versions, seed=seed, attributes=attributes, full_name=full_name, unit=unit
    )
    if num_shards < 1:
        raise ValueError(f"num_shards must be at least 1, not {num_shards}")
    num_shards = min(num_shards, len(population))
    ends = [shard * len(population) // num_shards * documents.per_person for shard in range(num_shards + 1)]
    parts = [documents[start:end] for start, end in pairwise(ends)]
    return IterableDataset.from_generator(_walk, features=DOCUMENT_FEATURES, gen_kwargs={"parts": parts})


def _walk(parts: list[BiographyDocuments]) -> Iterator[dict[str, str]]:
    """The documents of some parts, which are in a list, as `datasets` shards by lists."""
    for part in parts:
        yield from part


# ---- questions ---------------------------------------------------------------------------------------------


def biography_questions(
    population: Population,
    *,
    attributes: Sequence[str] | None = ("birth_place",),
    wordings: int = 1,
    num_asked: int | None = None,
) -> Dataset:
    """Questions about people, in memory: columns `question`, `answers` (one), `entity` (the name) and `attribute`.

    Args:
        population: the people, in whose order the questions come.
        attributes: what is asked; None for everything. By default the question of the CS224N task.
        wordings: how many ways to ask each question; the canonical one comes first.
        num_asked: how many people are asked about: those at equal distances in the population, from the first on.
            By default everybody.

    Raises:
        ValueError: for unknown attributes, a number of wordings that an attribute does not have, or more people
            than there are.
    """
    questions = BiographyQuestions(population, attributes=attributes, wordings=wordings)
    people = len(population)
    asked = people if num_asked is None else num_asked
    if not 1 <= asked <= people:
        raise ValueError(f"num_asked must be from 1 to {people:,}, not {asked:,}")
    rows = [row for number in range(asked) for row in questions.about(number * people // asked)]
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
