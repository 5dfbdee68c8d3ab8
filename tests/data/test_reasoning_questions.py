"""Questions with a number for an answer, and files that are not that."""

import json
import logging

import pytest

from closedbook.data.reasoning_questions import load_reasoning_questions


def write(path, *rows) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def test_question_answer_and_rationale_are_read_in_order(tmp_path):
    path = write(
        tmp_path / "q.jsonl",
        {"question": " How many? ", "answer": "72", "rationale": "70 + 2 = 72\nSo 72."},
        {"question": "How much?", "answer": "1,200.50", "id": 3},
        {"question": "What part?", "answer": "3/4"},
    )
    rows = load_reasoning_questions(path)
    assert rows["question"][:] == ["How many?", "How much?", "What part?"]
    assert rows["answer"][:] == ["72", "1200.50", "3/4"]
    assert rows["rationale"][:] == ["70 + 2 = 72\nSo 72.", "", ""]


def test_numbers_of_json_stay_as_written(tmp_path):
    path = write(tmp_path / "q.jsonl", '{"question": "a", "answer": 0.10}', '{"question": "b", "answer": -3}')
    assert load_reasoning_questions(path)["answer"][:] == ["0.10", "-3"]


def test_an_answer_as_gsm8k_publishes_it_is_taken_apart(tmp_path):
    answer = "She sold 48/2 = <<48/2=24>>24 clips.\nThat is 24.\n#### 1,024"
    (row,) = load_reasoning_questions(write(tmp_path / "q.jsonl", {"question": "a", "answer": answer}))
    assert row == {
        "question": "a",
        "answer": "1024",
        "rationale": "She sold 48/2 = 24 clips.\nThat is 24.",
    }


def test_a_repeated_line_is_dropped_with_a_warning(tmp_path, caplog):
    row = {"question": "How many?", "answer": "72"}
    with caplog.at_level(logging.WARNING):
        assert len(load_reasoning_questions(write(tmp_path / "q.jsonl", row, row))) == 1
    assert "dropped 1 repeated" in caplog.text


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("{", "not JSON"),
        ("[1]", "JSON object"),
        ({"answer": "3"}, "question has to be a text"),
        ({"question": " ", "answer": "3"}, "question is empty"),
        ({"question": "a"}, "no answer"),
        ({"question": "a", "answer": ["3"]}, "answer has to be a text"),
        ({"question": "a", "answer": True}, "answer has to be a text"),
        ({"question": "a", "answer": "three"}, "not a plain number"),
        ({"question": "a", "answer": "about 3"}, "not a plain number"),
        ({"question": "a", "answer": "3/0"}, "not a plain number"),
        ({"question": "a", "answer": ""}, "not a plain number"),
        ({"question": "a", "answer": "3", "rationale": 5}, "rationale has to be a text"),
        ({"question": "a", "answer": "b #### 3", "rationale": "c"}, "keep one of them"),
        ({"question": "How many?", "answer": "73"}, "is answered 73, but 72 in line 1"),
    ],
)
def test_a_line_that_is_no_such_question_is_named(tmp_path, row, complaint):
    path = write(tmp_path / "q.jsonl", {"question": "How many?", "answer": "72"}, row)
    with pytest.raises(ValueError, match=complaint) as error:
        load_reasoning_questions(path)
    assert f"{path}:2:" in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        load_reasoning_questions(tmp_path / "none.jsonl")
