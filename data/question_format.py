"""The columns of a question set, and whom a question asks about."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from datasets import Features, List, Value

QUESTION_FEATURES = Features(
    {"question": Value("string"), "answers": List(Value("string")), "entity": Value("string")}
)

# Tried in order against the whole question, ignoring case.
ENTITY_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:where|when|(?:in|on) (?:what|which) \w+) (?:was|were|is) (.+) (?:born|educated|buried)\?",
        r"(?:where|when|(?:in|on|at|for) (?:what|which) \w+) did (.+) (?:die|live|study|work)\?",
        r"(?:what|which) \w+ did (.+) (?:attend|study|work (?:at|for|in))\?",
        r"(?:who|what) (?:is|was|are|were) the [\w ]+? of (.+)\?",
        r"who (?:is|was) (.+)\?",
    )
)


_PARTICLES = frozenset(
    [
        "al",
        "bin",
        "da",
        "das",
        "de",
        "del",
        "der",
        "di",
        "do",
        "dos",
        "du",
        "el",
        "ibn",
        "la",
        "le",
        "of",
        "van",
        "von",
        "y",
    ]
)
# Words that a question begins with, and that get their capital from standing there.
_BEGINNINGS = frozenset(
    [
        "who",
        "what",
        "where",
        "when",
        "which",
        "whose",
        "whom",
        "why",
        "how",
        "is",
        "are",
        "was",
        "were",
        "did",
        "does",
        "do",
        "can",
        "could",
        "has",
        "have",
        "had",
        "in",
        "on",
        "at",
        "for",
        "from",
        "to",
        "of",
        "by",
        "the",
        "a",
        "an",
        "tell",
        "give",
        "name",
        "please",
        "wer",
        "was",
        "wo",
        "wann",
        "welche",
        "welcher",
        "welches",
        "warum",
        "wie",
        "qui",
        "que",
        "quoi",
        "où",
        "ou",
        "quand",
        "quel",
        "quelle",
        "pourquoi",
        "comment",
        "dans",
        "quién",
        "qué",
        "dónde",
        "cuándo",
        "cuál",
        "por",
        "en",
        "chi",
        "che",
        "dove",
        "quando",
        "quale",
        "perché",
        "come",
    ]
)
_AROUND = "\"'“”„«»‘’()[]{}?!,;:¿¡"
_WORD = re.compile(r"[^\W_]+(?:['’.-]+[^\W_]+)*")
_LONGEST = 8  # words of a name that is looked for in other questions


def _bare(word: str) -> str:
    """A word without what stands around it and without a possessive."""
    word = word.strip(_AROUND)
    return word[:-2] if word.endswith(("'s", "’s")) else word


def capitalised(question: str) -> list[str]:
    """What is written with a capital, words in a row: "On which river does Berrow lie?" has Berrow.

    Particles stand between them ("Zoë van Łuk"); a word that questions begin with does not count, nor does `'s`.
    """
    words = question.split()
    runs: list[list[str]] = []
    going = False
    for place, word in enumerate(words):
        bare = _bare(word).rstrip("." if place == len(words) - 1 else "")
        capital = bare[:1].isupper() and not (place == 0 and bare.casefold() in _BEGINNINGS)
        following = _bare(words[place + 1])[:1] if place + 1 < len(words) else ""
        particle = going and bare in _PARTICLES and (following.isupper() or words[place + 1 : place + 2] == ["la"])
        if capital or particle:
            if not going:
                runs.append([])
            runs[-1].append(bare)
        possessive = bare != word.strip(_AROUND)
        going = (capital or particle) and not possessive and word[-1] not in ",;:?!)]"
    return [" ".join(run) for run in runs]


def entity_of_question(question: str) -> str:
    """Whom or what a question asks about, by `ENTITY_PATTERNS`, or because nothing else in it has a capital.

    The whole question where neither tells.
    """
    for pattern in ENTITY_PATTERNS:
        if match := pattern.fullmatch(question.strip()):
            return match[1].strip()
    named = set(capitalised(question))
    return named.pop() if len(named) == 1 else question.strip()


def link_entities(questions: Sequence[str], entities: Sequence[str], known: Iterable[str] = ()) -> list[str]:
    """Entities of questions of one file, the same for all questions that name the same one.

    An entity that a question's wording told is replaced where the question holds that of another question, or one
    that is known besides: "Who is Ada Lind from Bergen?" is about Ada Lind, if she is asked about elsewhere. Of
    several the shortest of at least two words counts, else the one that stands first. Whoever keeps people out of
    training would otherwise keep out one question about them, and train on another.

    Args:
        questions: of the file.
        entities: of each; one that differs from what its question tells was given, and stays.
        known: names of others.
    """
    names: dict[tuple[str, ...], str] = {}
    for name in (*known, *entities):
        if key := _words(name):
            names.setdefault(key, name)
    linked = []
    for question, entity in zip(questions, entities, strict=True):
        words = _words(question)
        found = []
        if entity == entity_of_question(question):
            starts = ((start, size) for size in range(1, _LONGEST + 1) for start in range(len(words) - size + 1))
            found = [(size < 2, size, start) for start, size in starts if words[start : start + size] in names]
            found = [one for one in found if one[1] < len(words)]
        if found:
            _, size, start = min(found, key=lambda one: (one[0], one[2] if one[0] else one[1], one[2]))
            entity = names[words[start : start + size]]
        linked.append(entity)
    return linked


def _words(text: str) -> tuple[str, ...]:
    words = (_bare(match[0]) for match in _WORD.finditer(unicodedata.normalize("NFKC", text)))
    return tuple(word.casefold() for word in words if word)
