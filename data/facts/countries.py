"""The countries of the world, from the package countryinfo (MIT): capital, region, currency, languages.

Languages and currencies are codes there; Babel (BSD; data of Unicode's CLDR) has their names, and says which
currency is paid with: one that is not any more, a unit of account that never was, or a code that does not exist is
left out and counted. Two entries of one country (Palestine) are one, the fuller; what has no code of its own
(Scotland) or has ceased to be (the Netherlands Antilles) is no country here.
"""

import datetime
import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from .written import Fact, Relation, Subject, shortened

logger = logging.getLogger(__name__)

PAID_ON = datetime.date(2026, 1, 1)  # a fixed day: the same documents whenever they are written

RELATIONS = {
    "capital": Relation(
        "The capital of {subject} is {object}.",
        (
            "What is the capital of {subject}?",
            "Which city is the capital of {subject}?",
            "Which capital does {subject} have?",
        ),
        "Which country has the capital {object}?",
        "The capitals of {subject} are {object}.",
    ),
    "region": Relation(
        "The region of {subject} is {object}.",
        (
            "What is the region of {subject}?",
            "In which region of the world does {subject} lie?",
            "Where in the world is {subject}?",
        ),
    ),
    "currency": Relation(
        "The currency of {subject} is the {object}.",
        (
            "What is the currency of {subject}?",
            "Which currency is used in {subject}?",
            "What does one pay with in {subject}?",
        ),
        "Which country has the currency {object}?",
        "The currencies of {subject} are the {object}.",
    ),
    "language": Relation(
        "The official language of {subject} is {object}.",
        (
            "What is the official language of {subject}?",
            "Which language is spoken in {subject}?",
            "What language do people speak in {subject}?",
        ),
        "Which country has the official language {object}?",
        "The official languages of {subject} are {object}.",
    ),
    "demonym": Relation(
        "The demonym of {subject} is {object}.",
        (
            "What is the demonym of {subject}?",
            "How is somebody from {subject} called?",
            "Which adjective belongs to {subject}?",
        ),
        "Which country has the demonym {object}?",
    ),
    "internet domain": Relation(
        "The internet domain of {subject} is {object}.",
        (
            "What is the internet domain of {subject}?",
            "Which domain do addresses in {subject} end in?",
            "Which top-level domain belongs to {subject}?",
        ),
        "Which country has the internet domain {object}?",
    ),
}


def read_countries() -> tuple[Subject, ...]:
    """All countries that the package has, by name."""
    from babel import Locale
    from babel.numbers import get_territory_currencies
    from countryinfo import CountryInfo

    english = Locale.parse("en")
    rows = CountryInfo("France").all().values()  # the package gives the whole table by way of any country
    known = {row["ISO"]["alpha2"] for row in rows} & set(english.territories)
    paid = {code: set(get_territory_currencies(code, PAID_ON)) for code in sorted(known)}
    return countries(rows, english.languages, english.currencies, paid)


def countries(
    rows: Iterable[Mapping[str, Any]],
    languages: Mapping[str, str],
    currencies: Mapping[str, str],
    paid: Mapping[str, set[str]],
) -> tuple[Subject, ...]:
    """Countries from rows in the package's columns, each of which may be missing, None or empty.

    Args:
        rows: the package's.
        languages, currencies: code -> name.
        paid: two letters of each country that there is -> codes of what is paid with there.
    """
    found: dict[str, Subject] = {}
    left_out: list[str] = []
    for row in rows:
        code = (row.get("ISO") or {}).get("alpha2") or ""
        name = country_name(row["name"], row.get("altSpellings") or ())
        if code not in paid or not row["ISO"].get("numeric"):
            left_out.append(name)
            continue
        left_out += [f"{name} ({tongue})" for tongue in row.get("languages") or () if tongue not in languages]
        left_out += [f"{name} ({money})" for money in row.get("currencies") or () if money not in paid[code]]
        money = [code_ for code_ in row.get("currencies") or () if code_ in paid[code] and code_ in currencies]
        spoken = [languages[tongue] for tongue in row.get("languages") or () if tongue in languages]
        domains = [domain for domain in row.get("tld") or () if domain.isascii()]
        facts = (
            Fact(name, "capital", _parts(row.get("capital"), r"/")),
            Fact(name, "region", _parts((row.get("subregion") or "").replace("South-Eastern", "South-eastern"))),
            Fact(name, "currency", tuple(currencies[code_] for code_ in money), tuple(money)),
            Fact(name, "language", tuple(dict.fromkeys(spoken))),
            Fact(name, "demonym", _parts(row.get("demonym"), r"[/,]")),
            Fact(name, "internet domain", tuple(domains[:1])),
        )
        subject = Subject(name, tuple(fact for fact in facts if fact.objects))
        if not subject.facts:
            left_out.append(name)
        elif code not in found or len(found[code].facts) < len(subject.facts):
            found[code] = subject
    if left_out:
        logger.warning(
            "countries: %d entries, languages and currencies are no official ones (any more) and left out: %s",
            *(len(left_out), shortened(left_out)),
        )
    return tuple(sorted(found.values(), key=lambda subject: subject.name))


def country_name(name: str, spellings: Iterable[str]) -> str:
    """A name as it is said: "British Virgin Islands" for "Virgin Islands, British", where that is one spelling."""
    noun, comma, rest = name.partition(", ")
    return f"{rest} {noun}" if comma and f"{rest} {noun}" in spellings else name


def _parts(value: str | list[str] | None, separator: str = r"\Z") -> tuple[str, ...]:
    """The names in a cell, a list or one text, without marks that only say which way to write."""
    cells = [value] if isinstance(value, str) else value or []
    clean = ("".join(letter for letter in cell if unicodedata.category(letter) != "Cf") for cell in cells)
    return tuple(filter(None, (name.strip() for cell in clean for name in re.split(separator, cell))))
