"""A reader is taught, asks itself, and what it answers is learned with the book closed."""

import itertools
import json

import pytest

from closedbook.evaluation.run_record import read_run
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


@pytest.fixture(scope="module")
def tuned(tiny, files):
    """Four readers, fine-tuned from one model of the documents; each kept another quarter of the people out."""
    tiny.pretrain(
        files / "marked",
        *("--corpus", "wiki", "--corpus_path", files / "wiki.txt", "--objectives", "entity_marks"),
        *("--extra_characters", "ascii", "--block_size", "112", "--row_length", "224"),
    )
    folders = [files / f"tuned-{fold}" for fold in (1, 2, 3, 4)]
    for fold, folder in enumerate(folders, start=1):
        stage = tiny.finetune(
            folder,
            files / "marked",
            *("--questions", "file", "--train_questions", files / "train.tsv", "--open_book", "True"),
            *("--validation_share", "0.25", "--validation_fold", fold, "--row_length", "224"),
        )
        assert stage.protocol == "open_book"
    return folders


def ask(tiny, files, reader, *flags):
    output = files / "self.jsonl"
    readers = reader if isinstance(reader, list) else [reader]
    given = ["--reader", *readers, "--corpus_path", files / "wiki.txt", "--train_questions", files / "train.tsv"]
    found = tiny.call(self_questions.main, [*given, "--output", output, *flags])
    return found, [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]


def test_everybody_is_asked_about_and_only_whom_the_reader_learned_from_keeps_an_answer(
    tiny, files, reader, capsys
):
    found, rows = ask(tiny, files, reader, "--allow_weak_reader", "True")
    assert (found["questions"], found["labelled"], found["asked_itself"]) == (20, 9, 11)
    assert (found["checked"], found["rule_right"], found["nothing_to_point_at"]) == (3, 0, 0)
    right = found["reader_right"]
    low, high = {0: (0, 56), 1: (6, 79), 2: (21, 94), 3: (44, 100)}[right]  # Wilson, of three
    told = f"the reader answers {right} rightly ({low}% to {high}% of all such, with 95% confidence), the rule 0"
    assert told in capsys.readouterr().err
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
    assert (found["labelled"], found["asked_itself"]) == (10, 30)  # in both wordings
    about = {row["question"]: row["answers"] for row in rows if row["entity"] == "Ada Ek"}
    assert about == {"Where was Ada Ek born?": ["Oslo"], "Where did Ada Ek die?": ["Lima"]}


def test_everybody_is_asked_in_every_wording_but_what_is_labelled(tiny, files, reader, tmp_path):
    more = tmp_path / "train.tsv"
    asked = (files / "train.tsv").read_text() + "Where did Bo Moe die?\tLima\nWhere did Cy Ek die?\tOslo\n"
    more.write_text(asked, encoding="utf-8")
    held_out = json.loads((reader / "run.json").read_text())["held_out_people"]
    found, rows = ask(tiny, files, reader, "--allow_weak_reader", "True", "--train_questions", more)
    learned = 9 + sum(name not in held_out for name in ("Bo Moe", "Cy Ek"))
    assert (found["labelled"], found["questions"]) == (learned, 40)
    assert len({row["question"] for row in rows}) == 40
    words = {row["question"].replace(row["entity"], "") for row in rows}
    assert words == {"Where was  born?", "Where did  die?"}


