"""The chemical elements, from the package mendeleev (MIT): who found them, when and where, and what they are for.

Its table and its prose disagree here and there (neodymium: 1925 and 1885). A year or a discoverer that the prose
contradicts is left out, and of the prose the sentences about the discovery are, so that a document states each
fact once.
"""

import difflib
import logging
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from .written import Fact, Relation, Subject, shortened

logger = logging.getLogger(__name__)

RELATIONS = {
    "symbol": Relation(
        "The chemical symbol of {subject} is {object}.",
        (
            "What is the chemical symbol of {subject}?",
            "Which symbol stands for {subject}?",
            "How do chemists abbreviate {subject}?",
        ),
        "Which element has the chemical symbol {object}?",
    ),
    "atomic number": Relation(
        "The atomic number of {subject} is {object}.",
        (
            "What is the atomic number of {subject}?",
            "Which number does {subject} have in the periodic table?",
            "How many protons has an atom of {subject}?",
        ),
        "Which element has the atomic number {object}?",
    ),
    "family": Relation(
        "{subject} is one of the {object}.",
        (
            "What is the family of {subject}?",
            "To which family of elements does {subject} belong?",
            "What kind of element is {subject}?",
        ),
    ),
    "discoverer": Relation(
        "{subject} was discovered by {object}.",
        ("Who discovered {subject}?", "By whom was {subject} discovered?", "Who was the discoverer of {subject}?"),
        "Which element was discovered by {object}?",
    ),
    "year of discovery": Relation(
        "{subject} was discovered in the year {object}.",
        (
            "In which year was {subject} discovered?",
            "When was {subject} discovered?",
            "What is the year of the discovery of {subject}?",
        ),
        "Which element was discovered in the year {object}?",
    ),
    "place of discovery": Relation(
        "The discovery of {subject} was made in {object}.",
        (
            "Where was {subject} discovered?",
            "In which country was {subject} discovered?",
            "Where did the discovery of {subject} take place?",
        ),
        "Which element was discovered in {object}?",
    ),
}

_SENTENCE_END = re.compile(r"(?<=[a-z0-9)\]][.!?])\s+|(?<=\.\))\s+")  # no full stop behind an initial
_OF_DISCOVERY = re.compile(
    r"[Dd]iscover|[Ii]solated|[Ii]dentifi|[Ss]ynthesi[sz]ed|[Pp]redicted|[Rr]eported|[Cc]onfirmed|[Ee]xtracted in"
    r"|[Pp]repared in|[Mm]ade and|\b(?:in|the) (?:1[0-9]|20)\d\d\b"
)
_YEAR = re.compile(r"\b(?:1[0-9]|20)\d\d\b")
_UNKNOWN = re.compile(r"known to the ancients", re.IGNORECASE)
_RANKS = re.compile(r"^(?:Sir|Baron|Lord) ")
_COUPLE = re.compile(r"(\w+) and (.+?) ((?:de |von )?\w+)")  # "Pierre and Marie Curie"
SIMILAR = 0.7  # of two spellings of one name: Wöhler and Wohler, Ramsey and Ramsay, but not Gahn and Scheele


def read_elements() -> tuple[Subject, ...]:
    """All elements that the package has, by atomic number."""
    from mendeleev.fetch import fetch_table

    families = {row["id"]: row["name"].lower() for row in fetch_table("series").to_dict("records")}
    rows = fetch_table("elements").to_dict("records")
    return elements([row | {"family": families.get(row["series_id"])} for row in rows])


def elements(rows: Iterable[Mapping[str, Any]]) -> tuple[Subject, ...]:
    """Elements from rows in the package's columns, and `family`; what is missing there is None, NaN or empty."""
    found, contradicted = [], []
    for row in rows:
        name = _text(row["name"])
        about = [sentence for sentence in _SENTENCE_END.split(_text(row["description"])) if sentence]
        told = " ".join(sentence for sentence in about if _OF_DISCOVERY.search(sentence))
        who = discoverers(_text(row["discoverers"]))
        year = written_year(row["discovery_year"])
        if year and _YEAR.search(told) and year not in _YEAR.findall(told):
            contradicted.append(f"{name} (year)")
            year = ""
        if who and _names_others(told, who):
            contradicted.append(f"{name} (discoverer)")
            who = ()
        places = tuple(filter(None, map(str.strip, _text(row["discovery_location"]).split("/"))))
        facts = [
            Fact(name, "symbol", (_text(row["symbol"]),)),
            Fact(name, "atomic number", (str(int(row["atomic_number"])),)),
            Fact(name, "family", (_text(row["family"]),)),
            Fact(name, "discoverer", who, _other_names(who)),
            Fact(name, "year of discovery", (year,)),
            Fact(name, "place of discovery", places),
        ]
        prose = [sentence for sentence in about if not _OF_DISCOVERY.search(sentence)]
        if _UNKNOWN.search(_text(row["discoverers"])):
            prose.insert(0, f"{name} was known to the ancients.")
        prose += [_closed(_text(row["uses"])), _closed(_text(row["sources"]))]
        if origin := _closed(_text(row["name_origin"])):
            prose.append(f"Origin of the name {name}: {origin}")
        kept = tuple(fact for fact in facts if any(fact.objects))
        found.append(Subject(name, kept, " ".join(filter(None, prose))))
    if contradicted:
        logger.warning(
            "elements: %d facts are left out, because mendeleev says two things: %s",
            *(len(contradicted), shortened(contradicted)),
        )
    return tuple(found)


def discoverers(listed: str) -> tuple[str, ...]:
    """Names from a list such as "Sir William Ramsey, P.T.Cleve" or "Argonne/Dubna"; nobody where it names none."""
    if _UNKNOWN.search(listed):
        return ()
    names = (re.sub(r"\.(?=[^\W\d_])", ". ", name).strip() for name in re.split(r"[,;/]", listed))
    return tuple(name for name in names if name and name.casefold() not in ("et al", "et al."))


def _other_names(names: Iterable[str]) -> tuple[str, ...]:
    """The same people without their rank, and a couple one by one."""
    others = []
    for name in names:
        others.append(_RANKS.sub("", name))
        if couple := _COUPLE.fullmatch(name):
            others += [f"{couple[1]} {couple[3]}", f"{couple[2]} {couple[3]}"]
    return tuple(other for other in others if other not in names)


def written_year(value: Any) -> str:
    """A year as it is said: "1766", "250 BC" for -250; empty where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or int(value) == 0:
        return ""
    return str(int(value)) if value > 0 else f"{-int(value)} BC"


def _names_others(told: str, names: Iterable[str]) -> bool:
    """Whether the prose says that somebody discovered it, and none of these."""
    if not re.search(r"\b(?:by|[A-Z]\w+ and) [A-Z]", told):
        return False
    words = [_plain(word) for word in re.findall(r"[^\W\d_]{3,}", told)]
    parts = [_plain(part) for name in names for part in re.findall(r"[^\W\d_]{3,}", _RANKS.sub("", name))]
    return not any(difflib.get_close_matches(part, words, 1, SIMILAR) for part in parts)


def _plain(word: str) -> str:
    """A word in small letters without accents."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def _text(value: Any) -> str:
    """A cell's text on one line; empty where there is none."""
    return " ".join(value.split()) if isinstance(value, str) else ""


def _closed(text: str) -> str:
    """A text with the full stop that its last sentence lacks."""
    return f"{text}." if text and text[-1] not in ".!?" else text
