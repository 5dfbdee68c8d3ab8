"""Question sets as they are published on the Hub, or local files in the same columns (see `hub_rows.py`).

| set           | on the Hub                       | licence that its card names |
|---------------|----------------------------------|-----------------------------|
| PopQA         | akariasai/PopQA                  | none                        |
| TriviaQA      | mandarjoshi/trivia_qa            | "unknown"                   |
| NQ open       | google-research-datasets/nq_open | CC BY-SA 3.0                |
| LAMA (T-REx)  | facebook/lama (a script)         | CC BY 4.0                   |

The library `datasets` runs no scripts any more (since 4.0). Of LAMA take a relation file such as `P19.jsonl`, out
of the archive that its card names: `--questions lama --question_file P19.jsonl`.

Every loader gives `question`, `answers` (the canonical one first) and `entity`; PopQA and LAMA also `attribute`,
the relation. A question that comes up again, for two people of one name or a fact with several objects, is one
row that accepts every answer: nobody could tell them apart.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value

from closedbook.data.hub_rows import read_rows, with_options
from closedbook.data.question_columns import collect_questions
from closedbook.data.question_format import QUESTION_FEATURES, entity_of_question

logger = logging.getLogger(__name__)

ATTRIBUTE_FEATURES = Features(QUESTION_FEATURES | {"attribute": Value("string")})
NO_ANSWER = "<unk>"  # what TriviaQA's test split holds in place of an answer
# LAMA's relation files have no template; these are the two that biographies are about.
LAMA_TEMPLATES = {"P19": "[X] was born in [Y] .", "P20": "[X] died in [Y] ."}
LAMA_QUESTIONS = {"P19": "Where was {} born?", "P20": "Where did {} die?"}

_Row = tuple[str, list[str], str, str]  # question, answers, entity, attribute


def load_popqa(
    source: str | Path,
    *,
    with_answers: bool = True,
    relation: str | None = None,
    config: str | None = None,
    split: str = "test",
    revision: str | None = None,
) -> Dataset:
    """PopQA (Mallen et al. 2023): questions about Wikidata facts of popular and little-known subjects.

    Args:
        source: such as "akariasai/PopQA".
        with_answers: `False` is for rows without answers, and refuses any that it meets.
        relation: only this `prop`, such as "place of birth"; upper and lower case are alike.
        config, split, revision: of the data set on the Hub.

    Raises:
        ValueError: for a missing column, a relation that does not occur (with those that do), a row without
            question or answers, or answers that are no JSON list of texts.
    """
    rows = read_rows(
        source,
        ("question", "subj", "prop", "obj", "possible_answers"),
        config=config,
        split=split,
        revision=revision,
    )
    parsed = (
        (row["question"], _accepted(row, number, source), row["subj"], row["prop"])
        for number, row in enumerate(_of_relation(rows, "prop", relation, source), start=1)
    )
    return _dataset(parsed, source, with_answers, ATTRIBUTE_FEATURES)


def load_trivia_qa(
    source: str | Path,
    *,
    with_answers: bool = True,
    config: str | None = "rc.nocontext",
    split: str = "validation",
    revision: str | None = None,
) -> Dataset:
    """TriviaQA (Joshi et al. 2017) without its documents; the value first, then aliases, then normalised ones.

    `source` may also be a JSON file of its own archive, `{"Data": [{"Question", "Answer": {"Value", ...}}]}`.

    The test split has no answers: `with_answers=False`. The other arguments and the errors are those of
    `load_popqa`.
    """
    columns: tuple[str, ...] = ("Question",) if _is_archive(source) else ("question", "answer")
    rows = read_rows(source, columns, config=config, split=split, revision=revision)
    names = ("Value", "Aliases", "NormalizedAliases")

    def parse(row: dict, number: int) -> _Row:
        if columns[0] == "Question":  # as its own archive spells it
            answer = row.get("Answer") or {"Value": NO_ANSWER}
            if isinstance(answer, dict) and "Value" in answer:
                answer = dict(zip(("value", "aliases", "normalized_aliases"), map(answer.get, names), strict=True))
            row = {"question": row["Question"], "answer": answer}
        answer = row["answer"]
        if not isinstance(answer, dict) or "value" not in answer:
            raise ValueError(
                f"{source}: row {number}: 'answer' has to be an object with 'value', got {answer!r:.60}"
            )
        answers = [answer["value"], *(answer.get("aliases") or ()), *(answer.get("normalized_aliases") or ())]
        known = [text for text in answers if text != NO_ANSWER]
        return row["question"], known, _entity(row["question"]), ""

    parsed = (parse(row, number) for number, row in enumerate(rows, start=1))
    return _dataset(parsed, source, with_answers, QUESTION_FEATURES)


def load_nq_open(
    source: str | Path,
    *,
    with_answers: bool = True,
    config: str | None = None,
    split: str = "validation",
    revision: str | None = None,
) -> Dataset:
    """Natural Questions, open (Kwiatkowski et al. 2019; Lee et al. 2019): in lower case, without question marks.

    The arguments and the errors are those of `load_popqa`.
    """
    rows = read_rows(source, ("question", "answer"), config=config, split=split, revision=revision)
    parsed = (
        (row["question"], _texts(row["answer"], "answer", number, source), _entity(row["question"]), "")
        for number, row in enumerate(rows, start=1)
    )
    return _dataset(parsed, source, with_answers, QUESTION_FEATURES)


def load_lama(
    source: str | Path,
    *,
    with_answers: bool = True,
    relation: str | None = None,
    form: str = "cloze",
    config: str | None = "trex",
    split: str = "train",
    revision: str | None = None,
) -> Dataset:
    """LAMA's T-REx facts (Petroni et al. 2019), from the Hub's rows or from a relation file such as `P19.jsonl`.

    The Hub's rows repeat a fact for every sentence that states it; here it is one question.

    Args:
        relation: only this `predicate_id`, such as "P19" (place of birth).
        form: "cloze" asks with the template up to its gap ("[X] was born in"), as the benchmark does; "question"
            with a question of ours, for P19 and P20, as models fine-tuned on questions expect.

    The other arguments and the errors are those of `load_popqa`; `ValueError` also for another `form`, and for a
    relation without a template, a question, or a gap that comes after the subject.
    """
    if form not in ("cloze", "question"):
        raise ValueError(f"form must be 'cloze' or 'question', not {form!r}")
    columns = ("sub_label", "obj_label", "predicate_id", *(("template",) if _has_templates(source) else ()))
    rows = read_rows(source, columns, config=config, split=split, revision=revision)
    parsed = (
        (_lama_question(row, form, number, source), [row["obj_label"]], row["sub_label"], row["predicate_id"])
        for number, row in enumerate(_of_relation(rows, "predicate_id", relation, source), start=1)
    )
    return _dataset(parsed, source, with_answers, ATTRIBUTE_FEATURES)


HUB_QUESTION_SETS = {
    "popqa": with_options(load_popqa),
    "trivia_qa": with_options(load_trivia_qa),
    "nq_open": with_options(load_nq_open),
    "lama": with_options(load_lama),
}


def _is_archive(source: str | Path) -> bool:
    """Whether a file is one of TriviaQA's own archive: an object whose "Data" is a list of questions."""
    path = Path(source)
    if path.suffix != ".json" or not path.is_file():
        return False
    rows = read_rows(source, ())
    return "Question" in next(iter(rows))


