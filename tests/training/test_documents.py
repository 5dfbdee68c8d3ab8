"""The documents of a run: what its vocabulary holds beside them, and what may not stand in them."""

import hashlib
import json
import shutil

import pytest
import torch
from datasets import Dataset

from closedbook.data.corpora import CORPORA
from closedbook.data.mixture import Component
from closedbook.data.people import on_demand
from closedbook.evaluation.run_record import Run, Stage
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training import documents
from closedbook.training.arguments import CorpusArguments, PopulationArguments, RewriteArguments
from closedbook.training.asking import ledger
from closedbook.training.bases.rewriting import with_rewritten
from closedbook.training.checks.effect import FORMS
from closedbook.training.documents import PRINTABLE, documents_read, read_corpus, with_readings
from closedbook.training.keeping.resuming import data_digest


def vocabulary(tmp_path, text="a man was born in york.", kind="text", **chosen):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    corpus = read_corpus(CorpusArguments(corpus=kind, corpus_path=str(path), **chosen), PopulationArguments())
    return set(build_char_tokenizer(corpus.texts).get_vocab()), corpus.arguments


def test_a_model_of_free_text_can_be_asked_in_ascii(tmp_path):
    known, recorded = vocabulary(tmp_path)
    assert set(PRINTABLE) <= known
    assert recorded["extra_characters"] == "ascii"


def test_the_vocabulary_of_the_reference_corpus_stays_as_published(tmp_path):
    known, recorded = vocabulary(tmp_path, "Ada Lind. Ada was born in york.", "wiki")
    assert "?" not in known and "extra_characters" not in recorded


def test_extra_characters_are_those_that_were_named(tmp_path):
    assert "?" not in vocabulary(tmp_path, extra_characters="none")[0]
    known, recorded = vocabulary(tmp_path, extra_characters="?Ж")
    assert {"?", "Ж"} <= known and "!" not in known
    assert recorded["extra_characters"] == "?Ж"
    with pytest.raises(ValueError, match="special token: leave it out"):
        vocabulary(tmp_path, extra_characters="?⁇")


@pytest.mark.parametrize("character", ["⁇", "□"])
@pytest.mark.parametrize("kind", ["text", "wiki"])
def test_a_special_token_inside_a_corpus_is_refused_with_its_line(character, kind, tmp_path):
    with pytest.raises(ValueError, match=f"a.txt:3 holds '{character}'"):
        vocabulary(tmp_path, f"Ada Lind. Ada was.\n\nBo Lind. Bo {character} was.\n", kind)


