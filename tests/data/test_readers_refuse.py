"""What a user's file may be wrong in: one line that says the file, the place and what to do, whoever reads it."""

import json
from pathlib import Path

import pytest

from closedbook.data.corpora import load_text, load_wiki, load_wiki_bio
from closedbook.data.hub_questions import load_nq_open, load_popqa, load_trivia_qa
from closedbook.data.questions import load_question_file
from closedbook.data.reasoning_questions import load_reasoning_questions
from closedbook.evaluation.files import read_json_object, read_json_objects
from closedbook.evaluation.predictions import read_predictions
from closedbook.evaluation.reports.accuracies import read_log_history

READERS = {
    "text": (load_text, "a.txt"),
    "wiki": (load_wiki, "a.txt"),
    "questions": (load_question_file, "a.tsv"),
    "questions in JSON": (load_question_file, "a.jsonl"),
    "reasoning": (load_reasoning_questions, "a.jsonl"),
    "wiki_bio": (load_wiki_bio, "a.jsonl"),
    "popqa": (load_popqa, "a.jsonl"),
    "popqa in columns": (load_popqa, "a.tsv"),
    "trivia_qa": (load_trivia_qa, "a.json"),
    "nq_open": (load_nq_open, "a.csv"),
    "predictions": (read_predictions, "a.jsonl"),
    "object": (read_json_object, "a.json"),
    "objects": (read_json_objects, "a.jsonl"),
    "log": (read_log_history, "a.json"),
}
IS_JSON = [name for name, (_, file) in READERS.items() if ".json" in file]


def refused(name: str, tmp_path: Path, content: bytes | None) -> str:
    read, file = READERS[name]
    path = tmp_path / file
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_and_an_empty_one_are_named(name, tmp_path):
    refused(name, tmp_path, None)
    refused(name, tmp_path, b"")


@pytest.mark.parametrize("name", READERS)
def test_bytes_that_are_no_text_are_named_with_their_place(name, tmp_path):
    message = refused(name, tmp_path, '{"question": "Who is Zo\xeb?"}\n'.encode("latin-1"))
    assert "UTF-8" in message or "utf-8" in message


@pytest.mark.parametrize("name", IS_JSON)
def test_damaged_json_is_named_with_its_file(name, tmp_path):
    assert "JSON" in refused(name, tmp_path, b'{"question": ')


FROM_USERS = [name for name in READERS if name not in ("predictions", "object", "objects", "log")]


@pytest.mark.parametrize("name", FROM_USERS)
def test_a_nul_is_no_text(name, tmp_path):
    line = b"" if name in ("trivia_qa", "nq_open") else b"\n"
    assert "NUL" in refused(name, tmp_path, b"Ada Lind. Born" + line + b"in O\0slo.")


@pytest.mark.parametrize("name", ["questions in JSON", "reasoning"])
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"question": "How many \0?", "answer": "3"}, "NUL"),
        ('{"question": "How many?", "answer": "3", "answer": "4"}', "'answer' is given 2 times"),
        ({"question": "How many?", "anwser": "3"}, r"anwser (for answer?)"),
        ({"qustion": "How many?", "answer": "3"}, r"qustion (for question?)"),
    ],
)
def test_keys_that_come_twice_or_are_misspelt_are_named_with_their_line(name, line, words, tmp_path):
    good = json.dumps({"question": "How many more?", "answer": "2", "source": "elsewhere", "id": 7})
    line = line if isinstance(line, str) else json.dumps(line)
    message = refused(name, tmp_path, f"{good}\n{line}\n".encode())
    assert words in message and ":2:" in message


@pytest.mark.parametrize("name", [name for name in READERS if "popqa" not in name and name not in ("wiki_bio",)])
def test_a_folder_is_no_file(name, tmp_path):
    read, file = READERS[name]
    if name in ("trivia_qa", "nq_open"):
        pytest.skip("a folder is a data set that the library datasets opens")
    (tmp_path / file).mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        read(tmp_path / file)


def test_a_byte_order_mark_is_no_part_of_json(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert read_json_object(tmp_path / "a.json") == {"a": 1} == read_json_objects(tmp_path / "a.json")[0]


@pytest.mark.parametrize(
    "header", ["question\tanswer", "Question\tAnswers", "question\tbirth_place", '"query"\t"label"']
)
def test_a_header_is_not_asked_as_a_question(header, tmp_path):
    path = tmp_path / "q.tsv"
    path.write_text(f"{header}\nWhere was Ada born?\tLondon\n")
    with pytest.raises(ValueError, match="q.tsv:1: .* is a header"):
        load_question_file(path)
    path.write_text("Where was Ada born?\tanswer\nquestion\tanswer\n")
    assert len(load_question_file(path)) == 2


def test_the_archive_of_trivia_qa_is_read_as_its_rows_on_the_hub(tmp_path):
    path = tmp_path / "unfiltered-web-dev.json"
    answer = {
        "Value": "Paris",
        "Aliases": ["City of Light"],
        "NormalizedAliases": ["paris"],
        "Type": "WikipediaEntity",
    }
    path.write_text(json.dumps({"Data": [{"Question": "Capital of France?", "Answer": answer}], "Domain": "Web"}))
    (row,) = load_trivia_qa(path)
    assert row["answers"] == ["Paris", "City of Light", "paris"]
    path.write_text(json.dumps({"Data": [{"Question": "Capital of France?"}]}))  # its test files have no answers
    (row,) = load_trivia_qa(path, with_answers=False)
    assert row["answers"] == []
