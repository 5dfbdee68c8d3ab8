"""Question files: tab-separated or JSON lines, read line by line, with complaints that name file and line."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value

from closedbook.data.question_columns import OnConflict, collect_questions
from closedbook.data.question_format import QUESTION_FEATURES, entity_of_question
from closedbook.data.text_files import HALF_CHARACTER, misspelt_keys, parse_json, stream_lines

logger = logging.getLogger(__name__)

_ROUNDED = 1e-3  # that probabilities may be off 1 together, being rounded
# Of questions that a reader has answered: what it held possible, and how probable.
SELF_FEATURES = Features(
    QUESTION_FEATURES | {"candidates": List(Value("string")), "probabilities": List(Value("float64"))}
)


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
    found = collect_questions(_rows(path, with_answers), QUESTION_FEATURES, on_conflict)
    if found.num_conflicts and on_conflict == "error":
        again = found.first_conflict
        assert again is not None, "there is one"
        raise ValueError(
            f"{path}:{again.line}: {again.question!r} is answered {again.answers[0]!r}, "
            f"but {again.first_answers[0]!r} in line {again.first_line} ({found.num_conflicts} such conflicts in "
            "the file): correct it; --questions cs224n keeps both lines (in Python: on_conflict='first', 'merge' "
            "or 'keep')"
        )
    if found.num_repeated:
        logger.warning("%s: dropped %d repeated lines (same question, same answers)", path, found.num_repeated)
    return found.dataset


def _rows(path: str | Path, with_answers: bool) -> Iterator[tuple[int, str, list[str], str]]:
    """Line, question, answers and entity of every line that is not blank."""
    parse = _parse_json_line if Path(path).suffix == ".jsonl" else _parse_tab_line
    is_first = True
    for number, line in stream_lines(path):
        try:
            question, answers, entity = parse(line, with_answers)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        if is_first and parse is _parse_tab_line and _is_header(question, answers):
            raise ValueError(
                f"{path}:{number}: {line[:60]!r} is a header, and would be asked as a question: delete the line"
            )
        is_first = False
        yield number, question, answers, entity or entity_of_question(question)


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


def _parse_json(line: str) -> Any:
    try:
        return parse_json(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}): write one object a line") from error


def _parse_json_line(line: str, with_answers: bool) -> tuple[str, list[str], str]:
    record = _parse_json(line)
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


def load_self_questions(path: str | Path, *, with_answers: bool = True) -> Dataset:
    """Questions that a reader asked itself, as `scripts/experiments/self_questions.py` writes them.

    JSON lines with `question`, `entity`, `answers` (the likeliest candidate), `candidates` and their
    `probabilities`.

    Raises:
        ValueError: with the file and line of what is no such question.
    """
    rows = [row for row, _ in self_rows(path)]
    if not with_answers:
        rows = [row | {"answers": [], "candidates": [], "probabilities": []} for row in rows]
    return Dataset.from_list(rows, features=SELF_FEATURES)


_OF_SELF_QUESTIONS: dict[str, Callable[[Any], bool]] = {
    "question": lambda value: isinstance(value, str),
    "entity": lambda value: isinstance(value, str),
    "candidates": lambda value: isinstance(value, list) and bool(value),
    "probabilities": lambda value: isinstance(value, list) and all(map(_is_probability, value)),
}


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def self_rows(path: str | Path) -> Iterator[tuple[dict[str, Any], bool]]:
    """Rows of `load_self_questions`, each with whether it is a label, which a reader learned from.

    Files that do not say it (`labelled`) are of an earlier version: there whoever is sure may be one of them.

    Raises:
        ValueError: with the file and line of what is no such question.
    """
    for number, line in stream_lines(path):
        try:
            row = _parse_self_line(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        yield row


def _parse_self_line(line: str) -> tuple[dict[str, Any], bool]:
    record = _parse_json(line)
    record = record if isinstance(record, dict) else {}
    wrong = [name for name, is_right in _OF_SELF_QUESTIONS.items() if not is_right(record.get(name))]
    if not wrong and len(record["candidates"]) != len(record["probabilities"]):
        wrong = ["probabilities"]
    if wrong:
        raise ValueError(
            f"no {' and '.join(wrong)} of a question that a reader has answered: this is a file for --questions "
            "file, or make one with scripts/experiments/self_questions.py"
        )
    if abs(sum(record["probabilities"]) - 1) > _ROUNDED:
        raise ValueError(
            f"the probabilities come to {sum(record['probabilities']):g}, not to 1: make the file again"
        )
    labelled = record.get("labelled")
    if not (labelled is None or isinstance(labelled, bool)):
        raise ValueError(f"'labelled' has to be true or false, got {json.dumps(labelled)[:60]}")
    row = {name: _json_text(record[name], name) for name in ("question", "entity")}
    candidates = [_json_text(answer, "candidate") for answer in record["candidates"]]
    best = max(zip(record["probabilities"], candidates, strict=True))[1]
    answered = {"candidates": candidates, "probabilities": record["probabilities"], "answers": [best]}
    return row | answered, record["probabilities"] == [1.0] if labelled is None else labelled
