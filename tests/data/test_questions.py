"""Question files, splits by person and overlaps: nobody is on both sides, and complaints name file and line."""

import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.corpora import load_wiki
from closedbook.data.question_format import QUESTION_FEATURES, entity_of_question, link_entities
from closedbook.data.questions import (
    check_fit,
    entity_key,
    find_overlap,
    load_cs224n,
    load_question_file,
    remove_overlap,
    split_by_entity,
)

CS224N = os.environ.get("CLOSEDBOOK_CS224N")
needs_cs224n = pytest.mark.skipif(
    not CS224N, reason="CLOSEDBOOK_CS224N does not name the folder with the files of the reference task"
)


def write(folder: Path, content: str | bytes, name: str = "birth.tsv") -> Path:
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def write_json(folder: Path, *records: object) -> Path:
    return write(folder, "".join(json.dumps(record) + "\n" for record in records), "set.jsonl")


def about(*entities: str, answer: str = "Rome") -> Dataset:
    columns = {
        "question": [f"Where was {entity} born?" for entity in entities],
        "answers": [[answer] for _ in entities],
        "entity": list(entities),
    }
    return Dataset.from_dict(columns, features=QUESTION_FEATURES)


# --- reading tab-separated files


def test_a_tsv_gives_question_answers_and_entity_with_every_letter_kept(tmp_path: Path):
    questions = load_question_file(
        write(tmp_path, "Where was Zoë Łukić born?\tReykjavík\nWhere was Al born?\tUlm\n")
    )
    assert questions.features == QUESTION_FEATURES
    assert questions[0] == {
        "question": "Where was Zoë Łukić born?",
        "answers": ["Reykjavík"],
        "entity": "Zoë Łukić",
    }
    assert len(questions) == 2


def test_questions_alone_need_to_be_asked_for_and_give_empty_answers(tmp_path: Path):
    path = write(tmp_path, "Where was Al born?\nWhere was Bo born?\n")
    questions = load_question_file(path, with_answers=False)
    assert questions["answers"][:] == [[], []]
    assert questions.features == QUESTION_FEATURES
    with pytest.raises(ValueError, match=r"birth\.tsv:1: no tab in .*--without_answers"):
        load_question_file(path)


def test_answers_are_never_lost_by_mistake(tmp_path: Path):
    for path in (
        write(tmp_path, "Where was Al born?\nWhere was Bo born?\tUlm\n"),
        write_json(tmp_path, {"question": "a"}, {"question": "b", "answer": "c"}),
    ):
        with pytest.raises(ValueError, match=r":2: there is an answer, but .*--without_answers"):
            load_question_file(path, with_answers=False)


def test_mark_carriage_returns_blank_lines_and_outer_spaces_are_tolerated(tmp_path: Path):
    path = write(tmp_path, "\ufeff Where was Al born? \t Ulm \r\n\r\n  \nWhere was Bo born?\tPau")
    questions = load_question_file(path)
    assert questions["question"][:] == ["Where was Al born?", "Where was Bo born?"]
    assert questions["answers"][:] == [["Ulm"], ["Pau"]]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("Where was Bo born? Ulm", "no tab in 'Where was Bo born"),
        ("Where was Bo born?\tUlm\tGermany", "2 tabs in .*one tab parts"),
        ("Where was Bo born?\t\tUlm", "2 tabs"),
        ("\tUlm", "the question is empty"),
        ("\t", "the question is empty"),
        ("Where was Bo born?\t ", r"the answer to 'Where was Bo born\?' is empty"),
    ],
)
def test_a_bad_line_is_named_with_its_number_in_the_file(tmp_path: Path, line: str, complaint: str):
    path = write(tmp_path, f"\ufeffWhere was Al born?\tUlm\r\n\r\n{line}\r\n")
    with pytest.raises(ValueError, match=rf"birth\.tsv:3: {complaint}"):
        load_question_file(path)


def test_bad_files_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"gone\.tsv: there is no such file"):
        load_question_file(tmp_path / "gone.tsv")
    with pytest.raises(ValueError, match=r"birth\.tsv is empty"):
        load_question_file(write(tmp_path, "\n\n"))
    with pytest.raises(ValueError, match=r"birth\.tsv:2: byte 24 of the file \(0xe9\) is not UTF-8"):
        load_question_file(write(tmp_path, b"Where was Al born?\tUlm\nJ\xe9\tRome\n"))


