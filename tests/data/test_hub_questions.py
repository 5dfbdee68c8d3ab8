"""Published question sets and corpora, on rows of the same columns about invented people."""

import json
import shutil
from pathlib import Path

import pytest
from datasets import Dataset

from closedbook.data import hub_rows
from closedbook.data.corpora import CORPORA, load_wiki_bio
from closedbook.data.hub_questions import (
    HUB_QUESTION_SETS,
    load_lama,
    load_nq_open,
    load_popqa,
    load_trivia_qa,
)
from closedbook.data.questions import QUESTION_SETS, check_fit, split_by_entity

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name: str) -> Path:
    return FIXTURES / name


# --- what each set gives


@pytest.mark.parametrize("name", ["popqa.tsv", "popqa.jsonl"])
def test_popqa_has_the_object_first_and_its_other_names_after_it(name):
    questions = load_popqa(fixture(name))
    assert questions.column_names == ["question", "answers", "entity", "attribute"]
    assert questions[1] == {
        "question": "What is Ruben Haldane's occupation?",
        "answers": ["cellist", "cello player"],
        "entity": "Ruben Haldane",
        "attribute": "occupation",
    }
    assert questions[2]["answers"] == ["Ålborg", "Aalborg"]


def test_two_people_of_one_name_are_one_question_that_accepts_both_answers(caplog):
    questions = load_popqa(fixture("popqa.tsv"), relation="place of birth")
    assert questions["question"][:] == [
        "In what city was Orla Vandermeer born?",
        "In what city was Imke Søndergård born?",
    ]
    assert questions[0]["answers"] == ["Tilburg", "Tilburg, Netherlands", "Breda"]
    assert "3 rows ask 2 different questions" in caplog.text


def test_a_relation_is_chosen_whatever_its_case_and_an_unknown_one_names_those_there_are():
    assert len(load_popqa(fixture("popqa.tsv"), relation="OCCUPATION")) == 1
    with pytest.raises(ValueError, match="no relation 'height'; it has: occupation, place of birth"):
        load_popqa(fixture("popqa.tsv"), relation="height")


def test_trivia_qa_has_the_value_then_aliases_then_normalised_ones():
    questions = load_trivia_qa(fixture("trivia_qa.jsonl"))
    assert questions.column_names == ["question", "answers", "entity"]
    assert questions["answers"][:] == [
        ["Port Harcourt", "Port-Harcourt", "port harcourt"],
        ["The Sorrel", "Sorrel (river)", "sorrel", "sorrel river"],
    ]
    assert questions["entity"][:] == ["the painter Lieve Okonjo", "Quillby"]


def test_the_test_split_of_trivia_qa_has_questions_only():
    questions = load_trivia_qa(fixture("trivia_qa_test.jsonl"), with_answers=False)
    assert questions["answers"][:] == [[]]
    with pytest.raises(ValueError, match="row 1 has no answer: 'Who was the first mayor.*--without_answers"):
        load_trivia_qa(fixture("trivia_qa_test.jsonl"))


def test_answers_are_not_lost_by_mistake():
    for load, name in ((load_popqa, "popqa.tsv"), (load_nq_open, "nq_open.jsonl"), (load_lama, "P19.jsonl")):
        with pytest.raises(ValueError, match="row 1 has an answer, but .*--without_answers"):
            load(fixture(name), with_answers=False)


def test_questions_without_a_question_mark_tell_whom_they_are_about():
    questions = load_nq_open(fixture("nq_open.jsonl"))
    assert questions["answers"][0] == ["Ibadan", "Ibadan, Oyo State"]
    assert questions["entity"][:] == [
        "tamsin adeyemi",
        "how many bells hang in the tower of quillby",
        "quillby",
    ]


def test_lama_asks_with_its_template_up_to_the_gap_once_a_fact():
    questions = load_lama(fixture("lama_trex.jsonl"))
    assert questions["question"][:] == [
        "Gwendal Porrit was born in",
        "Sunniva Marlow was born in",
        "Edda Kvist died in",
        "Quillby is the capital of",
        "Hob Aldous is a",
    ]
    assert questions[0]["answers"] == ["Quimper"] and questions["attribute"][0] == "P19"
    assert questions["entity"][0] == "Gwendal Porrit"


