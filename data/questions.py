"""Questions: named loaders that give `question`, `answers` and `entity`, and checks made before training.

`answers` is a list: the canonical answer first, the aliases after it, and empty where nobody gave one.
`entity` is whom or what the question asks about; two questions with the same entity must not stand on both
sides of an evaluation, so splits and overlaps go by entity and never by row.

To add a question set: write its loader here and give it a line in `QUESTION_SETS`. Published sets in columns of
their own are in `hub_questions.py`.
"""

import hashlib
import json
import logging
import unicodedata
from collections.abc import Container
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset

from closedbook.data.hub_questions import ATTRIBUTE_FEATURES, HUB_QUESTION_SETS
from closedbook.data.hub_rows import with_options
from closedbook.data.question_format import QUESTION_FEATURES, entity_of_question
from closedbook.data.real_facts import REAL_FACTS, real_facts
from closedbook.data.text_files import HALF_CHARACTER, misspelt_keys, numbered_lines, parse_json

logger = logging.getLogger(__name__)

# Padding and mask token of the character tokenizer: in a question they would be read as structure.
SPECIAL_CHARACTERS = "\u25a1\u2047"

OnConflict = Literal["error", "first", "merge", "keep"]


@dataclass(frozen=True)
class _Row:
    line: int
    question: str
    answers: list[str]
    entity: str


def entity_key(entity: str) -> str:
    """What makes two spellings the same entity: equal after Unicode NFKC, case folding and single spaces."""
    return " ".join(unicodedata.normalize("NFKC", entity).casefold().split())


def load_question_file(
    path: str | Path, *, with_answers: bool = True, on_conflict: OnConflict = "error"
) -> Dataset:
    """Questions of a UTF-8 file, in its order: tab-separated, or JSON lines where the name ends in `.jsonl`.

    A tab-separated line is `question<TAB>answer`, without quoting; a JSON line is an object with `question`,
    either `answers` (a list) or `answer`, optionally `aliases` and `entity`; other keys are not read.
    `with_answers=False` is for files that hold questions alone, and refuses any answer it meets, so that
    labels are not lost by mistake. White space around a question or an answer is dropped, blank lines are
    skipped, and every character inside is kept, ASCII or not.

    A question that comes back with the same answers is dropped, with one warning for the file. What happens
    when it comes back with other answers is `on_conflict`:
    - `"error"`, the default, because such a file is usually broken: names both lines;
    - `"first"`: the earlier line wins;
    - `"merge"`: one row, and the later answers become aliases (for evaluation: either answer is right);
    - `"keep"`: both rows stay (for training as the reference does, see `load_cs224n`).

    Raises `ValueError` or `FileNotFoundError` with the file, the line and what to do about it.
    """
    if on_conflict not in ("error", "first", "merge", "keep"):
        raise ValueError(f"on_conflict={on_conflict!r} is unknown: use 'error', 'first', 'merge' or 'keep'")
    parse = _parse_json_line if Path(path).suffix == ".jsonl" else _parse_tab_line
    rows: list[_Row] = []
    for number, line in numbered_lines(path):
        try:
            question, answers, entity = parse(line, with_answers)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        if not rows and parse is _parse_tab_line and _is_header(question, answers):
            raise ValueError(
                f"{path}:{number}: {line[:60]!r} is a header, and would be asked as a question: delete the line"
            )
        rows.append(_Row(number, question, answers, entity or entity_of_question(question)))
    rows = _resolve_repeats(rows, path, on_conflict)
    columns = {name: [getattr(row, name) for row in rows] for name in QUESTION_FEATURES}
    return Dataset.from_dict(columns, features=QUESTION_FEATURES)


def load_cs224n(path: str | Path, *, with_answers: bool = True) -> Dataset:
    """Questions of CS224N's `birth_*.tsv`, row for row as the reference reads them.

    Its training file asks about nine people twice with different answers (Beijing, then China), so conflicts
    are kept: 2,000 rows. The file of test questions has no answers: `with_answers=False`.
    """
    return load_question_file(path, with_answers=with_answers, on_conflict="keep")


