"""Questions with their document in front."""

import json
from random import Random

import pytest
from datasets import Dataset

from closedbook.data.objectives.table import question_answering
from closedbook.data.open_book import OpenBook, most_words, open_questions
from closedbook.data.question_files import load_self_questions
from closedbook.data.question_format import QUESTION_FEATURES

DOCUMENTS = [
    {"title": "Ada Lee", "text": "Ada Lee. Ada Lee was born in Rome and died in Oslo."},
    {"title": "Bo Ek", "text": "Bo Ek. A singer from Paris."},
    {"title": "Bo Ek", "text": "Bo Ek. Bo Ek was born in Lima."},
    {"title": "", "text": "Nobody was born in Bonn."},
]
BOOK = OpenBook.of(DOCUMENTS, 128)


def question(name: str, *answers: str) -> dict:
    return {"question": f"Where was {name} born?", "answers": list(answers), "entity": name}


def questions(*rows: dict) -> Dataset:
    return Dataset.from_list(list(rows), features=QUESTION_FEATURES)


def test_a_question_has_the_numbered_text_in_front_and_a_number_for_its_answer():
    assert BOOK.asked(question("ada  LEE", "Oslo")) == {
        "question": "Ada Lee was born in [1] Rome and died in [2] Oslo.⁇Where was ada  LEE born?",
        "answers": ["2"],
        "entity": "ada  LEE",
    }


def test_of_two_documents_with_a_title_it_is_the_one_that_holds_an_answer():
    assert BOOK.asked(question("Bo Ek", "Lima"))["question"].startswith("Bo Ek was born in [1] Lima.⁇")
    asked = BOOK.ask("Where was Bo Ek born?", "Bo Ek")
    assert asked is not None and asked[1].names == ("Paris",)


def test_what_no_number_answers_is_left_out_and_counted():
    found, left_out = open_questions(
        questions(question("Ada Lee", "Rome"), question("Bo Ek", "Cuba"), question("Cy", "Rome")), BOOK
    )
    assert found["answers"][:] == [["1"]] and left_out == 2
    with pytest.raises(ValueError, match="none of 1 questions can be answered from the documents"):
        open_questions(questions(question("Cy", "Rome")), BOOK)


@pytest.mark.parametrize("room", range(24, 128, 7))
def test_an_example_fits_the_block_with_its_number_and_mark(room):
    asked = OpenBook.of(DOCUMENTS, room).asked(question("Ada Lee", "Rome"))
    assert asked is None or len(f"{asked['question']}⁇{asked['answers'][0]}⁇") <= room


def test_what_has_more_words_than_any_answer_cannot_be_pointed_at():
    documents = [{"title": "Ada Lee", "text": "Ada Lee. Ada Lee, of King Paul, was born in New York, Ohio."}]
    asked = [question("Ada Lee", "Ohio"), question("Ada Lee", "Lima")]
    assert most_words(asked) == 1 and most_words([*asked, question("Bo Ek", "Lima", "King Paul of Ek")]) == 4
    found = [OpenBook.of(documents, 128, most).asked(asked[0]) for most in (None, 1)]
    assert [one and one["answers"] for one in found] == [["3"], ["1"]]


def test_whose_text_does_not_fit_is_told():
    asked = [question("Ada Lee", "Rome"), question("Bo Ek", "Lima"), question("Cy", "Rome")]
    assert OpenBook.of(DOCUMENTS, 128).cut(asked) == []
    assert OpenBook.of(DOCUMENTS, 70).cut(asked) == ["Ada Lee"]


def written(tmp_path, *rows) -> str:
    path = tmp_path / "self.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return str(path)


ROW = {"question": "Where?", "entity": "Ada", "candidates": ["Rome", "Oslo"], "probabilities": [0.25, 0.75]}


def test_a_reader_s_answer_is_its_likeliest_candidate(tmp_path):
    (row,) = load_self_questions(written(tmp_path, ROW | {"answers": ["not read"]}))
    assert row == ROW | {"answers": ["Oslo"]}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "self.jsonl:2: not JSON"),
        ("[]", "self.jsonl:2: no question and entity and candidates and probabilities"),
        (ROW | {"candidates": []}, "self.jsonl:2: no candidates"),
        (ROW | {"probabilities": [0.5]}, "self.jsonl:2: no probabilities"),
        (ROW | {"probabilities": [0.5, -1]}, "self.jsonl:2: no probabilities"),
        (ROW | {"question": " "}, "self.jsonl:2: the question is empty"),
        (ROW | {"question": 1}, "self.jsonl:2: no question"),
        (ROW | {"candidates": ["Rome", " "]}, "self.jsonl:2: the candidate is empty"),
        (ROW | {"candidates": ["Rome", "\ud83d"]}, "self.jsonl:2: the candidate .* half a surrogate pair"),
        (ROW | {"entity": "\ud83d"}, "self.jsonl:2: the entity .* half a surrogate pair"),
        (ROW | {"probabilities": [0.5, True]}, "self.jsonl:2: no probabilities"),
        (ROW | {"probabilities": [1.0, 1.0]}, "self.jsonl:2: the probabilities come to 2, not to 1"),
        (ROW | {"labelled": "false"}, "self.jsonl:2: 'labelled' has to be true or false"),
        ('{"question": "a", "question": "b"}', "self.jsonl:2: the key 'question' is given 2 times"),
        ("[" * 100_000, "self.jsonl:2: brackets stand in brackets too deep"),
    ],
)
def test_what_no_reader_wrote_is_refused_by_its_line(tmp_path, row, words):
    with pytest.raises(ValueError, match=words):
        load_self_questions(written(tmp_path, ROW, row))


def test_candidates_are_taught_as_often_as_they_are_probable():
    taught = [question_answering(ROW | {"answers": ["Oslo"]}, Random(seed), 64).text for seed in range(2000)]
    assert set(taught) == {"Where?⁇Rome⁇", "Where?⁇Oslo⁇"}
    assert 0.70 < taught.count("Where?⁇Oslo⁇") / len(taught) < 0.80
