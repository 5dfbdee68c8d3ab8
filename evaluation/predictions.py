"""Rows of predictions.jsonl: write, read and check them, match them with questions, take confidences out."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from closedbook.evaluation.answering.answers import Answer, ScoredAnswer
from closedbook.evaluation.files import open_atomic, read_bytes, write_jsonl_atomic
from closedbook.evaluation.metrics.exact_match.matching import is_match

if TYPE_CHECKING:
    from datasets import Dataset

_REQUIRED = ("question", "entity", "answers", "prediction", "correct", "confidence", "complete")


# All that str.splitlines breaks at, so that any reader of a file finds one answer a line.
_LINE_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


def write_predictions(
    path: str | Path, questions: "Dataset", answers: Sequence[Answer] | Sequence[ScoredAnswer]
) -> None:
    """Write one JSON line a question: the rows of `prediction_rows`.

    Args:
        path: The file to write, predictions.jsonl by custom.
        questions, answers: As for `prediction_rows`.

    Raises:
        ValueError: If the numbers of questions and answers differ.
    """
    write_jsonl_atomic(path, prediction_rows(questions, answers))


def prediction_rows(
    questions: "Dataset | Sequence[Mapping[str, Any]]", answers: Sequence[Answer] | Sequence[ScoredAnswer]
) -> list[dict[str, Any]]:
    """What was asked, accepted and answered, and how sure the model was; here, and only here, an answer is judged.

    Fields: question, entity, answers (the accepted ones), prediction, correct (exact match; null where no
    answer is known), confidence (the model's probability of the whole answer, end mark included), complete
    (whether it ended). Of scored answers also confidences (by name) and candidates (`text`, `log_probability`, the
    most probable first).

    Args:
        questions: With `question`, `answers` and `entity`, in the order in which `answers` were given.
        answers: One a question.

    Raises:
        ValueError: If the numbers of questions and answers differ.
    """
    if len(questions) != len(answers):
        raise ValueError(f"there are {len(answers)} answers to {len(questions)} questions.")
    pairs: Iterable[tuple[Any, Any]] = zip(questions, answers, strict=True)
    return [_prediction_row(question, answer) for question, answer in pairs]


def _prediction_row(question: Mapping[str, Any], answer: Answer | ScoredAnswer) -> dict[str, Any]:
    scored, plain = (answer, answer.answer) if isinstance(answer, ScoredAnswer) else (None, answer)
    row = {
        "question": question["question"],
        "entity": question["entity"],
        "answers": question["answers"],
        "prediction": plain.text,
        "correct": is_match(plain.text, question["answers"]) if question["answers"] else None,
        "confidence": plain.confidence,
        "complete": plain.complete,
    }
    if scored is not None:
        row["confidences"] = scored.confidences
        row["candidates"] = [asdict(candidate) for candidate in scored.candidates]
    return row


def write_plain_predictions(path: str | Path, answers: Iterable[str]) -> None:
    """Write the course's plain format: one answer a line, with spaces for line breaks inside an answer."""
    with open_atomic(path) as file:
        file.writelines(_LINE_BREAK.sub(" ", answer) + "\n" for answer in answers)


def read_predictions(path: str | Path) -> list[dict[str, Any]]:
    """Read a predictions.jsonl, one object a line; optional fields may be absent.

    Returns:
        The rows as they stand in the file.

    Raises:
        ValueError: If there is no row, or one is not a prediction; the message names file and line.
    """
    rows = []
    for number, line in enumerate(read_bytes(path).splitlines(), start=1):
        try:
            rows.append(_checked(line.decode("utf-8")))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {number} is not UTF-8 ({error}): restore the file") from error
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not rows:
        raise ValueError(f"{path} holds no predictions; scripts/evaluate.py writes them.")
    return rows


def _checked(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"this is not readable as JSON ({error}).") from error
    if not isinstance(row, dict):
        raise ValueError(f"a prediction is a JSON object, but this is {line[:60]!r}.")
    missing = [name for name in _REQUIRED if name not in row]
    if missing:
        raise ValueError(f"the prediction lacks {', '.join(missing)}.")
    for name in ("question", "entity", "prediction"):
        if not isinstance(row[name], str):
            raise ValueError(f"{name} has to be a text, but is {row[name]!r}.")
    if not isinstance(row["answers"], list) or not all(isinstance(answer, str) for answer in row["answers"]):
        raise ValueError(f"answers has to be a list of texts, but is {row['answers']!r}.")
    if not (row["correct"] is None or isinstance(row["correct"], bool)):
        raise ValueError(f"correct has to be true, false or null, but is {row['correct']!r}.")
    for name in ("complete", "refused"):
        if not isinstance(row.get(name, False), bool):
            raise ValueError(f"{name} has to be true or false, but is {row[name]!r}.")
    named = row.get("confidences", {})
    if not isinstance(named, dict):
        raise ValueError(f"confidences has to be an object of numbers by name, but is {named!r}.")
    for name, value in {"confidence": row["confidence"], **named}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f"{name} has to be a number in [0, 1], but is {value!r}.")
    return row


