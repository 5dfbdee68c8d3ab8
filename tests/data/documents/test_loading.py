"""Documents of a file and of a folder: what is one, what it is called, where it stands, and what is refused."""

import pytest

from closedbook.data.corpora import CORPORA, load_text
from closedbook.data.documents.loading import load_documents

FILES = {
    "mill.txt": "The mill\n\nIt was built in 1802.\n",
    "notes_of_may.txt": "\nit rained.\nit shone.\n",
    "guide.md": "# Guide\n\nRead.\n\n## Installing\n\nRun\nit.\n",
    "sub/people.jsonl": '{"text": "Ada Lind. Born."}\n{"title": "Bo", "text": "Born."}\n',
}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "docs"


def test_one_text_file_is_read_as_ever(tmp_path):
    path = tmp_path / "wiki.txt"
    path.write_text("\ufeffAda Lind. Born.\r\n\r\n  \nBo\u2028Holm. \n")
    documents = load_documents(path)
    assert documents.remove_columns("source").to_list() == load_text(path).to_list()
    assert documents["source"][:] == ["wiki.txt:1", "wiki.txt:4"]
    assert CORPORA["text"] is load_documents


def test_a_folder_has_documents_by_file_by_section_and_by_row(folder):
    assert [tuple(row.values()) for row in load_documents(folder)] == [
        ("Guide", "Guide\n\nRead.", "guide.md:1"),
        ("Guide: Installing", "Guide: Installing\n\nRun it.", "guide.md:5"),
        ("The mill", "The mill\n\nIt was built in 1802.", "mill.txt:1"),
        ("notes of may", "it rained.\nit shone.", "notes_of_may.txt:2"),
        ("Ada Lind", "Ada Lind. Born.", "sub/people.jsonl:1"),
        ("Bo", "Born.", "sub/people.jsonl:2"),
    ]


UNITS = {
    "line": ["Read.", "Run it.", "The mill", "It was built in 1802.", "it rained.", "it shone."],
    "file": [
        "Guide\n\nRead.\n\nInstalling\n\nRun it.",
        "The mill\n\nIt was built in 1802.",
        "it rained.\nit shone.",
    ],
}
UNITS["heading"] = ["Guide\n\nRead.", "Guide: Installing\n\nRun it.", *UNITS["file"][1:]]


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_is_that_of_texts_and_not_of_tables(folder, unit):
    documents = load_documents(folder, document_unit=unit)
    assert documents["text"][:] == [*UNITS[unit], "Ada Lind. Born.", "Born."]


def test_a_single_file_may_be_one_document_or_of_another_kind(folder):
    assert load_documents(folder / "mill.txt", document_unit="file")["title"][:] == ["The mill"]
    assert load_documents(folder / "guide.md")["source"][:] == ["guide.md:1", "guide.md:5"]
    assert load_documents(folder / "sub" / "people.jsonl")["title"][:] == ["Ada Lind", "Bo"]


def test_a_markdown_file_as_one_document_begins_with_its_title(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("---\ntitle: Ada\n---\ntext\n\n## Youth\n\n### School\n\nlong\n")
    assert load_documents(path, document_unit="file")["text"][0] == "Ada\n\ntext\n\nYouth\n\nSchool\n\nlong"


@pytest.mark.parametrize(
    ("file", "options", "message"),
    [
        ("mill.txt", {"document_unit": "page"}, "--document_unit page is unknown: use one of auto, line, file, h"),
        ("mill.txt", {"document_unit": "heading"}, "--document_unit heading has no effect: .* no Markdown"),
        ("mill.txt", {"text_column": "body"}, "--text_column body has no effect: .* no table"),
        ("guide.md", {"title_column": "body"}, "--title_column body has no effect"),
        ("sub", {"document_unit": "line"}, "--document_unit line has no effect: .* a row of a table"),
    ],
)
def test_an_option_without_effect_is_refused(folder, file, options, message):
    with pytest.raises(ValueError, match=message):
        load_documents(folder / file, **options)


def test_damaged_files_of_a_folder_are_named_and_counted(folder):
    (folder / "a.txt").write_bytes("Zo\xeb was".encode("latin-1"))
    with pytest.raises(
        ValueError, match=r"a\.txt:1: byte 2 of the file \(0xeb\) is not UTF-8: .*iconv -f WINDOWS-12"
    ):
        load_documents(folder)
    (folder / "b.txt").write_bytes(b"MZ\0\1")
    with pytest.raises(ValueError, match=r"a\.txt:1: .* \(1 more files of .*docs cannot be read either\)"):
        load_documents(folder)
    (folder / "a.txt").unlink()
    with pytest.raises(ValueError, match=r"b\.txt:1: holds a NUL"):
        load_documents(folder)
    (folder / "b.txt").write_bytes("Ada".encode("utf-16"))
    with pytest.raises(ValueError, match="iconv -f UTF-16 -t UTF-8 b.txt"):
        load_documents(folder)


def test_empty_files_and_documents_that_stand_twice_are_told_of(folder, caplog):
    (folder / "empty.md").write_text("\n")
    (folder / "heads.md").write_text("# One\n\n## Two\n")
    (folder / "copy.txt").write_text("The mill\n\nIt was built in 1802.")
    assert len(load_documents(folder)) == 7
    told = [record.getMessage() for record in caplog.records]
    assert told[0].endswith("2 files without a text are left out: empty.md, heads.md")
    assert "1 of 7 documents stand there before" in told[1] and told[1].endswith(": mill.txt:1")
    (folder / "sub" / "people.jsonl").write_text("")
    for name in ("mill.txt", "copy.txt", "notes_of_may.txt", "guide.md"):
        (folder / name).unlink()
    with pytest.raises(ValueError, match="all of its 3 documents are empty: empty.md, heads.md, sub/people.jsonl"):
        load_documents(folder)


def test_a_name_that_is_no_utf8_is_no_obstacle(tmp_path):
    try:
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / b"zo\xeb.txt".decode("utf-8", "surrogateescape")).write_text("Text")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    (document,) = load_documents(tmp_path / "docs")
    assert document["source"] == "zo\ufffd.txt:1"


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        load_documents(tmp_path / "gone")


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"%PDF-1.4\n1 0 obj\n", "PDF"), (b"PK\x03\x04 word/document.xml", "zip"), (b"{\\rtf1 Ada}", "RTF")],
)
def test_what_a_word_processor_wrote_is_no_text(content, kind, tmp_path):
    (tmp_path / "paper").write_bytes(content)
    with pytest.raises(ValueError, match=rf"paper is a {kind}.*\.txt or \.md"):
        load_documents(tmp_path / "paper")


def test_where_everything_is_damaged_that_is_said(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": \n[1]\n')
    with pytest.raises(ValueError, match="nothing is left of it without its 2 damaged places"):
        load_documents(path, skip_damaged=True)
