"""Prediction files are read in full or refused by file and line, and matched with what was asked."""

import json
import os

import pytest
from datasets import Dataset

from closedbook.evaluation.answering.closed_book import Answer
from closedbook.evaluation.predictions import (
    check_disjoint,
    confidence_and_verdict,
    match_questions,
    read_predictions,
    write_plain_predictions,
    write_predictions,
)


def row(number: int = 0, **fields) -> dict:
    return {
        "question": f"Where was Person {number} born?",
        "entity": f"Person {number}",
        "answers": ["Oslo"],
        "prediction": "Rome",
        "correct": False,
        "confidence": 0.25,
        "complete": True,
        **fields,
    }


def write(path, *lines: str):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [row(0), row(1, prediction="a\u2028b", correct=None, refused=True, confidences={"margin": 1}, note=3)]
    path = write(tmp_path / "predictions.jsonl", *(json.dumps(r, ensure_ascii=False) for r in rows))
    assert read_predictions(path) == rows


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not readable as JSON"),
        ("", "not readable as JSON"),
        ("[1]", r"a JSON object, but this is '\[1\]"),
        (json.dumps({"question": "Who?"}), "lacks entity, answers, prediction"),
        (json.dumps(row(prediction=None)), "prediction has to be a text, but is None"),
        (json.dumps(row(answers="Oslo")), "answers has to be a list of texts"),
        (json.dumps(row(correct=1)), "correct has to be true, false or null, but is 1"),
        (json.dumps(row(complete="yes")), "complete has to be true or false"),
        (json.dumps(row(refused=0)), "refused has to be true or false"),
        (json.dumps(row(confidence=1.5)), r"confidence has to be a number in \[0, 1\], but is 1.5"),
        (json.dumps(row(confidence=True)), "confidence has to be a number"),
        (json.dumps(row(confidence=float("nan"))), "confidence has to be a number"),
        (json.dumps(row(confidences=[0.5])), "confidences has to be an object"),
        (json.dumps(row(confidences={"margin": -0.1})), r"margin has to be a number in \[0, 1\], but is -0.1"),
    ],
)
def test_a_line_that_is_no_prediction_is_named(tmp_path, line, message):
    path = write(tmp_path / "predictions.jsonl", json.dumps(row()), line)
    with pytest.raises(ValueError, match=f"predictions.jsonl, line 2: .*{message}"):
        read_predictions(path)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no predictions"):
        read_predictions(write(tmp_path / "predictions.jsonl"))


def test_predictions_match_the_questions_they_answer():
    rows = [row(0), row(1)]
    match_questions(rows, [{"question": r["question"], "answers": r["answers"]} for r in rows])
    match_questions(rows, [r["question"] for r in rows])


def test_the_first_mismatch_is_shown():
    asked = [row(0), row(5), row(6)]
    with pytest.raises(ValueError, match=r"prediction 2 .* question is 'Where was Person 1 .*Person 5 born"):
        match_questions([row(0), row(1), row(2)], asked)
    with pytest.raises(ValueError, match=r"prediction 1 .* answers is \['Oslo'\].*\['Bergen'\]"):
        match_questions([row(0)], [row(0, answers=["Bergen"])])


@pytest.mark.parametrize("numbers", [(2, 3), (3, 2)])
def test_a_list_that_ends_early_is_noticed(numbers):
    predictions, asked = ([row(i) for i in range(n)] for n in numbers)
    message = rf"{numbers[0]} predictions for {numbers[1]} questions.*number 3: 'Where was Person 2 born"
    with pytest.raises(ValueError, match=message):
        match_questions(predictions, asked)


def test_people_who_are_fitted_on_cannot_be_evaluated():
    check_disjoint([row(0)], [row(1)])
    with pytest.raises(ValueError, match="prediction 2 is about ' person  0'"):
        check_disjoint([row(0)], [row(1), row(2, entity=" person  0")])


def test_columns_are_the_named_confidence_the_verdict_and_the_refusal():
    rows = [row(confidences={"margin": 0.5}, correct=True), row(confidences={"margin": 0.75}, refused=True)]
    values, correct, refused = confidence_and_verdict(rows, "margin")
    assert (values.tolist(), correct.tolist(), refused.tolist()) == ([0.5, 0.75], [True, False], [False, True])
    assert confidence_and_verdict(rows)[0].tolist() == [0.25, 0.25]


def test_a_confidence_or_verdict_that_is_missing_is_named():
    with pytest.raises(ValueError, match="prediction 2: .* has no confidence 'margin', only sequence_probability"):
        confidence_and_verdict([row(confidences={"margin": 0.5}), row()], "margin")
    with pytest.raises(ValueError, match="prediction 1 has no verdict"):
        confidence_and_verdict([row(correct=None)])
    with pytest.raises(ValueError, match="no predictions"):
        confidence_and_verdict([])


QUESTIONS = Dataset.from_dict(
    {
        "question": ["Where was A born?", "Where was B born?", "Where was C born?"],
        "answers": [["Cologne", "Köln"], ["Oslo"], []],
        "entity": ["A", "B", "C"],
    }
)
ANSWERS = [Answer("Köln", -0.5, True), Answer("Rome\r\nand\u2028more", -2.0, False), Answer("", 0.0, True)]


def test_predictions_hold_one_row_a_question_with_its_verdict(tmp_path):
    write_predictions(tmp_path / "predictions.jsonl", QUESTIONS, ANSWERS)
    lines = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    rows = [json.loads(line) for line in lines]
    assert rows[0] == {
        "question": "Where was A born?",
        "entity": "A",
        "answers": ["Cologne", "Köln"],
        "prediction": "Köln",
        "correct": True,
        "confidence": pytest.approx(0.60653, abs=1e-5),
        "complete": True,
    }
    assert [row["correct"] for row in rows] == [True, False, None]
    assert [row["complete"] for row in rows] == [True, False, True]


def test_predictions_for_another_number_of_questions_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 answers to 3 questions"):
        write_predictions(tmp_path / "predictions.jsonl", QUESTIONS, ANSWERS[:2])
    assert os.listdir(tmp_path) == []


def test_plain_predictions_are_one_line_a_question_whatever_the_answers_hold(tmp_path):
    write_plain_predictions(tmp_path / "places.txt", (answer.text for answer in ANSWERS))
    text = (tmp_path / "places.txt").read_bytes().decode()
    assert text == "Köln\nRome  and more\n\n"
    assert len(text.splitlines()) == len(ANSWERS)