def load_real_facts(
    name: str, split: str, *, with_answers: bool = True, relation: str | None = None, wordings: str | int = 1
) -> Dataset:
    """Questions about real facts (see `real_facts.py`), of the `train` or `test` part of the subjects, or `all`.

    Six subjects of ten are in `train`; nobody is in both. The further column `attribute` is the relation.

    Args:
        name: a field, such as "elements".
        split: the part.
        with_answers: `False` leaves the answers out.
        relation: only this one.
        wordings: how many of the wordings each fact is asked in, from the plainest on.

    Raises:
        ValueError: for another split, relation or number of wordings, naming what there is; where a package is
            missing.
    """
    facts = real_facts(name)
    relations = list(REAL_FACTS[name].relations)
    if split not in (*FACT_SPLITS, "all"):
        raise ValueError(f"{name} has no split {split!r}; it has: {', '.join(FACT_SPLITS)}, all")
    if relation is not None and relation not in relations:
        raise ValueError(f"{name} has no relation {relation!r}; it has: {', '.join(relations)}")
    most = min(map(len, facts["questions"]))
    if str(wordings) not in map(str, range(1, most + 1)):
        raise ValueError(f"wordings={wordings} of {name}: give 1 to {most}")
    rows = [
        {
            "question": question,
            "answers": fact["answers"] if with_answers else [],
            "entity": fact["subject"],
            "attribute": fact["relation"],
        }
        for fact in facts
        if relation in (None, fact["relation"])
        for question in fact["questions"][: int(wordings)]
    ]
    questions = Dataset.from_list(rows, features=ATTRIBUTE_FEATURES)
    return questions if split == "all" else split_by_entity(questions, FACT_SPLITS, seed=0)[split]


QUESTION_SETS = {
    "file": load_question_file,
    "cs224n": load_cs224n,
    **HUB_QUESTION_SETS,
    **{name: with_options(partial(load_real_facts, name)) for name in REAL_FACTS},
}
FACT_SPLITS = {"train": 0.6, "test": 0.4}  # shares of the subjects


_HEADERS = (
    ("question", "questions", "query", "prompt", "input", "text"),
    (
        "answer",
        "answers",
        "target",
        "output",
        "label",
        "birth_place",
        "place",
    ),
)


def _is_header(question: str, answers: list[str]) -> bool:
    """Whether a first line names columns instead of asking something."""
    names = [name.strip(" \"'#").casefold() for name in (question, *answers)]
    return all(name in known for name, known in zip(names, _HEADERS, strict=False))


def _parse_tab_line(line: str, with_answers: bool) -> tuple[str, list[str], str]:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) == 1 and with_answers:
        raise ValueError(
            f"no tab in {line[:60]!r}: write `question<TAB>answer`, "
            "or say that the file holds questions alone: --without_answers "
            "(with_answers=False in Python)"
        )
    if len(fields) > 2:
        raise ValueError(f"{len(fields) - 1} tabs in {line[:60]!r}: one tab parts the question from its answer")
    if not fields[0]:
        raise ValueError("the question is empty: write one before the tab, or delete the line")
    if len(fields) == 2 and not with_answers:
        raise ValueError(
            "there is an answer, but the file is to hold questions alone: leave out --without_answers "
            "(with_answers=False in Python)"
        )
    if with_answers and not fields[1]:
        raise ValueError(f"the answer to {fields[0]!r} is empty: write one after the tab, or delete the line")
    return fields[0], fields[1:], ""


_JSON_KEYS = ("question", "answers", "answer", "aliases", "entity")