def test_a_relation_file_of_lama_needs_no_template():
    hub, archive = load_lama(fixture("lama_trex.jsonl"), relation="P19"), load_lama(fixture("P19.jsonl"))
    assert archive.to_list() == hub.to_list()


def test_lama_can_be_asked_as_questions_where_one_is_known():
    questions = load_lama(fixture("P19.jsonl"), form="question")
    assert questions["question"][0] == "Where was Gwendal Porrit born?"
    with pytest.raises(ValueError, match="no question is known for relation P1376; known: P19, P20"):
        load_lama(fixture("lama_trex.jsonl"), form="question")
    with pytest.raises(ValueError, match="form must be 'cloze' or 'question', not 'essay'"):
        load_lama(fixture("P19.jsonl"), form="essay")


def test_a_template_whose_gap_comes_first_is_refused():
    with pytest.raises(ValueError, match=r"relation P36 has the template .*one with \[X\] before \[Y\]"):
        load_lama(fixture("lama_backwards.jsonl"))


def test_wiki_bio_has_the_name_of_the_infobox_and_the_first_paragraph():
    documents = load_wiki_bio(fixture("wiki_bio.jsonl"))
    assert documents.column_names == ["title", "text"]
    assert documents["title"][:] == ["orla vandermeer", "ruben haldane", "hob aldous"]
    assert documents["text"][0] == (
        "orla vandermeer ( 3 may 1931 -- 2 june 2001 ) was a dutch astronomer . she was born in tilburg ."
    )


# --- sources


@pytest.mark.parametrize(
    ("kind", "name", "count"),
    [
        ("popqa", "popqa.tsv?relation=place of birth", 2),
        ("popqa", "popqa.tsv?relation=place+of+birth", 2),
        ("lama", "lama_trex.jsonl?relation=P19&form=question", 2),
        ("trivia_qa", "trivia_qa.jsonl", 2),
        ("nq_open", "nq_open.jsonl", 3),
    ],
)
def test_sets_are_registered_and_take_options_behind_a_question_mark(kind, name, count):
    questions = QUESTION_SETS[kind](f"{FIXTURES}/{name}", with_answers=True)
    assert len(questions) == count
    vocabulary = set().union(*questions["question"], *(answers[0] for answers in questions["answers"]))
    check_fit(questions, block_size=128, vocabulary=vocabulary)
    assert set(split_by_entity(questions, {"a": 0.5, "b": 0.5}, 0)) == {"a", "b"}
    assert CORPORA["wiki_bio"](fixture("wiki_bio.jsonl")).num_rows == 3


def test_an_unknown_option_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown option 'relatoin' in .*; known here: relation, config, split"):
        HUB_QUESTION_SETS["popqa"](f"{fixture('popqa.tsv')}?relatoin=x")
    with pytest.raises(ValueError, match="unknown option 'with_answers'"):
        HUB_QUESTION_SETS["popqa"](f"{fixture('popqa.tsv')}?with_answers=")


def test_a_file_whose_name_has_a_question_mark_is_read_as_it_is(tmp_path):
    path = tmp_path / "why?.jsonl"
    shutil.copy(fixture("nq_open.jsonl"), path)
    assert len(HUB_QUESTION_SETS["nq_open"](path)) == 3


def test_parquet_files_json_lists_and_folders_hold_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [json.loads(line) for line in fixture("trivia_qa.jsonl").read_text(encoding="utf-8").splitlines()]
    expected = load_trivia_qa(fixture("trivia_qa.jsonl")).to_list()
    (tmp_path / "folder").mkdir()
    Dataset.from_list(rows).to_parquet(tmp_path / "folder" / "validation-00000-of-00001.parquet")
    shutil.copy(tmp_path / "folder" / "validation-00000-of-00001.parquet", tmp_path / "one.parquet")
    (tmp_path / "list.json").write_text(json.dumps(rows), encoding="utf-8")
    for source in ("folder", "one.parquet", "list.json"):
        assert load_trivia_qa(tmp_path / source).to_list() == expected


def test_a_folder_without_the_split_names_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "folder"
    folder.mkdir()
    for split in ("train", "validation"):
        shutil.copy(fixture("nq_open.jsonl"), folder / f"{split}.jsonl")
    assert len(load_nq_open(folder, split="train")) == 3
    with pytest.raises(ValueError, match="has no split 'test'; it has: train, validation"):
        load_nq_open(folder, split="test")


