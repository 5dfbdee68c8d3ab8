"""People who do not exist: names that look like those of a corpus, and questions about them.

A model has read nothing about them, so every place of birth that it gives is made up. To find out whether it
can tell, nothing else may give them away: a name here is the first names of one title of the corpus with the
surname of another, as long as the one it replaces (or nearly). So lengths, spelling, initials, particles
("de", "von") and suffixes ("Jr.", "III") are distributed as among the people who do exist.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random

from datasets import Dataset

from closedbook.data.people.known import Known, KnownPeople, what_is_known
from closedbook.data.people.on_demand import BiographyDocuments
from closedbook.data.question_format import QUESTION_FEATURES
from closedbook.data.questions import entity_key

UNKNOWN_ANSWER = "unknown"  # what a model is trained to say about people it never read about

_SUFFIX = re.compile(r"(,? (?:Jr\.?|Sr\.?|Esq\.?|II|III|IV|V))$")
_ONE_WORD = re.compile(r"[^\W\d_](?=.{3})[^\W\d_A-Z]+")  # no abbreviation, whose capitals would show in a half
_NAME = "\0"  # stands for a name in a wording
_LENGTH_TOLERANCE = 2  # characters by which a surname may be longer or shorter than the one it replaces


def split_name(name: str) -> tuple[str, str] | None:
    """First names and surname, with particles and suffix: ("Thomas Elliot", "Bowman III"); None if unclear.

    Unclear are single words, and names with a comma before anything but a suffix, as in titles of nobility.
    """
    suffix = match[1] if (match := _SUFFIX.search(name)) else ""
    words = name.removesuffix(suffix).split()
    if len(words) < 2 or "," in name.removesuffix(suffix):
        return None
    particle = next((place for place, word in enumerate(words) if place and word[0].islower()), None)
    start = len(words) - 1 if particle is None else particle
    return " ".join(words[:start]), " ".join(words[start:]) + suffix


def invent_people(
    documents: Dataset | BiographyDocuments, num_people: int, *, seed: int, taken: Iterable[str] = ()
) -> list[str]:
    """Names of `num_people` people of whom there is no word in the corpus, in any of the texts `taken`.

    A pure function of the titles, the seed and what is taken: the order of the documents does not matter, and
    asking for fewer gives the beginning of the same list. Another seed may give some of the same names, so where
    two lists must not meet, pass the first as `taken`.

    Args:
        documents: columns `title` (the names to recombine) and `text`; of synthetic people whose documents
            are made when asked for, names that nobody of them has (see `Population.outsiders`).
        num_people: how many names.
        seed: of the recombination.
        taken: names or whole texts (questions, for example) in which no name may occur.

    Returns:
        Different names; none is part of a title, a text or anything taken, whatever the case and spacing.

    Raises:
        ValueError: if the corpus has too few names to recombine; the message says how many could be made.
    """
    if num_people < 0:
        raise ValueError(f"num_people must be at least 0, not {num_people}")
    known = what_is_known(documents, taken)
    invented: dict[str, str] = {}
    if num_people:
        for name in recombine(known, Random(f"invented people {seed}")):
            invented[entity_key(name)] = name
            if len(invented) == num_people:
                break
    if len(invented) < num_people:
        raise ValueError(
            f"the {len(known.titles)} titles of the corpus give only {len(invented)} names of people who do not "
            f"exist, not {num_people}: name a corpus with more names in its titles, or ask for fewer"
        )
    return list(invented.values())


def recombine(known: Known, random: Random) -> Iterator[str]:
    """First names of one title with the surname of another, as many as there are, none of them known.

    Where these are used up, the first half of a title of one word with the second half of another: "Berrow" and
    "Pellwick" give "Berwick".

    Of synthetic people, whose first names and surnames are all put together already where they are many, the names
    of those who would come next.
    """
    if isinstance(known, KnownPeople):
        yield from known.outsiders(random)
        return
    invented = set()
    ways = [(split_name, " "), (_halves, "")]
    if sum(split_name(title) is None for title in known.titles) > len(known.titles) / 2:
        ways.reverse()  # most titles are one word
    for split, between in ways:
        names = [parts for parts in map(split, known.titles) if parts]
        surnames: dict[int, list[str]] = {}
        for _, surname in names:
            surnames.setdefault(len(surname), []).append(surname)
        open_names = random.sample(names, len(names))
        while open_names:
            productive = []
            for first, replaced in open_names:
                for surname in _similar_surnames(surnames, len(replaced), random):
                    key = entity_key(f"{first}{between}{surname}")
                    if key not in invented and key not in known:
                        invented.add(key)
                        productive.append((first, replaced))
                        yield f"{first}{between}{surname}"
                        break
            open_names = productive


def _halves(name: str) -> tuple[str, str] | None:
    """A single word of four letters or more, such as a town's or a drug's name, in two halves."""
    return (name[: len(name) // 2], name[len(name) // 2 :]) if _ONE_WORD.fullmatch(name) else None


def ask_about(names: Sequence[str], questions: Dataset, *, answers: Sequence[str], seed: int) -> Dataset:
    """One question about each name, worded as `questions`: the question of somebody else, the name exchanged.

    Args:
        names: whom to ask about, in whose order the questions come.
        questions: columns `question` and `entity`; those that do not hold their entity word for word are not used.
        answers: the accepted answers to every question; none where there is no right answer.
        seed: of the choice of wordings.

    Raises:
        ValueError: if no question holds its entity.
    """
    wordings = _wordings(questions)
    random = Random(f"questions about invented people {seed}")
    rows = []
    for invented in names:
        known, question = random.choice(wordings)
        question = known.sub(lambda _, name=invented: name, question)
        rows.append({"question": question, "answers": list(answers), "entity": invented})
    return Dataset.from_list(rows, features=QUESTION_FEATURES)


def wordings_of(questions: Dataset) -> list[str]:
    """How questions are worded: each other one without its name, the most frequent first.

    Args:
        questions: as for `ask_about`.

    Returns:
        What `ask_in` takes.

    Raises:
        ValueError: if no question holds its entity.
    """
    found = Counter(name.sub(_NAME, question) for name, question in _wordings(questions))
    return [wording for wording, _ in found.most_common()]


def ask_in(wordings: Sequence[str], names: Sequence[str]) -> Dataset:
    """Every name asked about in each of these wordings, without answers."""
    rows = [
        {"question": wording.replace(_NAME, name), "answers": [], "entity": name}
        for name in names
        for wording in wordings
    ]
    return Dataset.from_list(rows, features=QUESTION_FEATURES)


def _wordings(questions: Dataset) -> list[tuple[re.Pattern, str]]:
    """The questions that hold their entity word for word, each with what finds it there."""
    found = []
    for row in questions.select_columns(["question", "entity"]):
        name = re.compile(rf"(?<!\w){re.escape(row['entity'])}(?!\w)")
        if name.search(row["question"]) and row["entity"] not in ("", row["question"]):
            found.append((name, row["question"]))
    if not found:
        raise ValueError(
            f"none of {len(questions)} questions holds the name of its entity, so the name cannot be exchanged: "
            "give the entity of each question in the spelling of the question"
        )
    return found


def _similar_surnames(surnames: dict[int, list[str]], length: int, random: Random) -> Iterable[str]:
    """Surnames of this length in random order, then those a character shorter or longer, and so on."""
    for distance in range(_LENGTH_TOLERANCE + 1):
        pool = [name for size in {length - distance, length + distance} for name in surnames.get(size, ())]
        yield from random.sample(pool, len(pool))