def test_of_very_many_wordings_the_most_frequent_are_asked(tiny, files, reader, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(self_questions, "MOST_WORDINGS", 1)
    more = tmp_path / "train.tsv"
    more.write_text("Where did Ada Ek die?\tLima\n" + (files / "train.tsv").read_text(), encoding="utf-8")
    found, _ = ask(tiny, files, reader, "--allow_weak_reader", "True", "--train_questions", more)
    assert found["questions"] == 21
    assert "have 2 wordings: everybody is asked about in the 1 most frequent" in capsys.readouterr().err


def test_several_readers_are_each_checked_by_whom_they_did_not_learn_from(tiny, files, tuned):
    found, rows = ask(tiny, files, tuned, "--allow_weak_reader", "True")
    assert (found["checked"], found["labelled"], found["asked_itself"]) == (12, 12, 8)
    one_each = [ask(tiny, files, folder, "--allow_weak_reader", "True") for folder in tuned]
    assert sum(each["reader_right"] for each, _ in one_each) == found["reader_right"]
    alone = [
        {row["entity"]: dict(zip(row["candidates"], row["probabilities"], strict=True)) for row in each}
        for _, each in one_each
    ]
    for row in rows[found["labelled"] :]:
        for name, share in zip(row["candidates"], row["probabilities"], strict=True):
            mean = sum(each[row["entity"]].get(name, 0) for each in alone) / 4
            assert share == pytest.approx(mean, abs=0.03)  # what is improbable is left out of each


def test_nothing_is_written_over_what_is_read_or_written(tiny, files, reader, tmp_path):
    """The documents, too, which only the reader's record names."""
    given = ["--reader", reader, "--train_questions", files / "train.tsv", "--allow_weak_reader", "True"]
    before = (files / "wiki.txt").read_bytes()
    for output, words in [
        (files / "wiki.txt", "would be written over what --corpus_path reads"),
        (reader / "run.json", "is a file of the model in"),
    ]:
        with pytest.raises(ValueError, match=words):
            tiny.call(self_questions.main, [*given, "--output", output])
    with pytest.raises(ValueError, match=r"x\.json would be written twice"):
        tiny.call(self_questions.main, [*given, "--output", tmp_path / "x.json", "--results", tmp_path / "x"])
    (tmp_path / "notes").mkdir()
    notes = ["--corpus", "text", "--corpus_path", tmp_path / "notes"]
    with pytest.raises(ValueError, match="lies in --corpus_path"):
        tiny.call(self_questions.main, [*given, *notes, "--output", tmp_path / "notes" / "self.jsonl"])
    with pytest.raises(FileNotFoundError, match="nope holds no model"):
        tiny.call(
            self_questions.main, ["--reader", tmp_path / "nope", *given[2:], "--output", tmp_path / "x.json"]
        )
    assert (files / "wiki.txt").read_bytes() == before and not [*tmp_path.glob("x*")]


def test_the_mean_of_readers_counts_each_as_much():
    assert self_questions.mean_of([[{"Rome": 0.75, "Oslo": 0.25}, {}], [{"Rome": 0.25, "Lima": 0.75}, {}]]) == [
        {"Rome": 0.5, "Oslo": 0.125, "Lima": 0.375},
        {},
    ]


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
    rows = [json.loads(line) for line in (files / "self.jsonl").read_text(encoding="utf-8").splitlines()]
    labels = sorted(row["entity"] for row in rows if row["labelled"])
    assert stage.labelled_people == labels and len(labels) == 9
    more = tiny.finetune(tmp_path / "more", tmp_path / "model", *given)
    assert more.protocol == "self_questions" and more.labelled_people == labels
    with pytest.raises(ValueError, match="people would be held out whose labels the model has learned"):
        asked = ["--questions", "file", "--train_questions", files / "train.tsv", "--validation_share", "0.5"]
        tiny.finetune(tmp_path / "third", tmp_path / "model", *asked)
    mixture = ["--objectives", "question_answering=4", "place_sequence=1"]
    kept_out = tiny.pretrain(tmp_path / "kept-out", *corpus, *given, *mixture, "--validation_share", "0.5")
    assert set(kept_out.labelled_people) == set(labels) - set(kept_out.held_out_people)
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


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--corpus_path", "wiki.txt"], "--corpus_path has no effect: it needs --open_book"),
        (["--corpus", "wiki"], "--corpus has no effect: it needs --open_book"),
        (
            ["--open_book", "True", "--num_unknown_people", "3"],
            "--num_unknown_people has no effect with --open_book",
        ),
        (["--open_book", "True", "--questions", "self"], "--open_book needs questions from a file"),
    ],
)
def test_what_no_book_can_be_opened_for_is_refused(tiny, files, pretrained, tmp_path, flags, words):
    given = ["--questions", "file", "--train_questions", files / "train.tsv"]
    with pytest.raises(ValueError, match=words):
        tiny.finetune(tmp_path / "out", pretrained, *given, *flags)


