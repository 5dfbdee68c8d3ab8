"""The ledger as a command and as a function: on this package's models and on stock ones; what is refused, how."""

import json
import shutil

import pytest
from datasets import Dataset
from ranks import Ranks
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from closedbook.data.documents.loading import load_documents
from closedbook.evaluation.ledger.ledger import LEDGER_FILES
from closedbook.evaluation.ledger.measuring import measure
from closedbook.evaluation.reports.page import build_page
from closedbook.evaluation.reports.run import read_run_files
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.asking import ledger as command
from closedbook.training.asking.ledger import LedgerArguments, ledger, load_asked
from closedbook.training.finished_runs import GrowingFile

TEXTS = {
    "ada.md": "# Ada Lind\n\nAda was born in Oslo.\n",
    "Bo_Marsh.txt": "Bo Marsh was born in Rome.",
    "no.md": "nothing",
}


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def stock():
    """A model of another kind, with random weights: (model, tokenizer)."""
    tokenizer = build_char_tokenizer(["".join(map(chr, range(32, 127))) + "\n"])
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=256, n_embd=16, n_layer=1, n_head=2)
    return GPT2LMHeadModel(config), tokenizer


def test_a_folder_of_markdown_is_read_with_titles_and_lines(notes):
    documents = load_documents(notes)
    assert documents["title"][:] == ["Bo Marsh", "Ada Lind", "no"]
    assert documents["source"][:] == ["Bo_Marsh.txt:1", "ada.md:1", "no.md:1"]


def test_the_command_asks_a_model_of_this_package_about_what_it_read(pretrained, tiny, tmp_path):
    model = tmp_path / "model"
    tiny.finetune(model, pretrained, *tiny.people())
    flags = ["--model", model, "--before", pretrained, "--max_new_tokens", "8", "--num_alternatives", "3"]
    found = command.main(list(map(str, flags)))
    assert sorted(path.name for path in (model / "ledger").iterdir()) == sorted(LEDGER_FILES)
    summary = json.loads((model / "ledger" / "ledger.json").read_text(encoding="utf-8"))
    assert summary == json.loads(json.dumps(found.summary))
    assert summary["facts"] == len(found.rows) >= 20
    (stage,) = [stage for stage in summary["training"]["stages"] if "documents" in stage]
    assert summary["passes"] == round(stage["train_characters"] / stage["document_characters"], 2)
    assert "Facts of its documents, one by one" in (model / "README.md").read_text(encoding="utf-8")
    assert "finishes the sentence" in build_page(read_run_files(model))
    tiny.finetune(model, pretrained, *tiny.people(), "--overwrite", "True")
    assert not (model / "ledger" / "ledger.json").exists()  # it was of other weights


def test_the_rows_do_not_depend_on_the_batch_size(stock, notes):
    tables = [
        ledger(stock, notes, seed=3, batch_size=size, max_new_tokens=6, num_samples=2).records for size in (1, 7)
    ]
    for one, other in zip(*tables, strict=True):
        assert (one.fact, one.verdict, one.alternatives) == (other.fact, other.verdict, other.alternatives)
        assert one.after.finish_probability == pytest.approx(other.after.finish_probability, abs=2e-6)
        assert [reply.answer for reply in one.after.replies] == [reply.answer for reply in other.after.replies]


def test_the_same_model_before_and_after_learned_and_forgot_nothing(stock, notes):
    control = Dataset.from_list([{"question": "Who?", "answers": ["Bo"], "entity": "Who"}])
    found = ledger(stock, notes, before=stock, control=control, max_new_tokens=6)
    assert found.summary["verdicts"]["extractable"]["count"] == 0
    assert {entry["difference"] for entry in found.summary["paired"].values()} == {0.0}
    assert all(row.after == row.before for row in found.records)
    assert found.summary["documents_without_facts"]["count"] == 1
    assert found.show() is not None


def test_a_model_that_says_it_whatever_it_is_asked_is_noticed(notes):
    """A model that writes one thing for ever: what it says is right of one fact, by both rules."""
    tokenizer = build_char_tokenizer(["".join(map(chr, range(32, 127))) + "\n"])
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=256, n_embd=8, n_layer=1, n_head=1)
    model = GPT2LMHeadModel(config)
    for weights in model.parameters():
        weights.data.zero_()
    found = ledger((model, tokenizer), notes, max_new_tokens=6)
    assert found.summary["answered"]["count"] == 0
    ranks = {row.after.rank for row in found.records}
    assert ranks == {1}  # all of the same length are as probable, and none is more so


