"""Runs on corpora that are not held: the same bits from a table on disk as from memory, and from a stream
resumed."""

import json

import pytest

from closedbook.evaluation.run_record import read_run
from closedbook.training import pretraining

TOKENIZER = ["--tokenizer", "train:bpe:300", "--objectives", "left_to_right=2", "span_corruption"]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for name in ("data.tables.stream", "data.mixture"):
        monkeypatch.setattr(f"closedbook.{name}.STRETCH", 16)


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "people.jsonl"
    rows = [{"title": f"Ada {i}", "text": f"Ada {i}. She was born in {1800 + i}."} for i in range(60)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def pretrain(tiny, corpus):
    """Pretraining on the corpus, without the flags of synthetic people."""

    def run(folder, *flags):
        argv = [*tiny.training(), "--corpus", "text", "--corpus_path", corpus, "--output_dir", folder, *flags]
        return tiny.call(pretraining.main, argv).last

    return run


def all_on_disk(monkeypatch):
    for name in ("data.documents.loading", "data.tables.records", "training.documents"):
        monkeypatch.setattr(f"closedbook.{name}.IN_MEMORY_BYTES", -1)


@pytest.mark.parametrize(
    "flags", [[], TOKENIZER, ["--dataloader_num_workers", "2"]], ids=["letters", "bpe", "workers"]
)
def test_a_table_on_disk_trains_the_same_weights_as_memory(tiny, pretrain, tmp_path, monkeypatch, flags):
    memory = pretrain(tmp_path / "memory", *flags)
    all_on_disk(monkeypatch)
    disk = pretrain(tmp_path / "disk", *flags)
    tiny.assert_equal(tmp_path / "memory", tmp_path / "disk")
    same = ("documents", "document_characters", "irregular_documents", "train_characters", "train_tokens")
    assert [getattr(memory, name) for name in same] == [getattr(disk, name) for name in same]
    assert disk.documents == 60


def test_a_run_on_a_table_goes_on_and_knows_another_corpus(tiny, pretrain, corpus, tmp_path, monkeypatch):
    all_on_disk(monkeypatch)
    pretrain(tmp_path / "whole", "--save_steps", "4")
    stopped = tiny.stopped_at(4, tmp_path / "whole", tmp_path / "stopped")
    pretrain(stopped, "--resume")
    tiny.assert_equal(tmp_path / "whole", stopped)
    other = tiny.stopped_at(4, tmp_path / "whole", tmp_path / "other")
    (other / "run.json").write_text((tmp_path / "whole" / "run.json").read_text())
    (other / "config.json").unlink(missing_ok=True)
    corpus.write_text(corpus.read_text().replace("Ada 7", "Eva 7"))
    with pytest.raises(ValueError, match="--resume: .*data_sha256"):
        pretrain(other, "--resume")


@pytest.mark.parametrize("flags", [[], ["--dataloader_num_workers", "2"]], ids=["alone", "workers"])
def test_a_stream_goes_on_where_it_stopped_with_any_number_of_workers(tiny, pretrain, tmp_path, flags):
    run = pretrain(tmp_path / "whole", "--streaming", *TOKENIZER, "--save_steps", "4")
    assert (run.documents, run.document_characters) == (None, None) and run.train_tokens > 0
    progress = json.loads((tmp_path / "whole" / "checkpoint-4" / "progress.json").read_text())
    assert [each["stretch"] > 0 for each in progress["streams"]] == [True, False] and progress["read"][1] > 0
    stopped = tiny.stopped_at(4, tmp_path / "whole", tmp_path / "stopped")
    pretrain(stopped, "--streaming", *TOKENIZER, *flags, "--resume")
    tiny.assert_equal(tmp_path / "whole", stopped)


def test_a_checkpoint_without_counts_is_counted_anew(tiny, pretrain, tmp_path):
    whole = pretrain(tmp_path / "whole", "--save_steps", "4")
    stopped = tiny.stopped_at(4, tmp_path / "whole", tmp_path / "stopped")
    for name in ("progress.json", "manifest.json"):  # as version 0.2 left it
        (stopped / "checkpoint-4" / name).unlink(missing_ok=True)
    assert pretrain(stopped, "--resume").train_characters == whole.train_characters


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max_steps", "-1", "--num_train_epochs", "1", *TOKENIZER], "--streaming needs --max_steps"),
        ([], "--streaming cannot learn all characters .*--tokenizer train:bpe"),
    ],
)
def test_what_a_stream_cannot_do_is_refused_before_anything(pretrain, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        pretrain(tmp_path / "run", "--streaming", *flags)
    assert not (tmp_path / "run").exists()


def test_streaming_and_damage_have_no_effect_on_people_made_here(tiny, tmp_path):
    for flag in ("--streaming", "--skip_damaged"):
        with pytest.raises(ValueError, match=f"{flag} has no effect"):
            tiny.pretrain(tmp_path / "run", flag)


def test_the_records_of_a_streamed_run_say_so(pretrain, tmp_path):
    pretrain(tmp_path / "run", "--streaming", *TOKENIZER)
    assert read_run(tmp_path / "run").last.arguments["streaming"] is True
