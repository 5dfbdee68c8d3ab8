"""Documents and questions about any number of people, of which none is made before somebody asks for it.

A record is a pure function of its place, so nothing is held: about 100 million people as about 100, `len` is
arithmetic, a data worker is sent a few numbers, and a slice is a range. What `biographies.py` makes data sets
of, row by row.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import chain, islice
from random import Random
from typing import Any, Self, overload

from closedbook.data.people.population import Population, known_attributes
from closedbook.data.people.telling import (
    FULLY_DIVERSE,
    Diversity,
    check_options,
    choose_wordings,
    write_sentence,
    write_versions,
)
from closedbook.data.people.wordings import ATTRIBUTES, name_pools

ALL = range(0)  # rows until their number is known: this very object, and no other empty range
SAMPLED = 10_000  # documents that stand for all where all are too many: each letter in hundreds of them


@dataclass(frozen=True)
class _AboutPeople(Sequence[dict[str, Any]]):
    """A sequence of records, equally many about everybody, in the order of the people.

    Attributes:
        population: the people.
        rows: which records of all; by default all.
    """

    population: Population
    rows: range = field(default=ALL, kw_only=True)

    def __post_init__(self) -> None:
        if self.rows is ALL:
            object.__setattr__(self, "rows", range(len(self.population) * self.per_person))

    @property
    def per_person(self) -> int:
        """How many records are about one person."""
        raise NotImplementedError

    def _record(self, index: int, number: int) -> dict[str, Any]:
        """The record of this number about the person of this index."""
        raise NotImplementedError

    def _records(self, index: int) -> Iterator[dict[str, Any]]:
        """All records about the person of this index: the same, faster one after the other."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Self:
        """A record; of a slice the sequence of its records, which are not made yet."""
        if isinstance(index, slice):
            return replace(self, rows=self.rows[index])
        try:
            row = self.rows[operator.index(index)]
        except IndexError:
            raise IndexError(f"record {index} of {len(self)}") from None
        return self._record(*divmod(row, self.per_person))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.rows.step != 1:
            yield from (self._record(*divmod(row, self.per_person)) for row in self.rows)
            return
        start, stop = self.rows.start, self.rows.stop
        for index in range(start // self.per_person, -(-stop // self.per_person)):
            before = index * self.per_person
            yield from islice(self._records(index), max(start - before, 0), min(stop - before, self.per_person))

    def about(self, index: int) -> Self:
        """All records about one person, whatever is in this slice.

        Raises:
            IndexError: if there is nobody of this index.
        """
        index = range(len(self.population))[index]
        return replace(self, rows=range(index * self.per_person, (index + 1) * self.per_person))

    def spread(self, number: int) -> Self:
        """About `number` of the records (all, if they are no more), evenly spread over the people.

        The step has no divisor in common with the number of records about a person, so that every sentence of
        every version has its turn.
        """
        step = max(1, len(self) // number)
        while math.gcd(step, self.per_person) > 1:
            step -= 1
        return self[::step]

    @property
    def fingerprint(self) -> str:
        """A checksum of all that the records are made of, in place of one of the records."""
        settings = {item.name: repr(getattr(self, item.name)) for item in fields(self)}
        told = json.dumps([type(self).__name__, settings, _digest_of_pools()])
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True)
class BiographyDocuments(_AboutPeople):
    """The documents of `biography_documents`, made when asked for: `documents[i]` is `{title, text}`.

    Attributes:
        population, versions, seed, attributes, full_name, unit, diversity: as there.

    Raises:
        ValueError: for unknown attributes or options, or fewer than one version.
    """

    versions: int = 1
    seed: int = 0
    attributes: Sequence[str] | None = None
    full_name: str = "every"
    unit: str = "biography"
    diversity: Diversity = FULLY_DIVERSE

    def __post_init__(self) -> None:
        check_options(self.full_name, self.unit, self.versions)
        object.__setattr__(self, "attributes", known_attributes(self.attributes))
        for attribute in self._attributes:
            self.diversity.statements(attribute)
        super().__post_init__()

    @property
    def _attributes(self) -> tuple[str, ...]:
        return self.attributes  # type: ignore[return-value]  # since `__post_init__`

    @property
    def per_person(self) -> int:
        return self.versions * (len(self._attributes) if self.unit == "sentence" else 1)

    def _random(self, index: int) -> Random:
        # A string seeds Random by its SHA-512, the same in every process.
        return Random(f"biographies {self.seed} {index}")

    def _record(self, index: int, number: int) -> dict[str, Any]:
        if self.unit == "biography":
            return next(islice(self._records(index), number, None))
        version, place = divmod(number, len(self._attributes))
        chosen = choose_wordings(self._random(index), self._attributes, self.diversity)
        attribute, wording = next(islice(chosen, version, None))[place]
        name = self.population.name(index)
        return {"title": name, "text": write_sentence(wording, name, self.population.fact(index, attribute))}

    def _records(self, index: int) -> Iterator[dict[str, Any]]:
        person, random = self.population[index], self._random(index)
        options = (self.versions, self._attributes, self.full_name, self.diversity)
        for sentences in write_versions(person, random, *options):
            for text in sentences if self.unit == "sentence" else [" ".join(sentences)]:
                yield {"title": person.name, "text": text}

    def specimens(self) -> list[str]:
        """Texts that hold every character of all documents and no other, and that read like all of them.

        They are a sample spread over the people. If a character is missing that a name, a value or a wording has,
        people are read one by one until it occurs, or has been seen to occur nowhere.
        """
        texts = [record["text"] for record in self.spread(SAMPLED)]
        missing = set("".join(self.parts())).difference(*texts)
        # Later versions repeat the wordings of the first ones.
        most = max(map(len, self.statements().values()))
        everything = replace(self, versions=min(self.versions, most), rows=ALL)
        for record in everything if missing else ():
            if found := missing.intersection(record["text"]):
                texts.append(record["text"])
                missing -= found
                if not missing:
                    break
        return texts

    def statements(self) -> dict[str, tuple[str, ...]]:
        """The wordings of each attribute that is told."""
        return {attribute: self.diversity.statements(attribute) for attribute in self._attributes}

    def parts(self) -> Iterator[str]:
        """All that texts are put together from: parts of names, values, and what is left of wordings."""
        for pools in self.population.parts_of_names():
            yield from chain.from_iterable(pools)
        for attribute, statements in self.statements().items():
            yield from self.population.values(attribute)
            for statement in statements:
                yield statement.format(name="", answer="", a="an")


@dataclass(frozen=True)
class BiographyQuestions(_AboutPeople):
    """The questions of `biography_questions`, made when asked for: `questions[i]` has the columns of that.

    Attributes:
        population, attributes, wordings: as there.

    Raises:
        ValueError: for unknown attributes, or a number of wordings that an attribute does not have.
    """

    attributes: Sequence[str] | None = ("birth_place",)
    wordings: int = 1

    def __post_init__(self) -> None:
        known = known_attributes(self.attributes)
        object.__setattr__(self, "attributes", known)
        most = min(len(ATTRIBUTES[attribute].questions) for attribute in known)
        if not 1 <= self.wordings <= most:
            raise ValueError(f"wordings must be from 1 to {most}, not {self.wordings}")
        super().__post_init__()

    @property
    def _asked(self) -> list[tuple[str, str]]:
        """Of each record about a person the attribute and the wording."""
        known: tuple[str, ...] = self.attributes  # type: ignore[assignment]  # since `__post_init__`
        return [(name, wording) for name in known for wording in ATTRIBUTES[name].questions[: self.wordings]]

    @property
    def per_person(self) -> int:
        return len(self._asked)

    def _record(self, index: int, number: int) -> dict[str, Any]:
        attribute, wording = self._asked[number]
        return _question(wording, self.population.name(index), attribute, self.population.fact(index, attribute))

    def _records(self, index: int) -> Iterator[dict[str, Any]]:
        person = self.population[index]
        for attribute, wording in self._asked:
            yield _question(wording, person.name, attribute, person.facts[attribute])


def _question(wording: str, name: str, attribute: str, answer: str) -> dict[str, Any]:
    return {
        "question": wording.format(name=name),
        "answers": [answer],
        "entity": name,
        "attribute": attribute,
    }


@functools.cache
def _digest_of_pools() -> str:
    """Of all names, values and wordings, which belong to the versions of packages."""
    values = {name: [known.values(), known.statements, known.questions] for name, known in ATTRIBUTES.items()}
    return hashlib.sha256(json.dumps([name_pools(), values]).encode()).hexdigest()