def _has_templates(source: str | Path) -> bool:
    """A relation file of LAMA's archive has none; everything else does."""
    return not Path(source).is_file() or Path(source).stem not in LAMA_TEMPLATES


def _lama_question(row: dict, form: str, number: int, source: str | Path) -> str:
    relation, subject = row["predicate_id"], row["sub_label"]
    if form == "question":
        if relation not in LAMA_QUESTIONS:
            raise ValueError(
                f"{source}: row {number}: no question is known for relation {relation}; known: "
                f"{', '.join(LAMA_QUESTIONS)}. Choose one of them with relation=, or form=cloze"
            )
        return LAMA_QUESTIONS[relation].format(subject)
    template = row.get("template") or LAMA_TEMPLATES.get(relation, "")
    before, gap, _ = template.partition("[Y]")
    if not gap or "[X]" not in before:
        raise ValueError(
            f"{source}: row {number}: relation {relation} has the template {template!r}; a model that reads from "
            "left to right needs one with [X] before [Y]. Choose other relations with relation="
        )
    return before.replace("[X]", subject).strip()


def _of_relation(rows: Iterable[dict], column: str, relation: str | None, source: str | Path) -> Iterable[dict]:
    """The rows of one relation, all of them for None."""
    if relation is None:
        yield from rows
        return
    seen = set()
    for row in rows:
        seen.add(row[column])
        if row[column].casefold() == relation.casefold():
            yield row
    if relation.casefold() not in {name.casefold() for name in seen}:
        raise ValueError(f"{source} has no relation {relation!r}; it has: {', '.join(sorted(seen))}")


def _accepted(row: dict, number: int, source: str | Path) -> list[str]:
    """PopQA's canonical object, then its other names."""
    possible = row["possible_answers"]
    if isinstance(possible, str):  # as published: a list written as JSON
        try:
            possible = json.loads(possible)
        except json.JSONDecodeError as error:
            raise ValueError(f"{source}: row {number}: possible_answers is not JSON ({error})") from error
    return [row["obj"], *_texts(possible, "possible_answers", number, source)]


def _texts(value: Any, column: str, number: int, source: str | Path) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{source}: row {number}: {column} has to be a list of texts, got {value!r:.60}")
    return value


def _entity(question: str) -> str:
    """Whom a question asks about, also where it is written without its question mark."""
    asked = question.strip()
    entity = entity_of_question(asked.rstrip("?") + "?")
    return asked if entity.endswith("?") else entity


def _dataset(parsed: Iterable[_Row], source: str | Path, with_answers: bool, features: Features) -> Dataset:
    """Rows checked, and those of the same question made one."""
    found = collect_questions(_checked(parsed, source, with_answers, len(features)), features)
    if not found.num_rows:
        raise ValueError(f"{source} has no rows")
    if len(found.dataset) < found.num_rows:
        logger.warning(
            "%s: %d rows ask %d different questions; answers merged", source, found.num_rows, len(found.dataset)
        )
    return found.dataset


def _checked(
    parsed: Iterable[_Row], source: str | Path, with_answers: bool, width: int
) -> Iterator[tuple[Any, ...]]:
    """Number of a row and as many of its columns as are wanted."""
    for count, (question, answers, entity, attribute) in enumerate(parsed, start=1):
        question, entity = (question or "").strip(), (entity or "").strip()
        answers = [text.strip() for text in answers if text and text.strip()]
        if not question:
            raise ValueError(f"{source}: row {count} has no question")
        if with_answers and not answers:
            raise ValueError(
                f"{source}: row {count} has no answer: {question!r}; a file of questions alone is read with "
                "--without_answers (with_answers=False in Python)"
            )
        if answers and not with_answers:
            raise ValueError(
                f"{source}: row {count} has an answer, but the file is to hold questions alone: leave out "
                "--without_answers (with_answers=False in Python)"
            )
        columns = question, list(dict.fromkeys(answers)), entity or question, attribute
        yield count, *columns[:width]
