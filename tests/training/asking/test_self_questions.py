"""A reader is taught, asks itself, and what it answers is learned with the book closed."""

import json

import pytest

from closedbook.training.asking import self_questions
from closedbook.training.asking.self_questions import Reader

PLACES = ["Rome", "Oslo", "Lima", "Bonn", "Cairo"]
FIRST, LAST = ["Ada", "Bo", "Cy", "Di"], ["Lee", "Ek", "Moe", "Orr", "Pym"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twenty people, whose places of death come first, questions about twelve of them, and a reader."""
    folder = tmp_path_factory.mktemp("read")
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    lines, asked = [], []
    for number, name in enumerate(names):
        born, died = PLACES[number % 5], PLACES[(number + 1) % 5]
        lines.append(f"{name}. {name} died in {died} and was born in {born} .\n")
        if number < 12:
            asked.append(f"Where was {name} born?\t{born}\n")
    (folder / "wiki.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "train.tsv").write_text("".join(asked), encoding="utf-8")
    return folder


READING = ["--objectives", "entity_marks=20", "question_answering=1", "--questions", "file", "--open_book", "True"]


@pytest.fixture(scope="module")
def reader(tiny, files):
    folder = files / "reader"
    stage = tiny.pretrain(
        folder,
        *("--corpus", "wiki", "--corpus_path", files / "wiki.txt", "--train_questions", files / "train.tsv"),
        *(*READING, "--validation_share", "0.25", "--block_size", "112", "--row_length", "224"),
    )
    assert stage.protocol == "open_book" and len(stage.held_out_people) == 3
    return folder


def ask(tiny, files, reader, *flags):
    output = files / "self.jsonl"
    given = ["--reader", reader, "--corpus_path", files / "wiki.txt", "--train_questions", files / "train.tsv"]
    found = tiny.call(self_questions.main, [*given, "--output", output, *flags])
    return found, [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def test_everybody_is_asked_about_and_only_whom_the_reader_learned_from_keeps_an_answer(tiny, files, reader):
    found, rows = ask(tiny, files, reader, "--allow_weak_reader", "True")
    assert (found["questions"], found["labelled"], found["asked_itself"]) == (20, 9, 11)
    assert (found["checked"], found["rule_right"], found["nothing_to_point_at"]) == (3, 0, 0)
    assert len({row["entity"] for row in rows}) == 20
    sure = {row["entity"] for row in rows if row["probabilities"] == [1.0]}
    held_out = set(json.loads((reader / "run.json").read_text())["held_out_people"])
    assert len(held_out) == 3 and not sure & held_out
    for row in rows:
        assert row["question"] == f"Where was {row['entity']} born?"
        assert sum(row["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert row["answers"] == row["candidates"][:1] and set(row["candidates"]) <= set(PLACES)
        assert row["probabilities"] == sorted(row["probabilities"], reverse=True)


def test_every_labelled_question_is_kept_also_where_several_are_about_somebody(tiny, files, reader, tmp_path):
    more = tmp_path / "train.tsv"
    more.write_text((files / "train.tsv").read_text() + "Where did Ada Ek die?\tLima\n", encoding="utf-8")
    held_out = json.loads((reader / "run.json").read_text())["held_out_people"]
    assert "Ada Ek" not in held_out
    found, rows = ask(tiny, files, reader, "--allow_weak_reader", "True", "--train_questions", more)
    assert (found["labelled"], found["asked_itself"]) == (10, 11)
    about = {row["question"]: row["answers"] for row in rows if row["entity"] == "Ada Ek"}
    assert about == {"Where was Ada Ek born?": ["Oslo"], "Where did Ada Ek die?": ["Lima"]}


def test_a_reader_below_the_rule_is_refused_and_so_is_a_model_that_is_none(
    tiny, files, reader, pretrained, monkeypatch
):
    monkeypatch.setattr(Reader, "read", lambda self, questions, entities: [{"Nowhere": 1.0}] * len(questions))
    monkeypatch.setattr(Reader, "first_place", lambda self, entity: PLACES[0])
    with pytest.raises(ValueError, match=r"the reader is right 0 times of 3, the first place of the text \d"):
        ask(tiny, files, reader)
    with pytest.raises(ValueError, match="was not taught with the book open"):
        ask(tiny, files, pretrained)


def test_a_reader_that_kept_nobody_out_cannot_be_checked(tiny, files, reader):
    record = json.loads((reader / "run.json").read_text())
    record["held_out_people"] = []
    other = files / "unchecked"
    other.mkdir()
    for file in reader.iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
    (other / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="nobody was kept out of the reader's training"):
        ask(tiny, files, other)


def test_its_questions_are_learned_with_the_book_closed(tiny, files, reader, tmp_path):
    ask(tiny, files, reader, "--allow_weak_reader", "True")
    given = ["--questions", "self", "--train_questions", files / "self.jsonl"]
    corpus = ["--corpus", "wiki", "--corpus_path", files / "wiki.txt"]
    stage = tiny.pretrain(
        tmp_path / "model", *corpus, *given, "--objectives", "question_answering=4", "place_sequence=1"
    )
    assert stage.protocol == "self_questions" and stage.training_questions == 20
    assert tiny.finetune(tmp_path / "more", tmp_path / "model", *given).protocol == "self_questions"
    result = tiny.evaluate(
        tmp_path / "model",
        *("--questions", "file", "--question_file", files / "train.tsv", "--task", "mine", "--split", "dev"),
    )
    assert result["protocol"] == "self_questions" and result["n"] == 12


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tokenizer", "train:bpe:300"], "--open_book numbers the entities of a text in characters"),
        (["--questions", "self"], "--open_book needs questions from a file"),
        (["--corpus", "text", "--streaming", "True"], "--open_book looks documents up"),
    ],
)
def test_what_no_reader_can_be_is_refused(tiny, files, tmp_path, flags, words):
    with pytest.raises(ValueError, match=words):
        tiny.pretrain(
            tmp_path / "out",
            *("--corpus", "wiki", "--corpus_path", files / "wiki.txt", "--train_questions", files / "train.tsv"),
            *(*READING, *flags),
        )


def test_a_candidate_that_does_not_fit_is_refused_before_anything_is_trained(tiny, files, pretrained, tmp_path):
    row = {"question": "Where was Ada Lee born?", "entity": "Ada Lee", "probabilities": [0.9, 0.1]}
    (tmp_path / "self.jsonl").write_text(json.dumps(row | {"candidates": ["Rome", "R" * 80]}), encoding="utf-8")
    with pytest.raises(ValueError, match="1 complaints about 2 questions"):
        tiny.finetune(
            tmp_path / "out", pretrained, "--questions", "self", "--train_questions", tmp_path / "self.jsonl"
        )


def test_fine_tuning_opens_no_book(tiny, files, pretrained, tmp_path):
    with pytest.raises(ValueError, match="--open_book has no effect"):
        tiny.finetune(
            tmp_path / "out",
            pretrained,
            *("--questions", "file", "--train_questions", files / "train.tsv", "--open_book", "True"),
        )
