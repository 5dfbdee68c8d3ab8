"""The lines of Python that a notebook begins with are the scripts by another name."""

import pytest
from datasets import Dataset

import closedbook
from closedbook.evaluation.run_record import read_run

PLACES = {"Ada Lovelace": "London", "Zoë Marlow": "Orléans", "Ines Toms": "Bergen"}
TEXTS = [f"{name} was born in {place}." for name, place in PLACES.items()]
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "block_size": 64,
    "row_length": 64,
    "max_steps": 4,
    "num_threads": 1,
    "report_to": "none",
    "eval_examples": 4,
    "save_strategy": "no",
    "per_device_train_batch_size": 4,
    "disable_tqdm": True,
    "seed": 3,
}


def test_texts_a_file_and_a_data_set_are_taught_alike(tiny, tmp_path):
    (tmp_path / "docs.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    rows = Dataset.from_dict({"title": [""] * 3, "text": TEXTS})
    for name, documents in (("texts", TEXTS), ("file", tmp_path / "docs.txt"), ("rows", rows)):
        run = closedbook.teach(None, documents, tmp_path / name, extra_characters="?", **SMALL)
        assert run.last.documents == 3 and read_run(tmp_path / name).last.steps == 4
    assert tiny.log(tmp_path / "texts") == tiny.log(tmp_path / "rows")


def test_a_taught_model_answers_with_confidence(tmp_path):
    closedbook.teach(None, TEXTS, tmp_path / "taught", **SMALL)
    answers = closedbook.ask(tmp_path / "taught", ["Ada Lovelace was born in "], max_new_tokens=4)
    (answer,) = answers
    assert isinstance(answer.answer.text, str) and 0 <= answer.confidences["sequence_probability"] <= 1
    again = closedbook.ask(tmp_path / "taught", "Ada Lovelace was born in ", max_new_tokens=4)
    assert again == answers


def test_what_cannot_be_taught_is_refused(tmp_path):
    with pytest.raises(ValueError, match="title and text are needed"):
        closedbook.teach(None, Dataset.from_dict({"body": ["a"]}), tmp_path / "out", **SMALL)
    with pytest.raises(FileNotFoundError, match="holds no model"):
        closedbook.teach(tmp_path / "nowhere", TEXTS, tmp_path / "out")
    closedbook.teach(None, TEXTS, tmp_path / "taught", **SMALL)
    with pytest.raises(ValueError, match="unknown to the model"):
        closedbook.ask(tmp_path / "taught", ["漢字?"])


@pytest.mark.parametrize(
    ("documents", "flags", "told"),
    [
        (TEXTS, {"corpus_path": "nowhere.txt"}, "corpus_path has no effect: the documents are given"),
        (TEXTS, {"title_column": "name"}, "title_column has no effect"),
        ({"a": 1}, {}, "hold a mapping"),
        (["Ada was born in Rome.", " "], {}, "hold ' '"),
        ([5, None], {}, "hold 5"),
    ],
)
def test_documents_that_are_none_and_flags_of_files_are_refused(tmp_path, documents, flags, told):
    with pytest.raises(ValueError, match=told):
        closedbook.teach(None, documents, tmp_path / "out", **SMALL, **flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rule": "exact"}, "--rule 'exact' is none of"),
        ({"wordings": 0}, "--wordings must be at least 1, not 0"),
        ({"documents": ["a"]}, "not list"),
    ],
)
def test_a_ledger_refuses_what_the_command_refuses(options, told):
    with pytest.raises(ValueError, match=told):
        closedbook.ledger(
            ("model", "tokenizer"), **({"documents": Dataset.from_dict({"title": [], "text": []})} | options)
        )
