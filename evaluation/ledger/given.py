"""Facts that a user gives, and questions of one's own: read, put beside their documents, and grouped by fact."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from closedbook.data.mentions import find_mentions
from closedbook.data.questions import entity_key
from closedbook.data.text_files import numbered_lines
from closedbook.evaluation.ledger.facts import Fact, asked_in_wordings, kind_of, stated_in
from closedbook.evaluation.metrics.answer_match.normalisation import normalize

QUESTION = "question"  # the relation of a fact of which only its questions are known


@dataclass(frozen=True)
class Given:
    """What was given, beside the documents.

    Attributes:
        facts: those about something that a document names.
        about_nothing: subjects that no document names, each with what was asked of it.
    """

    facts: list[Fact]
    about_nothing: list[tuple[str, str]]


def read_facts(path: str | Path) -> list[Fact]:
    """Facts of a UTF-8 file: `subject<TAB>relation<TAB>object`, or JSON lines where the name ends in `.jsonl`.

    A JSON line has `subject`, `relation` and `object`, and optionally `aliases` and `questions` (lists of texts).

    Raises:
        ValueError: naming file and line, with what to do; what `read_file` raises passes through.
    """
    facts = []
    for number, line in numbered_lines(path):
        try:
            facts.append(_of_json(line) if Path(path).suffix == ".jsonl" else _of_tabs(line))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    return facts


def _of_tabs(line: str) -> Fact:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != 3 or not all(fields):
        raise ValueError(f"expected subject<TAB>relation<TAB>object, got {line[:60]!r}")
    return Fact(fields[0], fields[1], fields[2], kind=kind_of(fields[2]))


def _of_json(line: str) -> Fact:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}): write one object a line") from error
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {line[:60]!r}")
    said = {name: record.get(name) for name in ("subject", "relation", "object")}
    lacking = [name for name, value in said.items() if not isinstance(value, str) or not value.strip()]
    if lacking:
        raise ValueError(f"{', '.join(lacking)}: has to be a text; write subject, relation and object")
    lists = {name: record.get(name) or [] for name in ("aliases", "questions")}
    for name, values in lists.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{name} has to be a list of texts, got {values!r:.60}")
    subject, relation, object = (str(value).strip() for value in said.values())
    return Fact(
        subject,
        relation,
        object,
        aliases=tuple(lists["aliases"]),
        kind=kind_of(object),
        questions=tuple(lists["questions"]),
    )


def facts_of_questions(questions: Dataset) -> list[Fact]:
    """Questions with the same entity and an answer in common are wordings of one fact."""
    grouped: dict[tuple[str, str], Fact] = {}
    for row in questions:
        key = entity_key(row["entity"]), normalize(row["answers"][0])
        before = grouped.get(key)
        if before is None:
            object, *aliases = row["answers"]
            grouped[key] = Fact(
                row["entity"], QUESTION, object, tuple(aliases), kind_of(object), questions=(row["question"],)
            )
        else:
            aliases = [*before.aliases, *(each for each in row["answers"] if each not in before.answers)]
            grouped[key] = replace(before, aliases=tuple(aliases), questions=(*before.questions, row["question"]))
    return list(grouped.values())


def beside_documents(facts: Sequence[Fact], documents: Sequence[Mapping[str, Any]], k: int) -> Given:
    """Given facts with the sentences that state them, those about nothing in the documents apart."""
    numbers = find_mentions((fact.subject for fact in facts), documents)
    for number, document in enumerate(documents):
        if (key := entity_key(document["title"])) in numbers and number not in numbers[key]:
            numbers[key] = sorted([*numbers[key], number])
    found, about_nothing = [], []
    for fact in facts:
        named_in = numbers.get(entity_key(fact.subject), [])
        if named_in:
            found.append(stated_in(fact, documents, named_in))
        else:
            about_nothing.append((fact.subject, fact.questions[0] if fact.questions else fact.relation))
    return Given(asked_in_wordings(found, k), about_nothing)