# Anything but control characters (tabs and line ends among them), surrogates and a byte order mark.
texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff"), min_size=1, max_size=20
).filter(lambda text: text.strip() == text)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=8, unique_by=lambda pair: pair[0])


@given(pairs=pairs, line_end=st.sampled_from(["\n", "\r\n"]), mark=st.sampled_from(["", "\ufeff"]))
def test_what_is_written_as_tsv_is_loaded_again(tmp_path_factory, pairs, line_end: str, mark: str):
    content = mark + line_end.join(f"{question}\t{answer}" for question, answer in pairs)
    questions = load_question_file(write(tmp_path_factory.mktemp("tsv"), content))
    assert list(zip(questions["question"], questions["answers"], strict=True)) == [(q, [a]) for q, a in pairs]


@given(pairs=pairs)
def test_what_is_written_as_json_lines_is_loaded_again(tmp_path_factory, pairs):
    records = [{"question": question, "answers": [answer]} for question, answer in pairs]
    questions = load_question_file(write_json(tmp_path_factory.mktemp("json"), *records))
    assert list(zip(questions["question"], questions["answers"], strict=True)) == [(q, [a]) for q, a in pairs]


# --- reading JSON lines


def test_json_lines_may_give_one_answer_a_list_aliases_and_an_entity(tmp_path: Path):
    path = write_json(
        tmp_path,
        {"question": "Where was Al born?", "answer": "Ulm", "aliases": ["Ulm a. d. Donau", "Ulm"], "id": 7},
        {"question": "who sang it", "answers": ["Bo", "Bo Li"], "entity": "the song"},
        {"question": "how many", "answer": "12", "aliases": None},
    )
    assert load_question_file(path).to_list() == [
        {"question": "Where was Al born?", "answers": ["Ulm", "Ulm a. d. Donau"], "entity": "Al"},
        {"question": "who sang it", "answers": ["Bo", "Bo Li"], "entity": "the song"},
        {"question": "how many", "answers": ["12"], "entity": "how many"},
    ]


def test_json_lines_may_hold_questions_alone(tmp_path: Path):
    path = write_json(tmp_path, {"question": "Where was Al born?"})
    assert load_question_file(path, with_answers=False)["answers"][:] == [[]]
    with pytest.raises(ValueError, match=r"set\.jsonl:1: no answer: .*--without_answers"):
        load_question_file(path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"question": "a", "answer": "b"', "not JSON"),
        ('["a", "b"]', "expected a JSON object"),
        ('{"answer": "b"}', "the question has to be a text, got null"),
        ('{"question": " ", "answer": "b"}', "the question is empty"),
        ('{"question": "a", "answer": ""}', "the answer is empty"),
        ('{"question": "a", "answer": 12}', "the answer has to be a text, got 12"),
        ('{"question": "a", "answers": []}', "no answer"),
        ('{"question": "a", "answers": "b"}', "'answers' has to be a list"),
        ('{"question": "a", "answer": "b", "answers": ["b"]}', "both 'answers' and 'answer'"),
        ('{"question": "a", "answer": "b", "aliases": "c"}', "'aliases' has to be a list"),
        ('{"question": "a", "answer": "b", "aliases": [""]}', "the alias is empty"),
        ('{"question": "a", "answer": "b", "entity": ""}', "the entity is empty"),
        ('{"question": "a\\ud800", "answer": "b"}', r"the question .* holds half a surrogate pair"),
    ],
)
def test_a_bad_json_line_is_named_with_its_number(tmp_path: Path, line: str, complaint: str):
    path = write(tmp_path, f'{{"question": "q", "answer": "x"}}\n\n{line}\n', "set.jsonl")
    with pytest.raises(ValueError, match=rf"set\.jsonl:3: {complaint}"):
        load_question_file(path)


# --- repeated questions

REPEATED = "Where was Al born?\tUlm\nWhere was Bo born?\tPau\nWhere was Al born?\tUlm\n"
CONFLICTING = "Where was Al born?\tUlm\nWhere was Bo born?\tPau\nWhere was Al born?\tGermany\n"


