"""Whom a model has never met: names of several kinds of which a corpus has no word.

| kind         | made of                                                             | what gives it away        |
|--------------|---------------------------------------------------------------------|---------------------------|
| `recombined` | first names of one title, surname of another (`invented.py`)        | nothing but the pair      |
| `altered`    | a title with one of its letters exchanged                           | a spelling                |
| `foreign`    | first and last names of other countries, from Faker                 | the language of a name    |
| `things`     | a surname of the corpus in the name of a bridge, a firm, a mountain | that it is no person      |

A model that only knows what names look like passes on the last two and fails on the first.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from random import Random

from datasets import Dataset
from faker import Faker

from closedbook.data.people.invented import recombine, split_name
from closedbook.data.people.known import Known, what_is_known
from closedbook.data.people.on_demand import BiographyDocuments
from closedbook.data.questions import entity_key

_LOCALES = ("de_DE", "fr_FR", "it_IT", "pl_PL", "es_ES", "nl_NL", "fi_FI", "pt_BR")
_WORD = re.compile(r"\w+")
_VOWELS, _CONSONANTS = "aeiou", "bcdfghklmnprstvwz"  # rare letters would give a name away
_THINGS = (
    *("Mount {}", "Lake {}", "Port {}", "{} Bridge", "{} College", "{} Station", "{} Island"),
    *("{} Records", "{} Castle", "The {} Company"),
)


def invent_strangers(
    documents: Dataset | BiographyDocuments,
    num_names: int,
    *,
    seed: int,
    taken: Iterable[str] = (),
    kinds: Iterable[str] | None = None,
    longest: int | None = None,
) -> dict[str, list[str]]:
    """Names by kind of whom and of what there is no word in the corpus, nor in any of the texts `taken`.

    A pure function of corpus, seed and what is taken. Only characters that the corpus has are used, so that no
    letter tells. No name is in two kinds.

    Args:
        documents: columns `title` and `text`.
        num_names: how many of each kind. A corpus with few titles gives fewer of those that are made of titles.
        seed: of all that is drawn.
        taken: names or whole texts in which no name may occur.
        kinds: which of `KINDS`; None: all.
        longest: characters of a name at most, so that its length does not tell, and a question about it fits
            where those about others do; None: as many as come.

    Raises:
        ValueError: for an unknown kind.
    """
    chosen = list(KINDS if kinds is None else kinds)
    for kind in chosen:
        if kind not in KINDS:
            raise ValueError(f"there is no kind of strangers {kind!r}: choose among {', '.join(KINDS)}")
    known = what_is_known(documents, taken)
    used: set[str] = set()
    invented: dict[str, list[str]] = {}
    for kind in chosen:
        random = Random(f"strangers {kind} {seed}")
        names: list[str] = []
        for name in KINDS[kind](known, random):
            if len(names) == num_names:
                break
            if not set(name) <= known.letters or (longest is not None and len(name) > longest):
                continue  # before the corpus is searched, which takes long where it is large
            key = entity_key(name)
            if key not in used and not (known.words >= set(_WORD.findall(key)) and key in known):
                used.add(key)
                names.append(name)
        invented[kind] = names
    return invented


def _altered(known: Known, random: Random) -> Iterator[str]:
    """Every title once, with a vowel exchanged for a vowel or a consonant for a consonant, initials left alone."""
    for title in random.sample(known.titles, len(known.titles)):
        places = [
            place
            for place, letter in enumerate(title)
            if letter in _VOWELS + _CONSONANTS and place and title[place - 1].isalpha()
        ]
        if places:
            place = random.choice(places)
            alike = _VOWELS if title[place] in _VOWELS else _CONSONANTS
            yield title[:place] + random.choice(alike.replace(title[place], "")) + title[place + 1 :]


def _foreign(known: Known, random: Random) -> Iterator[str]:
    fakers = []
    for locale in _LOCALES:
        fakers.append(Faker(locale))
        fakers[-1].seed_instance(random.getrandbits(64))
    for _ in range(_ENOUGH):
        faker = random.choice(fakers)
        yield f"{faker.first_name()} {faker.last_name()}"


def _things(known: Known, random: Random) -> Iterator[str]:
    surnames = sorted({parts[1] for parts in map(split_name, known.titles) if parts and parts[1].isalpha()})
    for _ in range(_ENOUGH if surnames else 0):
        yield random.choice(_THINGS).format(random.choice(surnames))


_ENOUGH = 20_000  # tries, after which a corpus is taken to have nothing else to give
KINDS: dict[str, Callable[[Known, Random], Iterator[str]]] = {
    "recombined": recombine,
    "altered": _altered,
    "foreign": _foreign,
    "things": _things,
}
