"""Rows of tables as documents, of every kind of table, and complaints that name file and line."""

import csv
import json

import pytest
from datasets import Dataset

from closedbook.data.documents.tables import read_table

ROWS = [
    {"title": "Ada Lind", "text": "She was born\nin Łódź.", "about": "A. Lind"},
    {"title": "", "text": "Bo Holm. Born, it is said, in York.", "about": ""},
    {"title": "Cy", "text": '"Cy"\twrote.', "about": "C"},
]


def written(folder, kind, rows):
    path = folder / f"a.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    elif kind == "parquet":
        Dataset.from_list(rows).to_parquet(path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="," if kind == "csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


KINDS = {"jsonl": [1, 2, 3], "csv": [2, 4, 5], "tsv": [2, 4, 5], "parquet": [1, 2, 3]}  # where the rows begin


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_gives_the_same_documents(kind, tmp_path):
    path = written(tmp_path, kind, ROWS)
    titles, texts = ["Ada Lind", "Bo Holm", "Cy"], [row["text"] for row in ROWS]
    assert read_table(path) == list(zip(KINDS[kind], titles, texts, strict=True))
    assert [title for _, title, _ in read_table(path, title_column="about")] == ["A. Lind", "Bo Holm", "C"]
    assert [text for _, _, text in read_table(path, text_column="title")] == ["Ada Lind", "Cy"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_that_is_missing_is_named_with_those_that_there_are(kind, tmp_path):
    path = written(tmp_path, kind, ROWS)
    with pytest.raises(
        ValueError, match=rf"a\.{kind}:\d has no column 'body'; it has: title, text, about: .*--text_c"
    ):
        read_table(path, text_column="body")
    with pytest.raises(ValueError, match="no column 'name'.*--title_column"):
        read_table(path, title_column="name")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x"}\n\n[1]', r"a\.jsonl:3 is no JSON object: '\[1\]'"),
        ("a.jsonl", '{"text": "x"}\n{"text": 3}', r"a\.jsonl:2: the column 'text' holds 3, which is no text"),
        ("a.jsonl", '{"text": "x \\ud800"}', r"a\.jsonl:1 holds half a surrogate pair"),
        ("a.jsonl", '{"text": "x"}\n{"text"', r"a\.jsonl:2: not JSON"),
        ("a.jsonl", '{"text": " "}\n{"text": null}', r"none of its 2 rows has a text in the column 'text'"),
        ("a.csv", "title,text\nA,one\nB,two,three\n", r"a\.csv:3 has not as many fields .*title, text"),
        ("a.csv", "text,text\nA,one\n", r"a\.csv:1 names a column twice"),
        ("a.csv", 'text\n"a\nb"\n"c" d\n', r"a\.csv:4 is no CSV"),
        ("a.csv", "text\n", "names columns, and has no row"),
        ("a.parquet", "PAR1 no", r"a\.parquet is no parquet file"),
    ],
)
def test_damage_is_named_with_its_line(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_table_is_named(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match=f"gone.{kind}: there is no such file"):
        read_table(tmp_path / f"gone.{kind}")
