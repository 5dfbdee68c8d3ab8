"""Real facts at hand: the chemical elements and the countries of the world, as tables, documents and questions.

Each is read from a package behind the extra `closedbook[facts]`: mendeleev (MIT), and countryinfo (MIT) with Babel
(BSD). Nothing of them is shipped here. Real data contradicts itself and ages; what is left out, and why, is in
`facts/elements.py` and `facts/countries.py`, and is said when it is read.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from datasets import Dataset

from closedbook.data.facts import countries, elements
from closedbook.data.facts.written import Relation, Subject, fact_table, joined, write_documents


@dataclass(frozen=True)
class RealFacts:
    """A field of facts.

    Attributes:
        packages: that it is read from.
        read: gives its subjects.
        relations: how each of its relations is written.
    """

    packages: tuple[str, ...]
    read: Callable[[], tuple[Subject, ...]]
    relations: dict[str, Relation]


REAL_FACTS = {
    "elements": RealFacts(("mendeleev",), elements.read_elements, elements.RELATIONS),
    "countries": RealFacts(("countryinfo", "babel"), countries.read_countries, countries.RELATIONS),
}


def check_packages(name: str) -> None:
    """Refuse facts whose packages are not installed, before anything slow.

    Raises:
        ValueError: saying what to install.
    """
    missing = [package for package in REAL_FACTS[name].packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ValueError(
            f"the facts about {name} need the package {joined(missing)}: pip install 'closedbook[facts]'"
        )


@cache
def subjects_of(name: str) -> tuple[Subject, ...]:
    """The subjects of a field, read once a process.

    Raises:
        ValueError: if a package is missing.
    """
    check_packages(name)
    return REAL_FACTS[name].read()


def real_facts(name: str) -> Dataset:
    """The facts of a field; the columns are those of `fact_table`, the errors those of `subjects_of`."""
    return fact_table(subjects_of(name), REAL_FACTS[name].relations)


def element_facts() -> Dataset:
    """Symbol, number, family and discovery of the chemical elements, a row a fact: see `real_facts`."""
    return real_facts("elements")


def country_facts() -> Dataset:
    """Capital, region, currency, languages, demonym, domain of the countries, a row a fact: see `real_facts`."""
    return real_facts("countries")


def element_documents() -> Dataset:
    """A document an element: `title` and `text`."""
    return write_documents(subjects_of("elements"), elements.RELATIONS)


def country_documents() -> Dataset:
    """A document a country: `title` and `text`."""
    return write_documents(subjects_of("countries"), countries.RELATIONS)
