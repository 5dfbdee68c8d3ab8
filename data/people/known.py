"""Whom and what a corpus names, to make up names that are nobody's in it.

Where the corpus is at hand, its texts are searched. One of synthetic people is never looked through, however many
they are: whose name it is says the population, and what else stands in a document the wordings and values say.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise, product
from random import Random
from typing import Protocol

from datasets import Dataset

from closedbook.data.people.on_demand import SAMPLED, BiographyDocuments
from closedbook.data.questions import entity_key

_WORD = re.compile(r"\w+")
_BEFORE, _AFTER = re.compile(r"^\W+"), re.compile(r"(?:'s?)?\W*$")  # what a wording puts around a name
_BORDER = re.compile(rf"{_BEFORE.pattern}|{_AFTER.pattern}")


class Known(Protocol):
    """What is known of a corpus and of other texts that are taken.

    `key in known` is true where a text holds `key`, both as `entity_key` compares names.

    Attributes:
        titles: in alphabetical order, each once; of synthetic people those of a sample.
        letters: that titles and texts of the corpus are written in.
        words: all there are, also those taken.
    """

    @property
    def titles(self) -> Sequence[str]: ...

    @property
    def letters(self) -> Set[str]: ...

    @property
    def words(self) -> Set[str]: ...

    def __contains__(self, key: object) -> bool: ...


def what_is_known(documents: Dataset | BiographyDocuments, taken: Iterable[str] = ()) -> Known:
    """What a corpus names, with the names or whole texts that are taken, too.

    Args:
        documents: columns `title` and `text`.
        taken: in which no name may occur.
    """
    if isinstance(documents, BiographyDocuments):
        return KnownPeople(documents, taken)
    return _KnownTexts(documents, taken)


class _KnownTexts:
    """All titles, texts and whatever is taken, in one string."""

    def __init__(self, documents: Dataset, taken: Iterable[str]) -> None:
        self.titles = sorted(set(documents["title"][:]))
        self._texts = documents["text"][:]
        self._all = "\n".join(entity_key(text) for text in (*self.titles, *self._texts, *taken))

    @functools.cached_property
    def letters(self) -> Set[str]:
        return set(" ").union(*self.titles, *self._texts)

    @functools.cached_property
    def words(self) -> Set[str]:
        return set(_WORD.findall(self._all))

    def __contains__(self, key: object) -> bool:
        return str(key) in self._all


class KnownPeople:
    """Documents about synthetic people: a name is found in them by arithmetic.

    What may merely stand in a document counts as standing there: so nobody is taken for a stranger who is none.
    """

    def __init__(self, documents: BiographyDocuments, taken: Iterable[str]) -> None:
        self._population, self._documents = documents.population, documents
        self._taken = "\n".join(map(entity_key, taken))
        self._forms = [
            [tuple(map(str.casefold, pool)) for pool in pools] for pools in self._population.parts_of_names()
        ]
        statements = documents.statements().items()
        self._joints = _find_joints(
            tuple((wordings, self._population.values(attribute)) for attribute, wordings in statements),
            frozenset(self._forms[0][0]),
            frozenset(self._forms[0][-1]),
        )
        self._at_joints = functools.cache(self._find_at_joints)
        self._parts_at = functools.cache(self._find_parts_at)

    def outsiders(self, random: Random) -> Iterator[str]:
        """Names of which no document has a word, in a random order; see `Population.outsiders`."""
        return (name for name in self._population.outsiders(random) if entity_key(name) not in self)

    @functools.cached_property
    def titles(self) -> Sequence[str]:
        return _titles(self._documents)

    @functools.cached_property
    def letters(self) -> Set[str]:
        return _letters(self._documents)

    @functools.cached_property
    def words(self) -> Set[str]:
        told = " ".join((*self._documents.parts(), self._taken))
        return set(_WORD.findall(entity_key(told)))

    def __contains__(self, key: object) -> bool:
        words = str(key).split()
        if str(key) in self._taken or not words:
            return True
        if len(words) == 1:
            return any(_BORDER.sub("", words[0]) in entity_key(part) for part in self._documents.parts())
        # only the outer words may be parts of words
        lefts = [f"{word}\n" if not place else f"\n{word}\n" for place, word in enumerate(words[:-1])]
        rights = [*(f"\n{word}\n" for word in words[1:-1]), f"\n{words[-1]}"]
        sides = zip(lefts, rights, strict=True)
        told = [bool(self._at_joints(one, 0) & self._at_joints(other, 1)) for one, other in sides]
        # Whatever stands on both sides of a space that no wording or value has stands in a name.
        runs: list[list[str]] = []
        for place, is_told in enumerate(told):
            if is_told:
                continue
            if runs and not told[place - 1]:
                runs[-1].append(words[place + 1])
            else:
                runs.append(words[place : place + 2])
        return all(any(self._is_in_name(run, form) for form in range(len(self._forms))) for run in runs)

    def _is_in_name(self, words: list[str], form: int) -> bool:
        """Whether somebody whose name is of this form has these words in it; the outer ones may be parts of words.

        Of less than a whole name it is enough that it could be.
        """
        pools = self._forms[form]
        for first in range(len(pools) - len(words) + 1):
            last = first + len(words) - 1
            inner = zip(words[1:-1], pools[first + 1 : last], strict=True)
            begins, ends = self._parts_at(form, first, words[0], 0), self._parts_at(form, last, words[-1], 1)
            if not begins or not ends or not all(word in pool for word, pool in inner):
                continue
            names = (" ".join((begin, *words[1:-1], end)) for begin in begins for end in ends)
            if len(words) < len(pools) or any(self._population.place(name) is not None for name in names):
                return True
        return False

    def _find_parts_at(self, form: int, place: int, word: str, is_last: bool) -> list[str]:
        """What can stand at a place of a name and ends with a word, or begins with it where that is the last
        one."""
        pool = self._forms[form][place]
        if is_last:
            return [part for part in pool if part.startswith(_AFTER.sub("", word))]
        return [part for part in pool if part.endswith(_BEFORE.sub("", word))]

    def _find_at_joints(self, sought: str, side: int) -> int:
        """At which joints a line, or a part of one, is on the left (0) or on the right, a bit each."""
        return sum(bits for lines, bits in self._joints[side].items() if sought in lines)


@functools.lru_cache(maxsize=4)  # a command asks what is known several times
def _find_joints(
    told: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...],
    first_names: frozenset[str],
    surnames: frozenset[str],
) -> tuple[dict[str, int], dict[str, int]]:
    """What can stand left and right of a space in a document, but for the spaces of a name.

    Args:
        told: of each attribute the wordings and the values.
        first_names, surnames: what names begin and end with.

    Returns:
        Of each side all that can be there, in lines, with a bit for each space that it is at.
    """
    joints: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    borders: tuple[set[str], set[str]] = (set(), set())  # words that end and that begin a sentence
    for statements, values in told:
        answers = [entity_key(value).split() for value in values]
        pieces = {piece for text in statements for piece in text.casefold().split() if "{answer}" in piece}
        spaces = {
            (one, other, place == 0, place == len(words) - 2)
            for words in answers
            for place, (one, other) in enumerate(pairwise(words))
        }
        inside: dict[str, set[str]] = {}
        for piece, (one, other, is_first, is_last) in product(pieces, spaces):
            before, _, after = piece.partition("{answer}")
            inside.setdefault(before * is_first + one, set()).add(other + after * is_last)
        joints |= {((one,), tuple(sorted(others))) for one, others in inside.items()}
        ends: dict[str, Set[str]] = {
            "{name}": surnames,
            "{answer}": {words[-1] for words in answers},
            "{a}": {"a", "an"},
        }
        starts = ends | {"{answer}": {words[0] for words in answers}}
        starts["{name}"] = surnames | first_names  # a surname alone, where it is told so
        for statement in statements:
            lines = [(_fill(piece, ends, 0), _fill(piece, starts, 1)) for piece in statement.casefold().split()]
            borders[0].update(lines[-1][0])
            borders[1].update(lines[0][1])
            joints |= {(one[0], other[1]) for one, other in pairwise(lines)}
    joints.add((tuple(sorted(borders[0])), tuple(sorted(borders[1]))))
    sides: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for number, joint in enumerate(joints):
        for side, known in zip(joint, sides, strict=True):
            text = "\n".join(("", *side, ""))
            known[text] = known.get(text, 0) | 1 << number
    return sides


def _fill(piece: str, values: Mapping[str, Set[str]], side: int) -> tuple[str, ...]:
    """All that a word of a wording can be on the left (0) or right of a space: a whole value, or its end or
    begin."""
    field = next((field for field in values if field in piece), None)
    if field is None:
        return (piece,)
    before, _, after = piece.partition(field)
    parts = {before + value if side else value + after for value in values[field]}
    return tuple(sorted(parts | {before + value + after for value in values[field]}))


@functools.lru_cache(maxsize=4)
def _titles(documents: BiographyDocuments) -> list[str]:
    return sorted({record["title"] for record in documents.spread(SAMPLED)})


@functools.lru_cache(maxsize=4)
def _letters(documents: BiographyDocuments) -> Set[str]:
    return set(" ").union(*documents.specimens())