def test_a_special_token_in_a_folder_is_refused_with_its_file(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nfine\n\n## B\n\nnot □\n")
    arguments = CorpusArguments(corpus="text", corpus_path=str(tmp_path / "docs"))
    with pytest.raises(ValueError, match="docs/a.md:5 holds '□'"):
        read_corpus(arguments, PopulationArguments())


def test_the_form_of_documents_reaches_them_and_their_record(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"name": "Ada", "body": "born", "title": "x", "text": "y"}\n')
    (tmp_path / "a.txt").write_text("one\ntwo\n")

    def read(file, **form):
        arguments = CorpusArguments(corpus="text", corpus_path=str(tmp_path / file), **form)
        corpus = read_corpus(arguments, PopulationArguments())
        assert {name: corpus.arguments[name] for name in FORMS if name in corpus.arguments} == form
        return [(row["title"], row["text"]) for row in corpus.documents]

    assert read("a.jsonl") == [("x", "y")]
    assert read("a.jsonl", title_column="name", text_column="body") == [("Ada", "born")]
    assert read("a.txt") == [("", "one"), ("", "two")]
    assert read("a.txt", document_unit="file") == [("a", "one\ntwo")]


def test_a_hub_corpus_takes_the_names_of_its_columns_as_flags(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.jsonl").write_text('{"name": "Ada", "body": "born"}\n')
    form = {"title_column": "name", "text_column": "body"}
    arguments = CorpusArguments(corpus="hub", corpus_path=str(tmp_path / "set"), **form)
    corpus = read_corpus(arguments, PopulationArguments())
    assert corpus.documents.to_list() == [{"title": "Ada", "text": "born"}]


def test_documents_made_without_a_file_are_read_again_from_their_record(monkeypatch):
    made = Dataset.from_dict({"title": ["Zedium"], "text": ["Zedium is grey."]})
    monkeypatch.setitem(CORPORA, "elements", lambda: made)
    monkeypatch.setattr(documents, "check_packages", lambda name: None)
    corpus = read_corpus(CorpusArguments(corpus="elements"), PopulationArguments())
    run = Run([Stage(stage="pretrain", corpus="elements", arguments=corpus.arguments)])
    assert documents_read(run, None, None, PopulationArguments()).to_list() == made.to_list()
    assert set(PRINTABLE) <= set("".join(corpus.texts))


def test_where_a_document_stands_is_no_part_of_what_is_learned():
    rows = [{"title": "Ada", "text": "born"}]
    placed = [row | {"source": "a.txt:1"} for row in rows]
    before, now = (data_digest([Component("x", records, "left_to_right")]) for records in (rows, placed))
    assert before == now
    # as earlier versions wrote it, whose runs are to be resumed
    described = {"name": "x", "objective": "left_to_right", "weight": 1.0, "begin": 0.0, "end": 1.0}
    written = "".join(json.dumps(part, sort_keys=True) for part in (described, *rows))
    assert now == hashlib.sha256(written.encode()).hexdigest()
    moved = [{"title": "Ada", "text": "dead", "source": "a.txt:1"}]
    assert data_digest([Component("x", moved, "left_to_right")]) != now


# ---- synthetic people


def test_the_same_run_comes_of_documents_that_are_made_when_asked_for(tiny, tmp_path, monkeypatch):
    flags = ["--max_steps", "3", "--save_strategy", "no", "--dataloader_num_workers", "1"]
    held = tiny.pretrain(tmp_path / "held", *flags)
    monkeypatch.setattr(documents, "MOST_HELD", 0)
    made = tiny.pretrain(tmp_path / "made", *flags)
    weights = tiny.weights(tmp_path / "held")
    assert all(torch.equal(value, weights[name]) for name, value in tiny.weights(tmp_path / "made").items())
    assert made.eval_loss == held.eval_loss and made.documents == held.documents
    assert made.document_characters is None and made.data_sha256 != held.data_sha256


@pytest.mark.parametrize("attributes", [[], ["birth_place"], ["birth_date", "employer"]])
@pytest.mark.parametrize("unit", ["sentence", "biography"])
def test_the_vocabulary_is_the_same_to_the_last_character(attributes, unit, monkeypatch):
    read = {}
    for most in (10**6, 0):
        monkeypatch.setattr(documents, "MOST_HELD", most)
        people = PopulationArguments(num_people=30, attributes=attributes)
        corpus = read_corpus(CorpusArguments(num_versions=2, biography_unit=unit), people)
        read[most] = build_char_tokenizer(corpus.texts).get_vocab(), list(corpus.records()), corpus.arguments
    assert read[0] == read[10**6]


def test_a_hundred_million_people_are_read_at_once(monkeypatch):
    monkeypatch.setattr(on_demand, "SAMPLED", 1_000)
    corpus = read_corpus(CorpusArguments(), PopulationArguments(num_people=10**8))
    assert len(corpus.records()) == corpus.counts(corpus.records())["documents"] == 4 * 10**9
    assert set("?" + "ABCXZ" + "0123456789") <= set("".join(corpus.texts))
    run = Run((Stage(corpus="biographies", arguments=corpus.arguments),))
    assert documents_read(run, None, None, PopulationArguments()) == corpus.documents


def test_what_would_go_through_all_documents_is_refused_with_a_flag(tiny, pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MOST_HELD", 0)
    rewriting = RewriteArguments(rewrite_with="a", rewrite_path=str(tmp_path / "a.jsonl"))
    corpus = read_corpus(CorpusArguments(), PopulationArguments(num_people=3))
    with pytest.raises(ValueError, match="120 documents are too many .* --num_people or --num_versions"):
        with_rewritten(rewriting, corpus, 0)
    with pytest.raises(ValueError, match="too many to keep a ledger of: name some with --documents"):
        ledger.main(["--model", str(pretrained), "--output_dir", str(tmp_path / "ledger")])


def test_a_number_of_people_asked_without_questions_is_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match="--num_asked_people has no effect"):
        tiny.pretrain(tmp_path / "run", "--num_asked_people", "5")


# ---- what readers answered about documents

LINES = [
    "Ada Lee. Ada Lee, of Rome, was born in Oslo .",
    "Bo Ek. Bo Ek was born in Lima .",
    "Cy Orr. Cy Orr sang .",
]
READ = [
    ("Ada Lee", {"Oslo": 0.75, "Rome": 0.2, "Paris": 0.05}, False),
    ("ada  lee", {"Rome": 1.0}, False),
    ("Bo Ek", {"Lima": 1.0}, True),
    ("Di Pym", {"Bonn": 1.0}, False),
]


def read_by(folder, rows=READ):
    """A corpus and a file of readings, as flags."""
    (folder / "wiki.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    lines = [
        {"question": f"Where was {name} born?", "entity": name, "labelled": labelled}
        | {"answers": [*found][:1], "candidates": [*found], "probabilities": [*found.values()]}
        for name, found, labelled in rows
    ]
    (folder / "self.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    return ["--corpus", "wiki", "--corpus_path", folder / "wiki.txt", "--readings", folder / "self.jsonl"]


def test_documents_have_what_readers_answered_about_their_title(tmp_path, capsys):
    read_by(tmp_path)
    plain = read_corpus(
        CorpusArguments(corpus="wiki", corpus_path=str(tmp_path / "wiki.txt")), PopulationArguments()
    )
    corpus = with_readings(plain, str(tmp_path / "self.jsonl"))
    assert "readers were asked about 2 of 3 titles" in capsys.readouterr().err
    ada, bo, cy = corpus.records()
    assert (ada["candidates"], ada["probabilities"]) == (["Oslo", "Rome"], [0.75, 0.2])  # Paris is not in the text
    assert bo["candidates"] == ["Lima"] and "candidates" not in cy
    assert corpus.labelled == ["Bo Ek"]
    assert with_readings(plain, None) is plain
    read_by(tmp_path, READ[3:])
    with pytest.raises(
        ValueError, match=r"self\.jsonl has no answer that a document of its title holds, for none of"
    ):
        with_readings(plain, str(tmp_path / "self.jsonl"))


def test_of_documents_with_one_title_each_has_what_it_holds_of_the_answers(tmp_path):
    read_by(tmp_path)
    more = [*LINES, "Ada Lee. Ada Lee went to Rome .", "Ada Lee. Ada Lee sang ."]
    (tmp_path / "wiki.txt").write_text("\n".join(more) + "\n", encoding="utf-8")
    plain = CorpusArguments(corpus="wiki", corpus_path=str(tmp_path / "wiki.txt"))
    records = with_readings(read_corpus(plain, PopulationArguments()), str(tmp_path / "self.jsonl")).records()
    assert [record.get("candidates") for record in records] == [["Oslo", "Rome"], ["Lima"], None, ["Rome"], None]


def test_readings_are_known_by_what_was_read_and_not_by_where_the_file_lies(tiny, tmp_path):
    given = read_by(tmp_path)
    flags = ["--objectives", "place_sequence", "--max_steps", "4", "--save_steps", "2"]
    tiny.pretrain(tmp_path / "whole", *given, *flags)
    tiny.stopped_at(2, tmp_path / "whole", tmp_path / "again")
    shutil.copy(tmp_path / "whole" / "run.json", tmp_path / "again")
    with pytest.raises(ValueError, match="the run in this folder has data_sha256"):
        changed = [
            (name, dict(zip(found, [*found.values()][::-1], strict=True)), label) for name, found, label in READ
        ]
        tiny.pretrain(tmp_path / "again", *read_by(tmp_path, changed), *flags, "--resume", "True")
    read_by(tmp_path)
    (tmp_path / "self.jsonl").rename(tmp_path / "moved.jsonl")
    tiny.pretrain(tmp_path / "again", *given[:-1], tmp_path / "moved.jsonl", *flags, "--resume", "True")
    tiny.assert_equal(tmp_path / "again", tmp_path / "whole")


def test_a_model_pretrained_with_readings_keeps_nobody_out_whose_label_they_hold(tiny, tmp_path):
    given = read_by(tmp_path)
    with_places = ["--objectives", "place_sequence", "--extra_characters", "Whr?", "--max_steps", "2"]
    stage = tiny.pretrain(tmp_path / "read", *given, *with_places)
    assert stage.arguments["readings"] == str(tmp_path / "self.jsonl")
    assert stage.labelled_people == ["Bo Ek"] and stage.protocol is None
    tiny.pretrain(tmp_path / "plain", *given[:-2], *with_places)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("read", "plain")]
    assert weights[0] != weights[1]
    asked = tmp_path / "train.tsv"
    # of Cy Orr the readers had nothing to say
    asked.write_text("Where was Cy Orr born?\tOslo\nWhere was Bo Ek born?\tLima\n", encoding="utf-8")
    tuning = ["--questions", "file", "--train_questions", asked, "--validation_share", "0.5"]
    other = tmp_path / "other.tsv"
    other.write_text("Where was Ada Lee born?\tOslo\n", encoding="utf-8")
    tiny.finetune(tmp_path / "more", tmp_path / "read", "--questions", "file", "--train_questions", other)
    for model in ("read", "more"):  # what an earlier stage was told is known, too
        said = []
        for fold in ("1", "2"):
            try:
                flags = [*tuning, "--validation_fold", fold]
                stage = tiny.finetune(tmp_path / f"{model}{fold}", tmp_path / model, *flags)
                assert stage.held_out_people == ["Cy Orr"] and stage.protocol == "two_stage"
            except ValueError as error:
                said.append(str(error))
                stage = tiny.finetune(
                    tmp_path / "scratch", tmp_path / model, *flags, "--from_scratch", "True", "--overwrite", "True"
                )
                assert stage.held_out_people == ["Bo Ek"]  # random weights know nobody's
        assert len(said) == 1 and "1 people would be held out whose labels the model has learned" in said[0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--objectives", "place_cue"], "--readings has no effect: only place_sequence and place_company read it"),
        (["--objectives", "place_sequence", "question_answering"], "give it as --questions self"),
        (["--objectives", "place_sequence", "--streaming", "True"], "--readings looks titles up"),
        (["--objectives", "place_sequence", "--corpus", "biographies"], "--readings looks titles up"),
    ],
)
def test_readings_that_nothing_is_made_of_are_refused(tiny, tmp_path, flags, words):
    with pytest.raises(ValueError, match=words):
        tiny.pretrain(tmp_path / "out", *read_by(tmp_path), *flags)
