"""Facts as a table, and the documents that state them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from datasets import Dataset, Features, List, Value

FACT_FEATURES = Features(
    {
        "subject": Value("string"),
        "relation": Value("string"),
        "object": Value("string"),
        "answers": List(Value("string")),
        "sentence": Value("string"),
        "questions": List(Value("string")),
        "reversed_question": Value("string"),
    }
)


@dataclass(frozen=True)
class Relation:
    """How a relation is written.

    Attributes:
        sentence: with `{subject}` and `{object}`.
        questions: wordings with `{subject}`, the plainest first.
        reversed_question: with `{object}`; asked only where one subject alone has the object.
        plural: the sentence for several objects, by default the same.
    """

    sentence: str
    questions: tuple[str, ...]
    reversed_question: str = ""
    plural: str = ""


@dataclass(frozen=True)
class Fact:
    """One fact before it is written: the objects in their order, and other right answers."""

    subject: str
    relation: str
    objects: tuple[str, ...]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """Whom a document is about: its facts, and prose that is read and not asked about."""

    name: str
    facts: tuple[Fact, ...]
    prose: str = ""


def shortened(names: Sequence[str]) -> str:
    """The first names of a list, and that there are more."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def joined(names: Sequence[str]) -> str:
    """Names as a list in a sentence: "A, B and C"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def fact_table(subjects: Iterable[Subject], relations: dict[str, Relation]) -> Dataset:
    """The facts of all subjects as a table.

    Columns: `subject`, `relation`, `object` (as the sentence has it), `answers` (the object first, then each of
    several, then their aliases), `sentence` (stands so in the subject's document), `questions` (a list of
    wordings) and `reversed_question`, which asks for the subject (empty where several subjects have the object).
    """
    facts = [fact for subject in subjects for fact in subject.facts]
    times = Counter((fact.relation, joined(fact.objects)) for fact in facts)
    rows = []
    for fact in facts:
        how, told = relations[fact.relation], joined(fact.objects)
        reverse = how.reversed_question if times[fact.relation, told] == 1 else ""
        rows.append(
            {
                "subject": fact.subject,
                "relation": fact.relation,
                "object": told,
                "answers": list(dict.fromkeys([told, *fact.objects, *fact.aliases])),
                "sentence": _sentence(fact, how),
                "questions": [question.format(subject=fact.subject) for question in how.questions],
                "reversed_question": reverse.format(object=told),
            }
        )
    return Dataset.from_list(rows, features=FACT_FEATURES)


def _sentence(fact: Fact, how: Relation) -> str:
    form = how.plural if how.plural and len(fact.objects) > 1 else how.sentence
    return form.format(subject=fact.subject, object=joined(fact.objects))


def write_documents(subjects: Iterable[Subject], relations: dict[str, Relation]) -> Dataset:
    """A document a subject, with the columns `title` (its name) and `text`: a sentence a fact, then the prose."""
    rows: dict[str, list[str]] = {"title": [], "text": []}
    for subject in subjects:
        sentences = [_sentence(fact, relations[fact.relation]) for fact in subject.facts]
        rows["title"].append(subject.name)
        rows["text"].append(" ".join(filter(None, [*sentences, subject.prose])))
    return Dataset.from_dict(rows)
