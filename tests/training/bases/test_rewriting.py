"""Documents written again by a model: what is kept, that nothing is written twice, what is refused."""

import json

import pytest
import torch
from datasets import Dataset

from closedbook.data.documents.loading import SOURCED_FEATURES
from closedbook.evaluation.answering.prompts import Completion
from closedbook.training.arguments import RewriteArguments
from closedbook.training.bases import rewriting
from closedbook.training.bases.rewriting import KINDS, check_rewriting, judge, read_rewritten, with_rewritten
from closedbook.training.documents import Corpus

MILL = {
    "title": "Alder Mill",
    "text": "Alder Mill was built in 1823. It is located in Thornby.",
    "source": "a.md:1",
}
BELL = {"title": "Fenwick Bell", "text": "The Fenwick Bell was cast in 1764 by Jonas Tarrant.", "source": "b.md:1"}


class Writer:
    """In the place of a model: what it writes follows from what it is asked."""

    chat_template = None

    def __init__(self):
        self.asked = []

    def to(self, device):
        return self

    def complete(self, model, tokenizer, prompts, decoding, *, seed, **options):
        self.asked += [(prompt, decoding.method, seed) for prompt in prompts]
        texts = ["In Thornby stands Alder Mill." if "Alder" in prompt else "Nobody knows." for prompt in prompts]
        return [Completion(text, True, 0.0, 1, ()) for text in texts]


@pytest.fixture
def writer(monkeypatch):
    made = Writer()
    monkeypatch.setattr(rewriting, "load_stock_model", lambda name, **options: (made, made))
    monkeypatch.setattr(rewriting, "complete_prompts", made.complete)
    return made


def corpus(*documents) -> Corpus:
    return Corpus(Dataset.from_list(list(documents), features=SOURCED_FEATURES), ["x"], {})


def arguments(path, **more) -> RewriteArguments:
    return RewriteArguments(
        rewrite_with="writer", rewrite_path=str(path), **({"rewrite_kinds": ["simple"]} | more)
    )


def test_what_is_kept_stands_behind_the_documents_with_their_titles_and_places(writer, tmp_path, capsys):
    found = with_rewritten(arguments(tmp_path / "kept.jsonl"), corpus(MILL, BELL), 3)
    assert found.documents.to_list() == [MILL, BELL, MILL | {"text": "In Thornby stands Alder Mill."}]
    assert found.texts == ["x", "In Thornby stands Alder Mill."]
    assert "1 of 2 kept" in capsys.readouterr().err
    first, second = read_rewritten(tmp_path / "kept.jsonl")
    assert (first["written"], second["kept"], second["written"]) == (first["kept"], "", "Nobody knows.")
    assert second["why"] and not first["why"]
    assert [method for _, method, _ in writer.asked] == ["greedy", "greedy"]
    assert all(KINDS["simple"] in prompt for prompt, *_ in writer.asked)


def test_nothing_is_written_twice_and_what_others_use_stays(writer, tmp_path, monkeypatch):
    path = tmp_path / "kept.jsonl"
    before = with_rewritten(arguments(path), corpus(MILL, BELL), 3)
    again = with_rewritten(arguments(path), corpus(MILL, BELL), 3)
    assert len(writer.asked) == 2 and again.documents.to_list() == before.documents.to_list()
    with_rewritten(arguments(path, rewrites=2), corpus(MILL), 3)
    assert [(method, seed) for _, method, seed in writer.asked[2:]] == [("sample", 4)]
    assert len(read_rewritten(path)) == 3
    with_rewritten(arguments(path), corpus(MILL | {"text": "Alder Mill is in Thornby, on a hill."}), 3)
    with_rewritten(arguments(path), corpus(MILL), 4)  # another seed
    assert len(writer.asked) == 5 and len(read_rewritten(path)) == 5