@pytest.mark.parametrize("on_conflict", ["error", "first", "merge", "keep"])
def test_repeated_lines_are_dropped_with_one_warning(tmp_path: Path, caplog, on_conflict: str):
    with caplog.at_level(logging.WARNING):
        questions = load_question_file(write(tmp_path, REPEATED), on_conflict=on_conflict)
    assert questions["entity"][:] == ["Al", "Bo"]
    assert len(caplog.records) == 1
    assert "birth.tsv: dropped 1 repeated lines" in caplog.text


def test_conflicting_answers_are_an_error_that_names_both_lines(tmp_path: Path):
    with pytest.raises(ValueError, match=r"birth\.tsv:3: .*'Germany', but 'Ulm' in line 1 \(1 such.*'merge'"):
        load_question_file(write(tmp_path, CONFLICTING))


@pytest.mark.parametrize(
    ("on_conflict", "answers"),
    [
        ("first", [["Ulm"], ["Pau"]]),
        ("merge", [["Ulm", "Germany"], ["Pau"]]),
        ("keep", [["Ulm"], ["Pau"], ["Germany"]]),
    ],
)
def test_conflicting_answers_can_be_resolved(tmp_path: Path, caplog, on_conflict: str, answers: list):
    content = CONFLICTING + "Where was Al born?\tUlm\n"  # a repeated line is still dropped
    questions = load_question_file(write(tmp_path, content), on_conflict=on_conflict)
    assert questions["answers"][:] == answers
    assert "dropped 1 repeated" in caplog.text


def test_an_unknown_way_to_resolve_conflicts_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="'last' is unknown: use 'error', 'first', 'merge' or 'keep'"):
        load_question_file(write(tmp_path, REPEATED), on_conflict="last")


# --- entities


@pytest.mark.parametrize(
    ("question", "entity"),
    [
        ("Where was J. R. Smith, Jr. born?", "J. R. Smith, Jr."),
        ("when was Zoë Łukić born?", "Zoë Łukić"),
        ("In which city was Al Roy born?", "Al Roy"),
        ("Where did Al Roy study?", "Al Roy"),
        ("Which university did Al Roy attend?", "Al Roy"),
        ("Which company did Al Roy work for?", "Al Roy"),
        ("Who is the author of Emma?", "Emma"),
        ("What was the main occupation of Al Roy?", "Al Roy"),
        ("Who was Al Roy?", "Al Roy"),
        ("how many moons has Mars", "Mars"),
        ("On which river does Pellwick lie?", "Pellwick"),
        ("When was Zoë van Łuk knighted?", "Zoë van Łuk"),
        ("Did Ada Bo see Cy Dee?", "Did Ada Bo see Cy Dee?"),
        ("was hat Öl mit État zu tun?", "was hat Öl mit État zu tun?"),
        ("What is Anna Smith's birthplace?", "Anna Smith"),
        ("Emil Smith was born in which town?", "Emil Smith"),
        ("Berrow lies in which part of England?", "Berrow lies in which part of England?"),
        ("how many moons has a planet?", "how many moons has a planet?"),
        ("Where was born?", "Where was born?"),
    ],
)
def test_the_entity_is_read_from_the_question(question: str, entity: str):
    assert entity_of_question(question) == entity


def test_questions_about_one_person_in_any_wording_are_linked():
    questions = [
        "Where was Carl Smith born?",
        "Who is Carl Smith from Berlin?",
        "What was Carl Smith's mother's name?",
        "please tell: carl smith, born where?",
        "Where was Ada Smith born?",
        "On which river does Berrow lie?",
        "Berrow lies in which part of England?",
        "Which town is older?",
    ]
    told = [entity_of_question(question) for question in questions]
    expected = [*["Carl Smith"] * 4, "Ada Smith", *["Berrow"] * 2, questions[-1]]
    assert link_entities(questions, told) == expected
    assert link_entities(questions[:1], ["C. Smith"]) == ["C. Smith"]  # it was given
    assert link_entities(questions[3:4], told[3:4], ["Carl Smith"]) == ["Carl Smith"]


def test_spellings_of_one_entity_share_a_key():
    assert entity_key("Zoë  STRASSE ") == entity_key("Zoe\u0308 straße")
    assert entity_key("Zoë") != entity_key("Zoe")