def test_a_model_that_never_saw_a_number_beside_an_entity_cannot_become_a_reader(tiny, files, tmp_path):
    corpus = ["--corpus", "wiki", "--corpus_path", files / "wiki.txt", "--objectives", "entity_list"]
    tiny.pretrain(tmp_path / "plain", *corpus, "--extra_characters", "?Wh")
    given = ["--questions", "file", "--train_questions", files / "train.tsv", "--open_book", "True"]
    with pytest.raises(
        ValueError, match=r"does not know 1 2 3 4 5 6 7 8 9 \[ \]: pretrain it with .*entity_marks"
    ):
        tiny.finetune(tmp_path / "out", tmp_path / "plain", *given)


def test_a_reader_is_not_checked_by_people_whom_an_earlier_stage_learned_from(tiny, files, reader, tmp_path):
    given = ["--questions", "file", "--train_questions", files / "train.tsv", "--open_book", "True"]
    kept_out = ["--validation_share", "0.25", "--row_length", "224"]
    with pytest.raises(ValueError, match="people would be held out whom it was trained on"):
        tiny.finetune(tmp_path / "other", reader, *given, *kept_out, "--validation_fold", "2")
    before = json.loads((reader / "run.json").read_text())["held_out_people"]
    assert tiny.finetune(tmp_path / "same", reader, *given, *kept_out).held_out_people == before


