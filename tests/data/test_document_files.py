"""Documents of folders and files: which, in what order, titled how, standing where; and what is refused."""

import json
import logging

import pytest
from datasets import Dataset

from closedbook.data.document_files import is_plain_lines, load_any_text, load_documents, title_of_line


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "notes"
    (root / "deep").mkdir(parents=True)
    (root / "b.md").write_text("---\ntitle: 'The Mill'\nauthor: x\n---\n\n# Ignored\nText of the mill.\n")
    (root / "a.txt").write_text("Plain words.\nMore of them.\n")
    (root / "deep" / "Old_barn.md").write_text("No heading here.\n")
    (root / "deep" / "c.md").write_text("\n## The Well ##\nDeep.\n")
    (root / "rows.jsonl").write_text(json.dumps({"title": "Row", "text": "Of a row."}) + "\n")
    (root / ".hidden.md").write_text("# Hidden\n")
    (root / "picture.png").write_bytes(b"\x89PNG")
    return root


def test_a_folder_is_read_in_order_with_titles_and_places(folder, caplog):
    with caplog.at_level(logging.WARNING):
        found = load_documents(folder).to_list()
    assert [(row["source"], row["title"]) for row in found] == [
        ("a.txt:1", "a"),
        ("b.md:6", "The Mill"),
        ("deep/Old_barn.md:1", "Old barn"),
        ("deep/c.md:2", "The Well"),
        ("rows.jsonl:1", "Row"),
    ]
    assert found[0]["text"] == "Plain words.\nMore of them." and found[1]["text"] == "# Ignored\nText of the mill."
    assert "1 of .png" in caplog.text


def test_links_out_of_the_folder_and_in_circles_are_left_out(folder, tmp_path, caplog):
    (tmp_path / "outside.md").write_text("# Secret\n")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    (folder / "round").symlink_to(folder)
    with caplog.at_level(logging.WARNING):
        assert len(load_documents(folder)) == 5
    assert "leads out of" in caplog.text


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl", ".json"])
@pytest.mark.parametrize("titled", [True, False])
def test_tables_are_read_row_by_row(tmp_path, ending, titled):
    rows = [{"title": "Ada", "text": "Ada was born, they say."}, {"title": "", "text": "Zoë too."}]
    rows = rows if titled else [{"text": row["text"]} for row in rows]
    path = tmp_path / f"rows{ending}"
    data = Dataset.from_list(rows)
    match ending:
        case ".csv":
            data.to_csv(path, index=False)
        case ".tsv":
            data.to_csv(path, index=False, sep="\t")
        case ".parquet":
            data.to_parquet(path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case ".json":
            path.write_text(json.dumps(rows))
    found = load_documents(path).to_list()
    assert [row["text"] for row in found] == [row["text"] for row in rows]
    assert [row["title"] for row in found] == [row.get("title", "") for row in rows]
    assert [row["source"] for row in found] == [f"{path.name}:1", f"{path.name}:2"]


def test_a_text_file_by_itself_is_lines_as_ever_or_lines_with_names(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("Ada Lind. She was born in Rome.\n\nIt was a dark night. Rain fell.\n")
    assert is_plain_lines(path) and load_any_text(path)["title"] == ["", ""]
    found = load_documents(path).to_list()
    assert [(row["title"], row["source"]) for row in found] == [("Ada Lind", "lines.txt:1"), ("", "lines.txt:3")]
    assert title_of_line("Ada Lind was born in Rome. She left.") == ""


def test_repeated_documents_are_told_of(tmp_path, caplog):
    (tmp_path / "lines.txt").write_text("Ada. One.\nAda. One.\n")
    with caplog.at_level(logging.WARNING):
        assert len(load_documents(tmp_path / "lines.txt")) == 2
    assert "1 documents are the same as an earlier one" in caplog.text


def test_what_cannot_be_read_is_refused_with_its_place(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.txt: there is no such file"):
        load_documents(tmp_path / "nowhere.txt")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(ValueError, match=r"holds no documents: no file of it ends in .txt.*1 of .pdf"):
        load_documents(folder)
    (folder / "a.md").write_bytes(b"ok\ncaf\xe9\n")
    with pytest.raises(ValueError, match=r"a.md:2: byte 6 of the file \(0xe9\) is not UTF-8"):
        load_documents(folder)
    (folder / "a.md").write_text("---\ntitle: x\n---\n")
    with pytest.raises(ValueError, match="nothing but front matter"):
        load_documents(folder)
    (tmp_path / "rows.csv").write_text("name,body\na,b\n")
    with pytest.raises(ValueError, match="no column 'text'; it has: name, body"):
        load_documents(tmp_path / "rows.csv")
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": " "}\n')
    with pytest.raises(ValueError, match="rows.jsonl: row 2 has no text"):
        load_documents(tmp_path / "rows.jsonl")