def _parse_json_line(line: str, with_answers: bool) -> tuple[str, list[str], str]:
    try:
        record = parse_json(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}): write one object a line") from error
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {line[:60]!r}")
    if misspelt := misspelt_keys(record, _JSON_KEYS):
        raise ValueError(f"keys that are not read: {', '.join(misspelt)}: rename them, or leave them out")
    question = _json_text(record.get("question"), "question")
    entity = "" if record.get("entity") is None else _json_text(record["entity"], "entity")
    has_list, has_one = record.get("answers") is not None, record.get("answer") is not None
    if has_list and has_one:
        raise ValueError("both 'answers' and 'answer' are given: keep one of them")
    canonical = record["answers"] if has_list else [record["answer"]] if has_one else []
    aliases = [] if record.get("aliases") is None else record["aliases"]
    for name, values in (("answers", canonical), ("aliases", aliases)):
        if not isinstance(values, list):
            raise ValueError(f"{name!r} has to be a list of texts, got {values!r:.60}")
    answers = [_json_text(answer, "answer") for answer in canonical]
    answers += [_json_text(alias, "alias") for alias in aliases]
    if with_answers and not canonical:
        raise ValueError(
            "no answer: give 'answers' or 'answer', or say that the file holds questions alone: --without_answers "
            "(with_answers=False in Python)"
        )
    if answers and not with_answers:
        raise ValueError(
            "there is an answer, but the file is to hold questions alone: leave out --without_answers "
            "(with_answers=False in Python)"
        )
    return question, list(dict.fromkeys(answers)), entity


def _json_text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"the {name} has to be a text, got {json.dumps(value)[:60]}")
    if not value.strip():
        raise ValueError(f"the {name} is empty: fill it in, or delete the line")
    if HALF_CHARACTER.search(value):
        raise ValueError(f"the {name} {value!r:.60} holds half a surrogate pair, which is no character: repair it")
    if "\0" in value:
        raise ValueError(f"the {name} {value!r:.60} holds a NUL (U+0000), which no text has: repair it")
    return value.strip()


def _resolve_repeats(rows: list[_Row], path: str | Path, on_conflict: OnConflict) -> list[_Row]:
    """Rows without repeated ones, conflicts resolved; the order is that of each question's first line."""
    kept: dict[str, list[_Row]] = {}
    num_repeated, conflicts = 0, []
    for row in rows:
        earlier = kept.setdefault(row.question, [])
        if any(set(row.answers) == set(other.answers) for other in earlier):
            num_repeated += 1
            continue
        if earlier:
            conflicts.append((earlier[0], row))
        earlier.append(row)
    if conflicts and on_conflict == "error":
        first, again = conflicts[0]
        raise ValueError(
            f"{path}:{again.line}: {again.question!r} is answered {again.answers[0]!r}, "
            f"but {first.answers[0]!r} in line {first.line} ({len(conflicts)} such conflicts in the file): "
            "correct it; --questions cs224n keeps both lines (in Python: on_conflict='first', 'merge' or 'keep')"
        )
    if num_repeated:
        logger.warning("%s: dropped %d repeated lines (same question, same answers)", path, num_repeated)
    if on_conflict == "keep":
        return sorted((row for group in kept.values() for row in group), key=lambda row: row.line)
    if on_conflict == "merge":
        return [_merged(group) for group in kept.values()]
    return [group[0] for group in kept.values()]


def _merged(group: list[_Row]) -> _Row:
    answers = list(dict.fromkeys(answer for row in group for answer in row.answers))
    return _Row(group[0].line, group[0].question, answers, group[0].entity)


