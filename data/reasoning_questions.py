"""Questions that are answered by a number, with the reasoning that leads there: for chains of thought."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value

from closedbook.data.text_files import misspelt_keys, numbered_lines, parse_json

logger = logging.getLogger(__name__)

REASONING_FEATURES = Features(
    {"question": Value("string"), "answer": Value("string"), "rationale": Value("string")}
)

# What GSM8K as published puts between the rationale and the number, and its calculator's marks.
GSM8K_MARKER = "####"
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")

# Plain numbers alone: an answer that needs interpretation would be right or wrong by luck.
_NUMBER = re.compile(r"-?(?:(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)|\d{1,3}(?:,\d{3})+|\d+|\d+/0*[1-9]\d*)")


def load_reasoning_questions(path: str | Path) -> Dataset:
    """Questions of a UTF-8 file of JSON lines, in its order: columns `question`, `answer`, `rationale`.

    A line is an object with `question` (a text), `answer` (a number, or a text that is nothing but one: `72`,
    `-7.5`, `1,200`, `3/4`) and optionally `rationale` (a text); other keys are not read. An answer as GSM8K
    publishes it, rationale and number with `####` between them, is taken apart, and its calculator's marks
    `<<48/2=24>>` are dropped. Numbers stay as written, less thousands commas; a missing rationale is "".

    A question that comes back with the same answer is dropped, with one warning for the file.

    Raises `FileNotFoundError` or `ValueError` with the file, the line, and what to do about it; also for an answer
    that is no number, and for a question that comes back with another answer.
    """
    rows: dict[str, tuple[int, dict[str, str]]] = {}
    num_repeated = 0
    for number, line in numbered_lines(path):
        try:
            row = _parse(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        first_line, first = rows.setdefault(row["question"], (number, row))
        if first["answer"] != row["answer"]:
            raise ValueError(
                f"{path}:{number}: {row['question']!r:.80} is answered {row['answer']}, but {first['answer']} in "
                f"line {first_line}: correct one of them"
            )
        num_repeated += first_line != number
    if num_repeated:
        logger.warning("%s: dropped %d repeated lines (same question, same answer)", path, num_repeated)
    columns = {name: [row[name] for _, row in rows.values()] for name in REASONING_FEATURES}
    return Dataset.from_dict(columns, features=REASONING_FEATURES)


def _parse(line: str) -> dict[str, str]:
    try:
        record = parse_json(line, parse_float=_Digits, parse_int=_Digits)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error}): write one object a line") from error
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {line[:60]!r}")
    if misspelt := misspelt_keys(record, REASONING_FEATURES):
        raise ValueError(f"keys that are not read: {', '.join(misspelt)}: rename them, or leave them out")
    question = _text(record.get("question"), "question")
    if not question:
        raise ValueError("the question is empty: write one, or delete the line")
    answer, rationale = record.get("answer"), record.get("rationale")
    if answer is None:
        raise ValueError("no answer: give the number under 'answer'")
    answer, rationale = _text(answer, "answer"), "" if rationale is None else _text(rationale, "rationale")
    if GSM8K_MARKER in answer:
        if rationale:
            raise ValueError(f"a rationale stands in 'rationale' and before {GSM8K_MARKER}: keep one of them")
        before, _, answer = answer.rpartition(GSM8K_MARKER)
        rationale, answer = _CALCULATOR.sub("", before).strip(), answer.strip()
    if not _NUMBER.fullmatch(answer):
        raise ValueError(
            f"the answer {answer!r:.60} is not a plain number: write digits alone, such as 72, -7.5, 1,200 or 3/4"
        )
    return {"question": question, "answer": answer.replace(",", ""), "rationale": rationale}


class _Digits(str):
    """A number of JSON as it was written, so that 0.1 stays a tenth."""


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or (name != "answer" and isinstance(value, _Digits)):
        raise ValueError(f"the {name} has to be a text, got {value!r:.60}")
    if "\0" in value:
        raise ValueError(f"the {name} {value!r:.60} holds a NUL (U+0000), which no text has: repair it")
    return value.strip()