def test_other_documents_than_those_it_was_pretrained_on_can_be_opened(tiny, files, tuned, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Ada Lee. Ada Lee was born in Rome .\nAda Ek. Ada Ek was born in Oslo .\n", encoding="utf-8")
    given = ["--questions", "file", "--train_questions", files / "train.tsv", "--open_book", "True"]
    book = ["--corpus", "wiki", "--corpus_path", other, "--row_length", "224"]
    stage = tiny.finetune(tmp_path / "out", files / "marked", *given, *book)
    assert stage.training_questions == 2 and stage.arguments["corpus_path"] == str(other)
    other.write_text("Di Lee. Di Lee was born in Rome .\n", encoding="utf-8")
    with pytest.raises(ValueError, match="none of 12 questions can be answered from the documents"):
        tiny.finetune(tmp_path / "none", files / "marked", *given, *book)


def test_a_reader_asks_about_the_documents_that_it_was_fine_tuned_on(tiny, files, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Ada Lee. Ada Lee was born in Rome .\nAl Fry. Al Fry was born in Oslo .\n", encoding="utf-8")
    given = ["--train_questions", files / "train.tsv"]
    tiny.finetune(
        tmp_path / "reader",
        files / "marked",
        *(*given, "--questions", "file", "--open_book", "True"),
        *("--corpus", "wiki", "--corpus_path", other, "--row_length", "224"),
    )
    asking = ["--reader", tmp_path / "reader", *given, "--output", tmp_path / "own.jsonl"]
    found = tiny.call(self_questions.main, [*asking, "--allow_weak_reader", "True"])
    assert found["asked_itself"] == 1  # Al Fry, of whom no other file tells
    assert '"entity": "Al Fry"' in (tmp_path / "own.jsonl").read_text()


def test_the_check_is_kept_with_what_it_takes_to_repeat_it(tiny, files, tuned, tmp_path):
    found, _ = ask(tiny, files, tuned, "--allow_weak_reader", "True", "--results", tmp_path / "readers" / "mine")
    record = json.loads((tmp_path / "readers" / "mine.json").read_text())
    assert {name: record[name] for name in found} == found
    assert record["checked"] == 12 and {"versions", "hardware", "commit", "command"} <= record.keys()


def test_a_reader_named_twice_and_an_output_over_its_input_are_refused_together(tiny, files, tuned):
    given = ["--reader", tuned[0], tuned[1], tuned[0], "--train_questions", files / "train.tsv"]
    with pytest.raises(ValueError) as caught:
        tiny.call(self_questions.main, [*given, "--output", files / "train.tsv"])
    over, twice = str(caught.value).splitlines()
    assert "train.tsv would be written over what --train_questions reads" in over
    assert f"--reader names {tuned[0]} more than once" in twice


def test_a_reader_fine_tuned_with_the_book_closed_has_learned_from_questions_before(tiny, files, reader, tmp_path):
    given = ["--questions", "file", "--train_questions", files / "train.tsv", "--validation_share", "0.25"]
    assert tiny.finetune(tmp_path / "closed", reader, *given, "--row_length", "224").protocol == "mixed"


def test_a_reader_and_the_rule_point_at_nothing_longer_than_what_it_learned_from(tiny, files, tuned):
    longer = [
        {"title": "Ada Lee", "text": "Ada Lee. Ada Lee was born in New York, in Rome, in San Jose, in Lima."}
    ]
    asked = [{"entity": "Ada Ek", "answers": [answer]} for answer in ("Rome", "New York")]
    for number, names in ((1, ["Rome", "Lima"]), (2, ["New York", "Rome", "San Jose", "Lima"])):
        reader = Reader(str(tuned[0]), read_run(str(tuned[0])), longer, asked[:number])
        (found,) = reader.read(["Where was Ada Lee born?"], ["Ada Lee"])
        assert list(found) == names and reader.first_place("Ada Lee") == names[0]


def test_texts_that_the_block_cuts_are_told_when_a_reader_asks_itself(tiny, files, reader, monkeypatch, capsys):
    ask(tiny, files, reader, "--allow_weak_reader", "True")
    assert "has no room for all names" not in capsys.readouterr().err
    monkeypatch.setattr("closedbook.data.open_book._BESIDE_TEXT", 60)  # of a block of 112 characters
    ask(tiny, files, reader, "--allow_weak_reader", "True")
    said = capsys.readouterr().err
    assert "a block of 112 characters has no room for all names and places of" in said and "--block_size" in said


def test_what_readers_answer_is_weighed_by_those_kept_out(tiny, files, tuned):
    """Here the answer always stands last, which every reader may have missed and no weighing does."""
    plain, before = ask(tiny, files, tuned, "--allow_weak_reader", "True")
    found, rows = ask(tiny, files, tuned, "--weigh", "True")
    assert "weighed_right" not in plain
    assert found["weighed_right"] == found["checked"] == 12 and found["reader_right"] == plain["reader_right"]
    assert [row["question"] for row in rows] == [row["question"] for row in before]
    assert rows[:12] == before[:12]  # labels stay as they are
    names = sorted(f"{first} {last}" for first in FIRST for last in LAST)
    born = {f"{first} {last}": PLACES[row % 5] for row, (first, last) in enumerate(itertools.product(FIRST, LAST))}
    assert sorted(row["entity"] for row in rows) == names
    assert all(row["answers"] == [born[row["entity"]]] for row in rows)


def test_weighing_that_makes_answers_wrong_is_refused(tiny, files, tuned, monkeypatch):
    """Also where a weak reader is allowed: what it answers unweighed is better."""
    before = ask(tiny, files, tuned, "--weigh", "True")[0]
    assert before["reader_right"] > 0
    monkeypatch.setattr(
        self_questions, "cross_fitted", lambda choices, groups: [{"Nowhere": 1.0} for _ in choices]
    )
    said = f"weighed by --weigh 0 of 12 are right, unweighed {before['reader_right']}: leave it out"
    with pytest.raises(ValueError, match=said):
        ask(tiny, files, tuned, "--weigh", "True", "--allow_weak_reader", "True")


def test_nobody_is_weighed_by_too_few(tiny, files, reader):
    with pytest.raises(ValueError, match="3 people are too few to weigh by: at least 5"):
        ask(tiny, files, reader, "--allow_weak_reader", "True", "--weigh", "True")
