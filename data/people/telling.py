"""How the facts about a person are told: the wordings and their order, drawn anew for every version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from random import Random

from closedbook.data.people.population import Person, known_attributes
from closedbook.data.people.wordings import ATTRIBUTES, indefinite_article


def check_options(full_name: str, unit: str, versions: int) -> None:
    """Raise ValueError for options that are unknown or do not fit together."""
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
            a name. Without it, where `wordings` is given, each person's begin with those of that kind: few are
            as if it were on, and every value can be asked for by completing a sentence.
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
            known = tuple(filter(_names_first, known))
        if self.wordings is not None and not 1 <= self.wordings <= len(known):
            raise ValueError(f"wordings must be from 1 to {len(known)} for {attribute}, not {self.wordings}")
        return known


def _names_first(statement: str) -> bool:
    """Whether the name comes before the value."""
    return statement.index("{name}") < statement.index("{answer}")


FULLY_DIVERSE = Diversity()  # as different as they can be


def choose_wordings(
    random: Random, attributes: tuple[str, ...], diversity: Diversity
) -> Iterator[list[tuple[str, str]]]:
    """Without end, what the sentences of the next version are: `(attribute, wording)` in their order.

    No wording returns before all have been used.
    """
    decks = {}
    for attribute in attributes:
        statements = diversity.statements(attribute)
        deck = random.sample(statements, len(statements))
        if diversity.wordings is not None:
            deck.sort(key=_names_first, reverse=True)  # keeps the order of those of a kind
        decks[attribute] = deck[: diversity.wordings]
    for version in count():
        order = random.sample(attributes, len(attributes)) if diversity.shuffle else attributes
        yield [(attribute, decks[attribute][version % len(decks[attribute])]) for attribute in order]


def write_sentence(wording: str, name: str, answer: str) -> str:
    """A fact in words; `name` may be a surname alone."""
    return wording.format(name=name, answer=answer, a=indefinite_article(answer))


def write_versions(
    person: Person,
    random: Random,
    versions: int,
    attributes: tuple[str, ...],
    full_name: str,
    diversity: Diversity = FULLY_DIVERSE,
) -> Iterator[list[str]]:
    """Yield the sentences of `versions` biographies."""
    for chosen in islice(choose_wordings(random, attributes, diversity), versions):
        sentences = []
        for place, (attribute, wording) in enumerate(chosen):
            name = person.name if place == 0 or full_name == "every" else person.surname
            sentences.append(write_sentence(wording, name, person.facts[attribute]))
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
    check_options(full_name, "biography", 1)
    return " ".join(next(write_versions(person, random, 1, known_attributes(attributes), full_name)))