# --- splits and overlaps

entity_lists = st.lists(st.sampled_from([f"Person {i}" for i in range(30)]), min_size=10, max_size=60).filter(
    lambda entities: len(set(entities)) >= 5
)
FRACTIONS = {"train": 0.6, "dev": 0.2, "test": 0.2}


@given(entity_lists, st.integers(), st.randoms(use_true_random=False))
def test_a_split_shares_no_entity_loses_no_row_and_ignores_the_order_of_rows(
    entities: list[str], seed: int, shuffler: random.Random
):
    parts = split_by_entity(about(*entities), FRACTIONS, seed)
    members = {name: set(part["entity"]) for name, part in parts.items()}
    assert list(parts) == list(FRACTIONS)
    assert sorted(entity for part in parts.values() for entity in part["entity"]) == sorted(entities)
    assert sum(map(len, members.values())) == len(set(entities))
    for name, fraction in FRACTIONS.items():
        assert abs(len(members[name]) - fraction * len(set(entities))) <= 1
    shuffler.shuffle(entities)
    again = split_by_entity(about(*entities), FRACTIONS, seed)
    assert {name: set(part["entity"]) for name, part in again.items()} == members


def test_two_spellings_of_an_entity_fall_on_the_same_side():
    names = [f"Person {i}" for i in range(20)]
    parts = split_by_entity(about(*names, *(name.upper() for name in names)), {"a": 0.5, "b": 0.5}, seed=1)
    assert all(len(part) == 20 for part in parts.values())
    assert find_overlap(parts["a"], parts["b"]) == []


def test_a_split_is_the_same_in_another_process_and_changes_with_the_seed():
    entities = [f"Person {i}" for i in range(20)]
    parts = {seed: split_by_entity(about(*entities), FRACTIONS, seed)["dev"]["entity"][:] for seed in (0, 1)}
    assert parts[0] != parts[1]
    program = (
        "from datasets import Dataset; from closedbook.data.questions import split_by_entity\n"
        "dataset = Dataset.from_dict({'entity': [f'Person {i}' for i in range(20)]})\n"
        f"print(split_by_entity(dataset, {FRACTIONS}, 0)['dev']['entity'][:])"
    )
    environment = os.environ | {"PYTHONHASHSEED": "123"}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == str(parts[0])


@pytest.mark.parametrize("fractions", [{}, {"a": 0.5, "b": 0.4}, {"a": 1.2, "b": -0.2}, {"a": 1.0, "b": 0.0}])
def test_fractions_are_positive_and_sum_to_one(fractions: dict[str, float]):
    with pytest.raises(ValueError, match="positive and sum to 1"):
        split_by_entity(about("Al", "Bo", "Cy"), fractions, seed=0)


def test_a_split_that_leaves_a_part_empty_is_refused():
    with pytest.raises(ValueError, match=r"0\.01 of 3 entities leaves part 'dev' empty"):
        split_by_entity(about("Al", "Bo", "Cy"), {"train": 0.99, "dev": 0.01}, seed=0)


def test_the_overlap_goes_by_entity_and_not_by_question():
    train, held_out = about("Al Roy", "Bo Li", "Cy Day"), about("Di Fox", "bo  li", "BO LI", "AL ROY")
    assert find_overlap(train, held_out) == ["AL ROY", "bo  li"]


def test_the_overlap_leaves_the_training_side_and_is_reported(caplog):
    train, dev, test = about("Al", "Bo", "Cy", "AL", "Di"), about("al", "Eve"), about("Al", "Di")
    remaining, removed = remove_overlap(train, dev, test)
    assert remaining["entity"][:] == ["Bo", "Cy"]
    assert removed == ["Di", "al"]
    assert "removed 3 training questions about 2 entities that are held out of training: Di, al" in caplog.text
    assert (len(dev), len(test)) == (2, 2)


def test_without_overlap_nothing_is_removed_or_said(caplog):
    train = about("Al", "Bo")
    remaining, removed = remove_overlap(train, about("Cy"))
    assert (remaining["entity"][:], removed, caplog.text) == (["Al", "Bo"], [], "")


