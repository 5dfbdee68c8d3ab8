"""Whom and what a corpus names, to make up names that are nobody's in it.

Where the corpus is at hand, its texts are searched. One of synthetic people is never looked through, however many
they are: whose name it is says the population, and what else stands in a document the wordings and values say.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise
from random import Random
from typing import Protocol

from datasets import Dataset

from closedbook.data.people.on_demand import SAMPLED, BiographyDocuments
from closedbook.data.questions import entity_key

_WORD = re.compile(r"\w+")


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
        self._joints = self._find_joints()
        self._at_joints = functools.cache(self._find_at_joints)
        self._parts_at = functools.cache(self._find_parts_at)

    def outsiders(self, random: Random) -> Iterator[str]:
        """Names of which no document has a word, in a random order; see `Population.outsiders`."""
        return (name for name in self._population.outsiders(random) if entity_key(name) not in self)

    @functools.cached_property
    def titles(self) -> Sequence[str]:
        return sorted({record["title"] for record in self._documents.spread(SAMPLED)})

    @functools.cached_property
    def letters(self) -> Set[str]:
        return set(" ").union(*self._documents.specimens())

    @functools.cached_property
    def words(self) -> Set[str]:
        told = " ".join((*self._documents.parts(), self._taken))
        return set(_WORD.findall(entity_key(told)))

    def __contains__(self, key: object) -> bool:
        words = str(key).split()
        if str(key) in self._taken or not words:
            return True
        if len(words) == 1:
            return any(words[0] in entity_key(part) for part in self._documents.parts())
        if all(self._at_joints(one, 0) & self._at_joints(other, 1) for one, other in pairwise(words)):
            return True
        return any(self._is_in_name(words, form) for form in range(len(self._forms)))

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
        meets = str.startswith if is_last else str.endswith
        return [part for part in self._forms[form][place] if meets(part, word)]

    def _find_joints(self) -> list[tuple[str, str]]:
        """What can stand left and right of a space in a document, but for the spaces of a name: lines of each."""
        surnames = set(self._forms[0][-1])
        joints: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
        borders: tuple[set[str], set[str]] = (set(), set())  # words that end and that begin a sentence
        for attribute, statements in self._documents.statements().items():
            answers = [entity_key(value).split() for value in self._population.values(attribute)]
            joints |= {((one,), (other,)) for words in answers for one, other in pairwise(words)}
            ends = {"{name}": surnames, "{answer}": {words[-1] for words in answers}, "{a}": {"a", "an"}}
            starts = ends | {"{answer}": {words[0] for words in answers}}
            starts["{name}"] = surnames.union(self._forms[0][0])  # a surname alone, where it is told so
            for statement in statements:
                pieces = statement.casefold().split()
                lines = [(_fill(piece, ends), _fill(piece, starts)) for piece in pieces]
                borders[0].update(lines[-1][0])
                borders[1].update(lines[0][1])
                joints |= {(one[0], other[1]) for one, other in pairwise(lines)}
        joints.add((tuple(sorted(borders[0])), tuple(sorted(borders[1]))))
        return sorted(("\n".join(("", *one, "")), "\n".join(("", *other, ""))) for one, other in joints)

    def _find_at_joints(self, word: str, side: int) -> int:
        """At which joints a word stands, a bit each: as the end of what is left (0), the beginning of what is
        right."""
        sought = f"\n{word}" if side else f"{word}\n"
        return sum(1 << number for number, joint in enumerate(self._joints) if sought in joint[side])


def _fill(piece: str, values: Mapping[str, Set[str]]) -> tuple[str, ...]:
    """All that a word of a wording can be."""
    field = next((field for field in values if field in piece), None)
    if field is None:
        return (piece,)
    return tuple(sorted(piece.replace(field, value) for value in values[field]))