def match_questions(
    predictions: Sequence[Mapping[str, Any]], questions: Iterable[Mapping[str, Any] | str]
) -> None:
    """Refuse predictions that are not those for `questions`, one for one and in their order.

    Args:
        predictions: Rows of predictions.jsonl.
        questions: Records with `question`, and `answers` where they are known; or the questions alone.

    Raises:
        ValueError: Showing the first pair that does not match, or where one list ends before the other.
    """
    asked = [{"question": question} if isinstance(question, str) else question for question in questions]
    for number, (row, question) in enumerate(zip(predictions, asked, strict=False), start=1):
        for name in ("question", "answers"):
            if name in question and row[name] != question[name]:
                raise ValueError(
                    f"prediction {number} does not match question {number}: its {name} is {row[name]!r}, but that "
                    f"of the question file is {question[name]!r}. Predict again, or name the file that was asked."
                )
    if len(predictions) != len(asked):
        first = min(len(predictions), len(asked))
        rest = predictions if len(predictions) > first else asked
        raise ValueError(
            f"there are {len(predictions)} predictions for {len(asked)} questions; the first without a partner is "
            f"number {first + 1}: {rest[first]['question']!r}."
        )


def check_disjoint(held_out: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to fit on people on whom the fit is to be checked.

    Raises:
        ValueError: Naming the first entity that is in both.
    """
    from closedbook.data.questions import entity_key  # brings the library datasets, which no reader needs

    fitted = {entity_key(row["entity"]) for row in held_out}
    for number, row in enumerate(predictions, start=1):
        if entity_key(row["entity"]) in fitted:
            raise ValueError(
                f"prediction {number} is about {row['entity']!r}, on whom something is fitted: use "
                "people that share no entity (data.questions.split_by_entity)."
            )


def confidence_of(row: Mapping[str, Any], confidence: str = "sequence_probability") -> float:
    """The named confidence of a row of predictions.jsonl; the field `confidence` is the sequence probability.

    Raises:
        ValueError: if the row lacks it, or it is not a probability.
    """
    known = {"sequence_probability": row.get("confidence")} | (row.get("confidences") or {})
    if confidence not in known:
        raise ValueError(
            f"the prediction for {row.get('question')!r} has no confidence {confidence!r}, only "
            f"{', '.join(known)}: write predictions with scripts/knowing.py"
        )
    value = known[confidence]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"the prediction for {row.get('question')!r} has confidence {value!r}, not one in [0, 1]")
    return value


def confidence_and_verdict(
    predictions: Sequence[Mapping[str, Any]], confidence: str = "sequence_probability"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns of the rows: the named confidence (float64), whether the answer is right, whether it was refused.

    The field `confidence`, which every row has, is the sequence probability.

    Raises:
        ValueError: If there is no row, or one lacks the confidence or a verdict.
    """
    if not predictions:
        raise ValueError("there are no predictions.")
    values, correct = [], []
    for number, row in enumerate(predictions, start=1):
        try:
            values.append(confidence_of(row, confidence))
        except ValueError as error:
            raise ValueError(f"prediction {number}: {error}") from error
        if row["correct"] is None:
            raise ValueError(f"prediction {number} has no verdict (correct is null): use questions with answers.")
        correct.append(row["correct"])
    refused = [row.get("refused", False) for row in predictions]
    return np.array(values, dtype=np.float64), np.array(correct, dtype=bool), np.array(refused, dtype=bool)
