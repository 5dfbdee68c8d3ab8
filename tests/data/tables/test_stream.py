"""A stream gives the records of its source over and over, whoever asks from where."""

import gzip
import json
import pickle

import pytest
from datasets import Dataset

from closedbook.data.corpora import load_hub_corpus
from closedbook.data.documents.loading import load_documents
from closedbook.data.documents.streaming import FileSource, HubSource
from closedbook.data.mixture import Component, Mixture
from closedbook.data.tables import stream as streams
from closedbook.data.tables.records import records_of
from closedbook.data.tables.stream import Stream

STRETCH = 7


@pytest.fixture(autouse=True)
def short(monkeypatch, tmp_path):
    monkeypatch.setattr(streams, "STRETCH", STRETCH)
    monkeypatch.setattr("closedbook.data.mixture.STRETCH", STRETCH)
    monkeypatch.setattr("closedbook.data.documents.streaming._ROWS", 3)
    monkeypatch.setattr("closedbook.data.documents.reading._BATCH_ROWS", 4)
    monkeypatch.setattr("closedbook.data.tables.blocks.BLOCK_BYTES", 60)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def people(kind, number):
    return [{"title": f"{kind} {i}", "text": f"{kind} {i}. Born in {i}."} for i in range(number)]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, people("A", 10))))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, people("B", 9))).encode()))
    Dataset.from_list(people("C", 8)).to_parquet(folder / "c.parquet")
    (folder / "d.csv").write_text("title,text\n" + "".join(f"D {i},Born in {i}.\n" for i in range(6)))
    (folder / "e.md").write_text("# Guide\n\nRead it.\n\n## More\n\nIt says more.\n")
    (folder / "f.txt").write_text("The mill\n\nIt was built in 1802.")
    (folder / "g.txt").write_text("")
    return folder


@pytest.fixture(params=["files", "lines", "parquet", "json"])
def source(request, folder, tmp_path):
    if request.param == "files":
        return FileSource(folder), load_documents(folder).to_list()
    if request.param == "lines":
        path = tmp_path / "lines.txt"
        path.write_text("".join(f"Person {i}. Born in {i}.\n\n" for i in range(25)))
        return FileSource(path), load_documents(path).to_list()
    rows = people("P", 23)
    path = tmp_path / f"hub.{request.param}"
    Dataset.from_list(rows).to_parquet(path) if request.param == "parquet" else path.write_text(
        "\n".join(map(json.dumps, rows))
    )
    return HubSource(load_hub_corpus(request.param, data_files=str(path), streaming=True), "hub"), rows


def test_a_stream_repeats_its_source_and_can_be_opened_anywhere(source):
    source, rows = source
    stream, number = Stream(source), 12
    found = [stream.stretch(place) for place in range(number)]
    assert [record for stretch in found for record in stretch] == [
        rows[index % len(rows)] for index in range(number * STRETCH)
    ]
    assert stream.first() == rows[:STRETCH]
    for place in range(number):
        kept = json.loads(json.dumps(Stream(source).bookmark(place)))  # as a checkpoint keeps it
        other = Stream(source)
        other.go_on(kept)
        assert [other.stretch(later) for later in range(place, number)] == found[place:]
    assert stream.stretch(2) == found[2] and stream.stretch(9) == found[9]
    assert pickle.loads(pickle.dumps(stream)).stretch(5) == found[5]


def test_a_bookmark_in_lines_opens_the_file_where_it_lies(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"Person {i}. Born in {i}.\n" for i in range(200)))
    kept = Stream(FileSource(path)).bookmark(20)
    content = path.read_bytes()
    path.write_bytes(b"\xff" * kept["bookmark"]["byte"] + content[kept["bookmark"]["byte"] :])  # is not read again
    stream = Stream(FileSource(path))
    stream.go_on(kept)
    assert stream.stretch(20)[0]["text"] == "Person 140. Born in 140."
    assert stream.stretch(20)[0]["source"] == "lines.txt:141"


def mixture(folder, objectives=("left_to_right", "span_corruption")):
    components = [
        Component(name, Stream(FileSource(folder)), name, 1 + place, 0.0, 1.0 - place / 4)
        for place, name in enumerate(objectives)
    ]
    return Mixture(components, 3, 64, 300)


def test_a_mixture_of_streams_is_the_same_whoever_goes_on_with_it(folder):
    whole = mixture(folder)
    examples = [whole[index] for index in range(300)]
    for begin in (0, 1, 130, 250):
        other = mixture(folder)
        other.go_on(json.loads(json.dumps(mixture(folder).bookmarks(begin))))
        assert [other[index] for index in range(begin, 300)] == examples[begin:]
    workers = [mixture(folder) for _ in range(3)]  # each makes every third batch of four
    assert [workers[index // 4 % 3][index] for index in range(300)] == examples


def test_a_pass_over_a_stream_reads_every_record_as_often_as_a_table(folder):
    number = len(load_documents(folder))
    one = Mixture([Component("x", Stream(FileSource(folder)), "left_to_right")], 3, 64, number * STRETCH)
    table = Mixture([Component("x", records_of(load_documents(folder)), "left_to_right")], 3, 64, number * STRETCH)
    read = [sorted(each.record(index)["source"] for index in range(number * STRETCH)) for each in (one, table)]
    assert read[0] == read[1]
    again = [one.record(index) for index in range(20)]  # long after it was read on
    assert again != Stream(FileSource(folder)).first() and again[:STRETCH] == [
        one.record(i) for i in range(STRETCH)
    ]


def test_structure_in_a_streamed_document_is_refused_with_its_place(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"Person {i}.\n" for i in range(20)) + "Who?\u2047 Me\n")
    stream = Stream(FileSource(path))
    assert len(stream.first()) == STRETCH
    with pytest.raises(ValueError, match=r"lines\.txt: lines\.txt:21 holds '\u2047' \(U\+2047\), which the model"):
        stream.stretch(2)


def test_a_source_without_records_says_so(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n \n")
    for ask in (lambda stream: stream.first(), lambda stream: stream.stretch(0)):
        with pytest.raises(ValueError, match="holds no documents"):
            ask(Stream(FileSource(path)))


def test_damaged_rows_are_left_out_of_a_stream_too(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": \n{"text": "three"}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl:2"):
        Stream(FileSource(path)).first()
    assert [row["text"] for row in Stream(FileSource(path, skip_damaged=True)).first()] == ["one", "three"]
    assert "a.jsonl:2 is damaged" in caplog.text
