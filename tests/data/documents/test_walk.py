"""Which files of a folder are documents, in which order, and that all else is told of."""

import os

import pytest

from closedbook.data.documents.walk import find_files


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")


def test_files_come_in_one_order_whatever_the_machine_gives(tmp_path, monkeypatch):
    make(tmp_path, "b/z.txt", "b.txt", "a/c.md", "B.TXT", "a.jsonl", "a/b/c.parquet")
    expected = ["B.TXT", "a/b/c.parquet", "a/c.md", "a.jsonl", "b/z.txt", "b.txt"]
    assert [path.as_posix() for path in find_files(tmp_path).files] == expected
    walk = os.walk
    monkeypatch.setattr(
        os, "walk", lambda *args, **more: ((a, f.reverse() or f, g[::-1]) for a, f, g in walk(*args, **more))
    )
    assert [path.as_posix() for path in find_files(tmp_path).files] == expected


def test_what_is_left_out_is_told(tmp_path, caplog):
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    folder = tmp_path / "docs"
    make(folder, "a.txt", "b.png", "c.PNG", "LICENSE", ".hidden.txt", ".git/config.txt")
    (folder / "link.txt").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "broken.md").symlink_to("nowhere")
    found = find_files(folder)
    assert [str(path) for path in found.files] == ["a.txt"]
    (told,) = (record.getMessage() for record in caplog.records)
    assert told == (
        f"{folder}: 1 files are read; left out: 2 .png, 1 no ending, 2 hidden (.git, .hidden.txt), "
        "3 links (broken.md, link.txt, loop)"
    )


def test_a_folder_without_documents_is_refused_with_what_it_holds(tmp_path):
    make(tmp_path, "a.pdf", "b/c.docx", "d.pdf")
    with pytest.raises(ValueError, match=r"holds no document \(\.txt, .*\); there is: 1 \.docx, 2 \.pdf$"):
        find_files(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is: nothing"):
        find_files(tmp_path / "empty")