@pytest.mark.parametrize(
    ("load", "source", "expected"),
    [
        (load_popqa, "akariasai/PopQA", ("akariasai/PopQA", None, "test")),
        (load_trivia_qa, "mandarjoshi/trivia_qa", ("mandarjoshi/trivia_qa", "rc.nocontext", "validation")),
        (
            load_nq_open,
            "google-research-datasets/nq_open",
            ("google-research-datasets/nq_open", None, "validation"),
        ),
        (load_lama, "facebook/lama", ("facebook/lama", "trex", "train")),
    ],
)
def test_a_name_on_the_hub_is_opened_with_the_split_that_has_answers(monkeypatch, load, source, expected):
    """Without a network: what the library would be asked for, and rows as it would give them."""
    rows = {
        load_popqa: "popqa.jsonl",
        load_trivia_qa: "trivia_qa.jsonl",
        load_nq_open: "nq_open.jsonl",
        load_lama: "lama_trex.jsonl",
    }
    asked = []

    def load_dataset(name, config=None, *, split, revision):
        asked.append((name, config, split))
        lines = fixture(rows[load]).read_text(encoding="utf-8").splitlines()
        return Dataset.from_list([json.loads(line) for line in lines])

    monkeypatch.setattr(hub_rows, "load_dataset", load_dataset)
    assert load(source).to_list() == load(fixture(rows[load])).to_list()
    assert asked == [expected]


def test_a_script_on_the_hub_is_refused_with_the_path_of_its_parquet_copy(monkeypatch):
    def load_dataset(*args, **kwargs):
        raise RuntimeError("Dataset scripts are no longer supported, but found wiki_bio.py")

    monkeypatch.setattr(hub_rows, "load_dataset", load_dataset)
    with pytest.raises(
        ValueError, match="wiki_bio is a script.* hf://datasets/michaelauli/wiki_bio@refs%2Fconvert"
    ):
        load_wiki_bio("michaelauli/wiki_bio")


# --- mistakes


def test_a_missing_column_is_named_with_those_that_there_are(tmp_path):
    with pytest.raises(
        ValueError, match=r"nq_open\.jsonl has no column 'subj', 'prop'.*; it has: question, answer"
    ):
        load_popqa(fixture("nq_open.jsonl"))
    shutil.copy(fixture("P19.jsonl"), tmp_path / "P27.jsonl")
    with pytest.raises(ValueError, match=r"no column 'template'; it has: uuid, obj_uri"):
        load_lama(tmp_path / "P27.jsonl")


def test_a_missing_file_is_no_name_on_the_hub():
    with pytest.raises(FileNotFoundError, match=r"popqa_nowhere\.tsv: there is no such file"):
        load_popqa("popqa_nowhere.tsv")


@pytest.mark.parametrize(
    ("load", "name", "content", "message"),
    [
        (load_nq_open, "a.jsonl", '{"question": "who"', r"a\.jsonl:1: not JSON"),
        (load_nq_open, "a.jsonl", '["who"]', "does not hold a list of JSON objects"),
        (load_nq_open, "a.json", "[]", "does not hold a list of JSON objects, or none"),
        (load_nq_open, "a.txt", "who", r"of no type that can be read: \.jsonl"),
        (
            load_nq_open,
            "a.jsonl",
            '{"question": "who", "answer": "me"}',
            "row 1: answer has to be a list of texts",
        ),
        (load_nq_open, "a.jsonl", '{"question": " ", "answer": ["me"]}', "row 1 has no question"),
        (load_nq_open, "a.jsonl", '{"question": "who", "answer": []}', "row 1 has no answer: 'who'"),
        (load_trivia_qa, "a.jsonl", '{"question": "who", "answer": ["me"]}', "has to be an object with 'value'"),
        (load_popqa, "a.tsv", "question\tsubj\nwho", "row 1 has not as many fields as there are columns"),
        (
            load_popqa,
            "a.tsv",
            "question\tsubj\tprop\tobj\tpossible_answers\nwho\ta\tb\tc\t[c",
            "row 1: possible_answers is not JSON",
        ),
        (load_wiki_bio, "a.jsonl", '{"input_text": "a", "target_text": "b"}', "row 1 is not as WikiBio has them"),
    ],
)
def test_a_row_that_is_not_as_published_is_named(tmp_path, load, name, content, message):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load(path)
