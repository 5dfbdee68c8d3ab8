"""Tables on disk: the same documents as in memory, made once, whole after a kill, refused without room."""

import csv
import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import namedtuple

import pytest
from datasets import Dataset

from closedbook.data.documents import reading
from closedbook.data.documents.loading import load_documents
from closedbook.data.documents.titles import title_at_head
from closedbook.data.mixture import Component, Mixture
from closedbook.data.tables import kept
from closedbook.data.tables.kept import about_of, batches_of, table_of
from closedbook.data.tables.records import Records, records_of


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Everything is too large for memory."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(reading, "PIECE_BYTES", 400)
    monkeypatch.setattr("closedbook.data.tables.blocks.BLOCK_BYTES", 150)
    monkeypatch.setattr(kept, "_BATCH_ROWS", 5)


def in_memory(path, **options):
    return load_documents(path, **options)


def on_disk(path, monkeypatch, **options):
    with monkeypatch.context() as patched:
        patched.setattr("closedbook.data.documents.loading.IN_MEMORY_BYTES", -1)
        return load_documents(path, **options)


def people(kind, number):
    return [
        {"title": f"{kind} {i}" if i % 3 else "", "text": f"Éva {kind}{i}. Born in {i}."} for i in range(number)
    ]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, people("A", 40))))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, people("B", 9))).encode()))
    Dataset.from_list(people("C", 30)).to_parquet(folder / "sub" / "c.parquet")
    with (folder / "d.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["title", "text"])
        writer.writeheader()
        writer.writerows([*people("D", 12), {"title": "E", "text": "Two\nlines."}])
    (folder / "guide.md").write_text("# Guide\n\nRead it.\n\n## More\n\nIt says more.\n")
    (folder / "mill.txt").write_text("The mill\n\nIt was built in 1802.")
    (folder / "empty.txt").write_text("")
    return folder


def test_the_documents_are_those_that_memory_holds(folder, monkeypatch):
    memory, disk = in_memory(folder), on_disk(folder, monkeypatch)
    assert disk.to_list() == memory.to_list() and disk.features == memory.features
    table = table_of(disk)
    assert len(table.parts()) > 3  # of several pieces, made by several processes
    assert [row for batch in batches_of(disk) for row in batch.to_pylist()] == memory.to_list()
    counted = about_of(memory)
    assert (table.about.documents, table.about.characters) == (counted.documents, counted.characters)
    texts = [*memory["title"], *memory["text"]]
    assert table.about.alphabet == counted.alphabet == "".join(sorted(set("".join(texts))))
    assert table.about.characters == sum(map(len, memory["text"]))
    assert table_of(memory) is None and table_of(disk.select([1, 0])) is None


@pytest.mark.parametrize("unit", ["auto", "file", "line"])
def test_lines_of_one_file_in_any_unit(unit, tmp_path, monkeypatch):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"Person {i}. Born in {i}.\n{' ' * (i % 2)}\n" for i in range(60)))
    memory, disk = (
        load(path, document_unit=unit) for load in (in_memory, lambda p, **o: on_disk(p, monkeypatch, **o))
    )
    assert disk.to_list() == memory.to_list()


def test_records_are_the_rows_and_travel_as_a_path(folder, monkeypatch):
    disk = on_disk(folder, monkeypatch)
    rows = disk.to_list()
    records = Records(disk)
    assert [records[place] for place in range(len(rows))] == rows == list(records)
    assert records[-1] == rows[-1] and records[3:5] == rows[3:5]
    with pytest.raises(IndexError):
        records[len(rows)]
    sent = pickle.dumps(records)
    assert b"Born in" not in sent and pickle.loads(sent)[7] == rows[7]
    shuffled = disk.shuffle(seed=1)
    assert [Records(shuffled)[place] for place in range(9)] == shuffled.to_list()[:9]


def test_records_take_the_name_that_their_text_begins_with(tmp_path, monkeypatch):
    path = tmp_path / "lines.txt"
    path.write_text("Ada Lind. Born in York.\nthe town is old.\n")
    disk = on_disk(path, monkeypatch)
    assert [row["title"] for row in Records(disk)] == ["", ""]
    assert [row["title"] for row in Records(disk, title_at_head)] == ["Ada Lind", ""]
    assert Records(disk, title_at_head)[0]["title"] == "Ada Lind"


def test_a_mixture_reads_the_same_from_disk(folder, monkeypatch):
    disk = on_disk(folder, monkeypatch)
    monkeypatch.setattr("closedbook.data.tables.records.IN_MEMORY_BYTES", -1)
    kinds = [records_of(disk), disk.to_list()]
    assert isinstance(kinds[0], Records)
    one, other = (Mixture([Component("x", kind, "left_to_right")], 0, 64, 300) for kind in kinds)
    assert [one[index] for index in range(300)] == [other[index] for index in range(300)]


def made(folder):
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("part-*.arrow"))}