def test_a_training_set_that_is_all_overlap_is_refused():
    with pytest.raises(ValueError, match="all 1 training questions ask about entities of the evaluation"):
        remove_overlap(about("Al"), about("Al", "Bo"))


# --- fitting the model

LETTERS = set("Where was Albon?Rmeq")


def test_training_questions_fit_up_to_the_last_character():
    questions = about("Al", answer="Rome")
    length = len("Where was Al born?") + 1 + len("Rome") + 1
    check_fit(questions, block_size=length, vocabulary=LETTERS)
    with pytest.raises(
        ValueError, match=rf"'Where was Al born\?' takes {length} characters .*block has {length - 1}"
    ):
        check_fit(questions, block_size=length - 1, vocabulary=LETTERS)


def test_questions_to_be_answered_need_room_for_what_is_generated():
    questions = about("Al", answer="München")  # the expected answer is not fed to the model
    length = len("Where was Al born?") + 1 + 10
    check_fit(questions, block_size=length, vocabulary=LETTERS, answer_room=10)
    with pytest.raises(ValueError, match="answer with its end 10"):
        check_fit(questions, block_size=length - 1, vocabulary=LETTERS, answer_room=10)


def test_characters_outside_the_vocabulary_and_special_ones_are_named():
    for entity, shown in (("Zoë", r"'Z' \(U\+005A\), 'ë' \(U\+00EB\)"), ("A⁇l", r"'⁇' \(U\+2047\)")):
        with pytest.raises(ValueError, match=rf"born\?' holds characters .*: {shown}"):
            check_fit(about(entity), block_size=128, vocabulary=LETTERS | {"⁇", "□"})
    with pytest.raises(ValueError, match=r"'ü' \(U\+00FC\)"):
        check_fit(about("Al", answer="Rüm"), block_size=128, vocabulary=LETTERS)


def test_a_training_question_without_an_answer_is_refused():
    questions = about("Al").map(lambda row: {"answers": []}, features=QUESTION_FEATURES)
    with pytest.raises(ValueError, match="has no answer to train on"):
        check_fit(questions, block_size=128, vocabulary=LETTERS)
    check_fit(questions, block_size=128, vocabulary=LETTERS, answer_room=8)


def test_five_offenders_are_named_and_the_others_counted():
    questions = about(*(("A" * i) for i in range(1, 10)))
    with pytest.raises(ValueError, match=r"7 complaints about 9 questions(?s:.*)and 2 more") as caught:
        check_fit(questions, block_size=len("Where was AA born?") + 6, vocabulary=LETTERS)
    assert str(caught.value).count("takes") == 5


# --- the reference questions


@needs_cs224n
def test_the_reference_questions_have_their_rows_conflicts_and_overlaps(caplog):
    folder = Path(CS224N)
    train_path = folder / "birth_places_train.tsv"
    train, dev = load_cs224n(train_path), load_cs224n(folder / "birth_dev.tsv")
    test = load_cs224n(folder / "birth_test_inputs.tsv", with_answers=False)
    assert (len(train), len(dev), len(test)) == (2_000, 500, 437)
    assert "dropped" not in caplog.text
    assert find_overlap(train, dev) == ["George Stone"]
    assert find_overlap(train, test) == ["Rose Prince", "Tom Arnold"]
    assert find_overlap(dev, test) == []
    assert len(remove_overlap(train, dev, test)[0]) == 1_997
    with pytest.raises(ValueError, match=r"train\.tsv:830: .*'Australia', but 'Melbourne' in line 196 \(9 such"):
        load_question_file(train_path)
    merged = load_question_file(train_path, on_conflict="merge")
    assert len(merged) == 1_991
    assert sum(len(answers) == 2 for answers in merged["answers"]) == 9


@needs_cs224n
def test_the_reference_questions_fit_the_reference_block():
    folder = Path(CS224N)
    vocabulary = set("".join(load_wiki(folder / "wiki.txt")["text"]))
    check_fit(load_cs224n(folder / "birth_places_train.tsv"), block_size=128, vocabulary=vocabulary)
    for name, with_answers in (("birth_dev.tsv", True), ("birth_test_inputs.tsv", False)):
        questions = load_cs224n(folder / name, with_answers=with_answers)
        check_fit(questions, block_size=128, vocabulary=vocabulary, answer_room=64)