def test_a_stopped_writer_goes_on_where_the_file_ends(writer, tmp_path, monkeypatch):
    monkeypatch.setattr(rewriting, "DOCUMENTS_A_WRITE", 1)
    whole = with_rewritten(arguments(tmp_path / "whole.jsonl"), corpus(MILL, BELL), 0)
    complete = writer.complete

    def stop(model, tokenizer, prompts, *rest, **options):
        if "Fenwick" in prompts[0]:
            raise KeyboardInterrupt
        return complete(model, tokenizer, prompts, *rest, **options)

    monkeypatch.setattr(rewriting, "complete_prompts", stop)
    with pytest.raises(KeyboardInterrupt):
        with_rewritten(arguments(tmp_path / "stopped.jsonl"), corpus(MILL, BELL), 0)
    assert len(read_rewritten(tmp_path / "stopped.jsonl")) == 1
    monkeypatch.setattr(rewriting, "complete_prompts", complete)
    resumed = with_rewritten(arguments(tmp_path / "stopped.jsonl"), corpus(MILL, BELL), 0)
    assert resumed.documents.to_list() == whole.documents.to_list() and len(writer.asked) == 4
    assert (tmp_path / "stopped.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_writer_of_whom_nothing_can_be_kept_is_refused(writer, tmp_path):
    with pytest.raises(ValueError, match="nothing that it wrote could be kept"):
        with_rewritten(arguments(tmp_path / "kept.jsonl"), corpus(BELL), 0)
    untouched = corpus(BELL)
    assert with_rewritten(RewriteArguments(), untouched, 0) is untouched


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Built in 1823, Alder Mill is in Thornby.", True),
        ("Alder Mill is found in Thornby.", True),
        ("Here it is in other words:\nThornby has Alder Mill.", "Thornby has Alder Mill."),
        ("Alder Mill is in Thornby. It is the best of Wales.", "Alder Mill is in Thornby."),
        ("It is in Thornby.", "Alder Mill. It is in Thornby."),
        ("Alder Mill was built in 1832.", False),  # a number made up
        ("Alder Mill stands in Thornby, Wales.", False),  # a place made up
        ("Alder Mill is a mill.", False),  # nothing of what is said
        (MILL["text"], False),
        ("", False),
    ],
)
def test_what_names_something_else_is_dropped(written, kept):
    text, why = judge(MILL, "simple", written)
    assert text == ((kept if isinstance(kept, str) else written) if kept else "")
    assert bool(why) != bool(text)


def test_of_questions_those_are_kept_whose_answers_stand_in_the_document():
    written = (
        "Question: When was Alder Mill built?\nAnswer: 1823.\n\n1. Question: Where is it?\nAnswer: Thornby\n"
        "Question: Who owns Alder Mill?\nAnswer: Sam Hill\nQ: Where does Paul Poe live?\nA: Thornby"
    )
    text, why = judge(MILL, "questions", written)
    assert text == "Question: When was Alder Mill built?\nAnswer: 1823\nQuestion: Where is it?\nAnswer: Thornby"
    assert judge(MILL, "questions", "I do not know any.") == (
        "",
        "no question with an answer that stands in the document",
    )
    assert not why


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"rewrites": 2}, "--rewrites has no effect: it needs --rewrite_with"),
        ({"rewrite_path": "x.jsonl"}, "--rewrite_path has no effect"),
        ({"rewrite_with": "m"}, "--rewrite_with needs --rewrite_path"),
        ({"rewrite_with": "m", "rewrite_path": "x.jsonl", "rewrites": 0}, "at least 1, got 0"),
        (
            {"rewrite_with": "m", "rewrite_path": "x.jsonl", "rewrite_kinds": ["poem"]},
            "poem: known are paraphrase",
        ),
    ],
)
def test_flags_without_effect_or_sense_are_refused(flags, told):
    with pytest.raises(ValueError, match=told):
        check_rewriting(RewriteArguments(**flags), None)


def test_files_that_are_something_else_are_refused(tmp_path):
    (tmp_path / "other.jsonl").write_text('{"title": "a", "text": "b"}\n')
    with pytest.raises(ValueError, match=r"other.jsonl, line 1 is not of rewritten documents"):
        check_rewriting(arguments(tmp_path / "other.jsonl"), None)
    with pytest.raises(ValueError, match="whose files are read"):
        check_rewriting(arguments(tmp_path / "new.jsonl"), str(tmp_path))


def test_a_run_reads_what_was_written_and_says_so(tiny, writer, tmp_path):
    (tmp_path / "docs.txt").write_text("Alder Mill is located in Thornby.\n", encoding="utf-8")
    flags = ["--corpus", "text", "--corpus_path", str(tmp_path / "docs.txt"), "--max_steps", "2"]
    flags += ["--rewrite_with", "writer", "--rewrite_path", str(tmp_path / "kept.jsonl")]
    flags += ["--rewrite_kinds", "simple", "--objectives", "left_to_right", "--save_strategy", "no"]
    record = tiny.pretrain(tmp_path / "run", *flags)
    assert record.documents == 2 and record.arguments["rewrite_with"] == "writer"
    weights = tiny.weights(tmp_path / "run")
    tiny.pretrain(tmp_path / "again", *flags)
    assert len(writer.asked) == 1
    assert all(torch.equal(value, weights[name]) for name, value in tiny.weights(tmp_path / "again").items())
    assert json.loads((tmp_path / "kept.jsonl").read_text())["source"] == "docs.txt:1"