def test_a_table_is_made_once_and_anew_when_a_file_changes(folder, monkeypatch, tmp_path):
    on_disk(folder, monkeypatch)
    first = made(tmp_path / "cache")
    on_disk(folder, monkeypatch)
    assert made(tmp_path / "cache") == first
    (folder / "mill.txt").write_text("The mill\n\nIt was built in 1803.")
    changed = on_disk(folder, monkeypatch)
    assert any("1803" in text for text in changed["text"]) and set(made(tmp_path / "cache")) > set(first)
    assert len(set(on_disk(folder, monkeypatch, title_column="title")["text"])) == len(set(changed["text"]))


def test_parts_that_a_kill_left_are_not_made_again(folder, monkeypatch, tmp_path):
    whole = on_disk(folder, monkeypatch).to_list()
    first = made(tmp_path / "cache")
    (table,) = {path.parent for path in first}
    (table / kept.ABOUT).unlink()
    lost = sorted(first)[1]
    lost.unlink()
    kept._about_part(table, 1).unlink()
    assert on_disk(folder, monkeypatch).to_list() == whole
    again = made(tmp_path / "cache")
    assert {path for path in first if again[path] == first[path]} == set(first) - {lost}


def test_a_file_that_changes_after_it_was_looked_at_makes_no_table(folder, monkeypatch, tmp_path):
    scan = reading.scan_file

    def scan_and_change(path, span_bytes):
        found = scan(path, span_bytes)
        if path.name == "a.jsonl":
            path.write_text(path.read_text().replace("Born in", "Died in"))
        return found

    monkeypatch.setattr(reading, "scan_file", scan_and_change)
    with pytest.raises(ValueError, match=r"a\.jsonl changed while it was read"):
        on_disk(folder, monkeypatch)
    assert not [part for part in (tmp_path / "cache").rglob("part-*.json") if "Died" in part.read_text()]
    assert not list((tmp_path / "cache").rglob(kept.ABOUT))


KILLED = """
import sys, time
from pathlib import Path
import datasets
from closedbook.data.documents import loading, reading
from closedbook.data.tables import blocks, kept
datasets.config.HF_DATASETS_CACHE = Path(sys.argv[2])
reading.PIECE_BYTES, loading.IN_MEMORY_BYTES, blocks.BLOCK_BYTES = 2_000, -1, 500
make = kept._make_part
def slowly(*job):
    make(*job)
    time.sleep(0.3)
kept._make_part = slowly
loading.load_documents(sys.argv[1])
"""


def test_a_killed_process_leaves_whole_parts_only(tmp_path, monkeypatch):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"Person {i}. Born in {i}.\n" for i in range(1500)))
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    (tmp_path / "run.py").write_text(KILLED)
    process = subprocess.Popen([sys.executable, tmp_path / "run.py", path, tmp_path / "cache"], env=environment)
    deadline = time.monotonic() + 60
    while len(made(tmp_path / "cache")) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1)  # its workers end by themselves
    left = made(tmp_path / "cache")
    assert len(left) >= 3 and not list((tmp_path / "cache").rglob(kept.ABOUT))
    monkeypatch.setattr(reading, "PIECE_BYTES", 2_000)
    monkeypatch.setattr("closedbook.data.tables.blocks.BLOCK_BYTES", 500)
    found = on_disk(path, monkeypatch)
    assert found["text"] == [f"Person {i}. Born in {i}." for i in range(1500)]
    again = made(tmp_path / "cache")
    assert all(again[path] == when for path, when in left.items())


def test_damage_is_named_or_left_out_and_counted(folder, monkeypatch, caplog):
    with (folder / "a.jsonl").open("a") as file:
        file.write('\n{"text": "half\n{"text": "whole"}')
    content = bytearray((folder / "d.csv").read_bytes())
    content[40] = 0xFF
    (folder / "d.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.jsonl:41: not JSON"):
        on_disk(folder, monkeypatch)
    found = [load(folder, skip_damaged=True) for load in (in_memory, lambda p, **o: on_disk(p, monkeypatch, **o))]
    assert found[0].to_list() == found[1].to_list() and "whole" in found[0]["text"]
    told = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert len(told) == 2 and told[0] == told[1] and "a.jsonl:41" in told[0]


def test_a_damaged_group_of_rows_is_named_by_its_rows(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    Dataset.from_list(people("P", 300)).to_parquet(path, batch_size=100)
    content = bytearray(path.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.parquet: rows 1.* to .* cannot be read"):
        in_memory(path)
    left = in_memory(path, skip_damaged=True)
    assert 0 < len(left) < 300 and len(left) % 100 == 0


def test_a_disk_without_room_is_refused_before_and_when_it_is_full(folder, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr(kept.shutil, "disk_usage", lambda path: usage(9, 9, 10))
        with pytest.raises(ValueError, match="no room .*it has 0 MiB.*HF_DATASETS_CACHE"):
            on_disk(folder, monkeypatch)

    monkeypatch.setattr(kept, "_make_part", _full)
    with pytest.raises(ValueError, match="no room .*it is full now.*HF_DATASETS_CACHE"):
        on_disk(folder, monkeypatch)


def _full(*job):
    raise OSError(28, "No space left on device")