@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        (["--control", "{file}"], "--control has no effect: what was forgotten needs --before"),
        (["--rule", "exact"], "--rule 'exact' is none of match, contains"),
        (["--prompt", "Say:"], "has no {question}"),
        (["--wordings", "0"], "--wordings must be at least 1"),
    ],
)
def test_flags_that_make_no_sense_are_refused(notes, tmp_path, flags, wrong):
    file = tmp_path / "control.tsv"
    file.write_text("Who?\tBo\n", encoding="utf-8")
    words = ["--model", "none", "--documents", str(notes), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(ValueError, match=wrong.replace("{", r"\{")):
        command.main([*words, *(flag.replace("{file}", str(file)) for flag in flags)])
    assert not (tmp_path / "out").exists()


def test_documents_without_any_fact_and_questions_about_nothing_are_refused(stock, tmp_path):
    (tmp_path / "a.md").write_text("nothing to see", encoding="utf-8")
    with pytest.raises(ValueError, match="no fact was found by rule in 1 documents"):
        ledger(stock, tmp_path)
    asked = Dataset.from_list([{"question": "Who is Xu?", "answers": ["Bo"], "entity": "Xu Yi"}])
    with pytest.raises(ValueError, match="none of the 1 facts or questions given is about something"):
        ledger(stock, tmp_path, questions=asked)
    (tmp_path / "b.txt").write_bytes(b"Ada \xff")
    with pytest.raises(ValueError, match=r"b\.txt:1: byte 4 of the file \(0xff\) is not UTF-8"):
        load_documents(tmp_path)


def test_a_model_that_does_not_go_on_with_a_text_is_refused(tmp_path):
    config = BertConfig(
        vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="BertForMaskedLM, no causal language model"):
        load_asked(tmp_path)


def test_an_adapter_is_not_compared_with_another_base(notes, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "org/one"}', encoding="utf-8")
    args = LedgerArguments(
        model=str(adapter), before="org/other", documents=str(notes), output_dir=str(tmp_path / "o")
    )
    with pytest.raises(ValueError, match="--before org/other: the adapter in .* is for another base, org/one"):
        command.keep_ledger(args)


def test_a_ledger_is_not_written_among_the_documents_that_it_reads(notes, pretrained):
    flags = ["--model", str(pretrained), "--documents", str(notes), "--output_dir", str(notes / "out")]
    with pytest.raises(ValueError, match=r"lies in --documents .*, whose files are read"):
        command.main(flags)
    assert not (notes / "out").exists()


def test_a_model_that_is_not_there_is_named(notes, pretrained):
    flags = ["--model", str(pretrained), "--documents", str(notes), "--output_dir"]
    with pytest.raises(FileNotFoundError, match="nope/x/y holds no model"):
        command.main([*flags, str(notes.parent / "out"), "--before", "nope/x/y"])
    with pytest.raises(FileNotFoundError, match="nope: there is no such folder, and the Hub has no such model"):
        load_asked("nope")


# ---- in parts, stopped, and by several processes


def asking(model, before, folder) -> list[str]:
    flags = ["--model", model, "--before", before, "--max_new_tokens", "8", "--num_alternatives", "3"]
    return list(map(str, [*flags, "--output_dir", folder]))


def contents(folder) -> dict[str, bytes]:
    """The files of a ledger, without what tells when and by which command it was made."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".jsonl", ".parquet")}
    summary = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))
    summary.pop("command")
    return found | {"ledger.json": json.dumps(summary).encode()}


@pytest.fixture(scope="module")
def whole(pretrained, tiny, tmp_path_factory):
    """A model, the one before it, and its ledger, all facts measured at once."""
    folder = tmp_path_factory.mktemp("whole")
    tiny.finetune(folder / "model", pretrained, *tiny.people())
    command.main(asking(folder / "model", pretrained, folder / "ledger"))
    return folder / "model", pretrained, folder / "ledger"


def test_a_ledger_that_was_stopped_goes_on_and_ends_as_if_it_had_not(whole, tmp_path, monkeypatch, capsys):
    model, before, wanted = whole
    monkeypatch.setattr(command, "CHUNK", 7)
    append, parts = GrowingFile.append, []

    def stop(self, rows):
        if len(parts) == 5:
            raise KeyboardInterrupt
        parts.append(append(self, rows))

    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(GrowingFile, "append", stop)
        command.main(asking(model, before, folder))
    kept = sorted(path.name for path in folder.iterdir())
    assert kept and all(name.startswith("measured-") for name in kept)
    mine = ["measured-mine.txt", "measured-2026.jsonl.partial", "measured-0a1b2c3d.jsonl.partial.old"]
    for name in mine:
        (folder / name).write_text("of the user")
    asked = []
    monkeypatch.setattr(command, "measure", lambda *given, **told: asked.append(given) or measure(*given, **told))
    capsys.readouterr()
    found = command.main(asking(model, before, folder))
    assert "going on after " in capsys.readouterr().err
    assert len(asked) == 2 * -(-len(found.records) // 7) - 5  # two models; what was measured is not measured again
    assert contents(folder) == contents(wanted)
    assert {path.name for path in folder.iterdir()} == {*LEDGER_FILES, *mine}


def test_another_command_begins_anew_and_a_finished_ledger_is_made_again(whole, tmp_path, monkeypatch):
    model, before, wanted = whole
    monkeypatch.setattr(command, "CHUNK", 7)
    folder = tmp_path / "ledger"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(command.InParts, "forget", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        command.main([*asking(model, before, folder), "--num_samples", "2"])
    command.main(asking(model, before, folder))
    assert contents(folder) == contents(wanted)
    assert {path.name for path in folder.iterdir()} == set(LEDGER_FILES)


IN_PARTS = """
import sys
from closedbook.training.asking import ledger
ledger.CHUNK, ledger.TOGETHER, measure = int(sys.argv[1]), 5, ledger.measure
def told(asked, facts, *given, **options):
    print("together", *(fact.key for fact in facts), file=sys.stderr)
    return measure(asked, facts, *given, **options)
ledger.measure = told
ledger.main(sys.argv[2:])
"""


@pytest.mark.parametrize("chunk", [7, 1000])
def test_two_processes_write_the_ledger_of_one(whole, tiny, tmp_path, chunk):
    model, before, wanted = whole
    both = Ranks(tiny, ["-c", IN_PARTS, chunk, *asking(model, before, tmp_path / "two")], 2, tmp_path / "said")
    both.succeed()
    assert contents(tmp_path / "two") == contents(wanted)
    assert {path.name for path in (tmp_path / "two").iterdir()} == set(LEDGER_FILES)
    # what is put into batches together is the same however many processes there are: so are the last digits
    facts = [json.loads(line)["fact"] for line in (wanted / "ledger.jsonl").read_text().splitlines()]
    chunks = [facts[at : at + chunk] for at in range(0, len(facts), chunk)]
    parts = [" ".join(["together", *each[at : at + 5]]) for each in chunks for at in range(0, len(each), 5)]
    said = [both.said(rank).splitlines() for rank in (0, 1)]
    measured = [[line[line.index("together") :] for line in lines if "together" in line] for lines in said]
    assert sorted(measured[0] + measured[1]) == sorted(2 * parts) and all(measured)
    told = [(tmp_path / "said" / f"out{rank}").read_text() for rank in (0, 1)]
    assert "facts" in told[0] and not told[1]


def test_models_of_one_folder_name_are_told_apart(whole, tmp_path):
    model, before, _ = whole
    others = [shutil.copytree(before, tmp_path / name) for name in ("a/m", "b/m", "majority")]
    flags = ["--model", model, "--others", *others, "--output_dir", tmp_path / "out", "--wordings", "1"]
    found = command.main(list(map(str, [*flags, "--max_new_tokens", "2", "--num_alternatives", "0"])))
    assert found.summary["others"] == [*map(str, others[:2]), "majority (1)"]
    assert all(len(row.others) == 3 for row in found.records)
    for same in (["--others", others[0], others[0]], ["--before", model], ["--others", model]):
        with pytest.raises(ValueError, match="is named more than once among --model, --before and --others"):
            command.main(list(map(str, ["--model", model, *same, "--output_dir", tmp_path / "again"])))