def split_by_entity(dataset: Dataset, fractions: dict[str, float], seed: int) -> dict[str, Dataset]:
    """Parts that share no entity, such as `{"train": 0.8, "dev": 0.2}`; the fractions are of entities.

    Works on any dataset with an `entity` column. Entities are ordered by a hash of `(seed, entity_key)` and
    cut where the running sum of the fractions falls. So the parts depend on the seed and on which entities
    there are, not on the order of rows, the process or the machine, and a new entity moves few others. Rows
    keep their order within a part.

    Raises `ValueError` where fractions are not positive, do not sum to 1, or leave a part without an entity.
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-9:
        raise ValueError(f"fractions have to be positive and sum to 1, got {fractions}")
    keys = [entity_key(entity) for entity in dataset["entity"][:]]
    ordered = sorted(set(keys), key=lambda key: hashlib.sha256(f"{seed}\t{key}".encode()).digest())
    parts, begin, running_sum = {}, 0, 0.0
    for name, fraction in fractions.items():
        running_sum += fraction
        end = round(running_sum * len(ordered))
        if begin == end:
            raise ValueError(
                f"{fraction} of {len(ordered)} entities leaves part {name!r} empty: raise its fraction, "
                "or bring more entities"
            )
        members = set(ordered[begin:end])
        parts[name] = dataset.select([row for row, key in enumerate(keys) if key in members])
        begin = end
    return parts


def find_overlap(train: Dataset, held_out: Dataset) -> list[str]:
    """Entities that both datasets ask about, sorted, each once and spelled as in `held_out`."""
    in_train = {entity_key(entity) for entity in train["entity"][:]}
    shared = {}
    for entity in held_out["entity"][:]:
        key = entity_key(entity)
        if key in in_train:
            shared.setdefault(key, entity)
    return sorted(shared.values())


def remove_overlap(train: Dataset, *evaluation_sets: Dataset) -> tuple[Dataset, list[str]]:
    """Training rows whose entity no evaluation set asks about, and the sorted names of the entities removed.

    It is always the training side that gives up rows, so that scores stay comparable with published ones.
    The names are logged as a warning.

    Raises `ValueError` where no training row would be left.
    """
    names: dict[str, str] = {}
    for held_out in evaluation_sets:
        for name in find_overlap(train, held_out):
            names.setdefault(entity_key(name), name)
    removed = sorted(names.values())
    if not removed:
        return train, []
    rows = [row for row, entity in enumerate(train["entity"][:]) if entity_key(entity) not in names]
    if not rows:
        raise ValueError(
            f"all {len(train)} training questions ask about entities of the evaluation: "
            "load other training questions, or evaluate on others"
        )
    logger.warning(
        "removed %d training questions about %d entities that are also evaluated: %s",
        len(train) - len(rows),
        len(removed),
        ", ".join(removed),
    )
    return train.select(rows), removed


def check_fit(
    questions: Dataset, *, block_size: int, vocabulary: Container[str], answer_room: int | None = None
) -> None:
    """Raises `ValueError` for questions that a character model cannot take, before any training is paid for.

    A row has to fit in `block_size` characters: the question, the mask token, the answer, the closing mask
    token. For training leave `answer_room` at None: the answer is the row's own, canonical one. For questions
    to be answered, `answer_room` is how many characters, with the closing mask token, may be generated. Every
    character of the question (and of the trained answer) has to be in `vocabulary`, and none may be a special
    character. The message names up to five offenders, each with its length and the limit.
    """
    offenders = []
    for row in questions.select_columns(["question", "answers"]):
        question, answers = row["question"], row["answers"]
        if answer_room is None and not answers:
            offenders.append(f"{question!r} has no answer to train on")
            continue
        answer = answers[0] if answer_room is None else ""
        room = len(answer) + 1 if answer_room is None else answer_room
        length = len(question) + 1 + room
        if length > block_size:
            offenders.append(
                f"{question!r} takes {length} characters (question {len(question)}, mask token 1, "
                f"answer with its end {room}), the block has {block_size}"
            )
        unknown = sorted({c for c in question + answer if c not in vocabulary or c in SPECIAL_CHARACTERS})
        if unknown:
            listed = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in unknown)
            offenders.append(f"{question!r} holds characters that are special or unknown to the model: {listed}")
    if offenders:
        more = f"\n- and {len(offenders) - 5} more" if len(offenders) > 5 else ""
        raise ValueError(
            f"{len(offenders)} complaints about {len(questions)} questions. Shorten or drop them, or use "
            "a larger block, or a tokenizer built from text with these characters:\n- "
            + "\n- ".join(offenders[:5])
            + more
        )
