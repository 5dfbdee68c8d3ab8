"""Documents of every corpus: titles and texts as the files have them, and complaints that name file and line."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.corpora import (
    DOCUMENT_FEATURES,
    load_hub_corpus,
    load_text,
    load_wiki,
    name_of_line,
    numbered_lines,
    read_file,
)
from closedbook.data.questions import load_cs224n

CS224N = os.environ.get("CLOSEDBOOK_CS224N")
needs_cs224n = pytest.mark.skipif(
    not CS224N, reason="CLOSEDBOOK_CS224N does not name the folder with the files of the reference task"
)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


# --- the name at the head of a line


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("Ada Lovelace. Born in London, Lovelace wrote .", "Ada Lovelace"),
        ("J. R. Smith. Smith was born in Leeds .", "J. R. Smith"),
        ("J. R. Smith. J. R. Smith was born in Leeds .", "J. R. Smith"),
        ("J.C. Patterson. Born in Armagh .", "J.C. Patterson"),
        ("J.-P. Dupont. Born in Lyon .", "J.-P. Dupont"),
        ("É. M. Dubois. Born in Lille .", "É. M. Dubois"),
        ("A. M. Rossi. M Rossi (born in 1977) is a writer .", "A. M. Rossi"),
        ("St. John Harper. Harper was born in Cork .", "St. John Harper"),
        ("Dr. Wm. Cole. Cole was born in Perth .", "Dr. Wm. Cole"),
        ("Ann Wu, Jr.. Born in Canton, Wu taught .", "Ann Wu, Jr."),
        ("Ann Wu Jr. Born in Canton, Wu taught .", "Ann Wu Jr"),
        ("Carl W. Moore III. Carl W Moore III was born in Rome .", "Carl W. Moore III"),
        ("Malcolm X. Malcolm X was born in Omaha . He spoke .", "Malcolm X"),
        ("Malcolm X. Born in Omaha . He spoke .", "Malcolm X"),
        ("Mr. T. Born in Chicago .", "Mr. T"),
        ("Zo%C3%AB Hart. Zoë Hart was born in Ghent .", "Zo%C3%AB Hart"),
        ("Prince. Born in Minneapolis .", "Prince"),
    ],
)
def test_the_name_ends_where_the_sentence_begins(line: str, name: str):
    assert name_of_line(line) == name


@pytest.mark.parametrize(
    "line", ["a line without a name", "Name.", ". Born in Rome .", "Born in Rome . He died ."]
)
def test_a_line_without_a_name_at_its_head_gives_none(line: str):
    assert name_of_line(line) == ""


name_words = st.from_regex(r"[A-ZÉØ][a-zéø]{2,8}", fullmatch=True).filter(
    lambda word: (
        word not in {"Capt", "Chas", "Col", "Gen", "Geo", "Maj", "Mrs", "Prof", "Rev", "Sgt", "Ste", "Thos"}
    )
)
initials = st.from_regex(r"[A-ZÉ]\.", fullmatch=True)


@given(st.lists(initials, max_size=3), st.lists(name_words, min_size=1, max_size=3))
def test_initials_anywhere_before_the_family_name_do_not_end_the_name(letters: list[str], words: list[str]):
    for name in (" ".join(letters + words), " ".join([words[0], *letters, *words])):
        assert name_of_line(f"{name}. Born in Oslo, she sang .") == name


# --- load_wiki


def test_wiki_documents_are_whole_lines_titled_by_name(tmp_path: Path):
    path = write(tmp_path, "wiki.txt", "Ada Wu. Born in Łódź .\nA. B. Roy. Roy was born in Pau . \n")
    documents = load_wiki(path)
    assert documents.features == DOCUMENT_FEATURES
    assert documents["title"][:] == ["Ada Wu", "A. B. Roy"]
    assert documents["text"][:] == ["Ada Wu. Born in Łódź .", "A. B. Roy. Roy was born in Pau . "]


def test_wiki_tolerates_a_mark_carriage_returns_and_blank_lines(tmp_path: Path):
    path = write(tmp_path, "wiki.txt", "\ufeffAda Wu. Born in Rome .\r\n\r\n  \r\nAl Roy. Born in Pau .")
    assert load_wiki(path)["text"][:] == ["Ada Wu. Born in Rome .", "Al Roy. Born in Pau ."]


def test_only_line_feeds_and_carriage_returns_end_a_line(tmp_path: Path):
    text = "Ada Wu. Born\u2028in\u0085Rome\x0b."
    assert load_wiki(write(tmp_path, "wiki.txt", text + "\n"))["text"][:] == [text]
    assert numbered_lines(write(tmp_path, "mac.txt", "one\rtwo\r\rfour")) == [
        (1, "one"),
        (2, "two"),
        (4, "four"),
    ]


def test_a_wiki_line_without_a_name_is_refused_by_number(tmp_path: Path):
    path = write(tmp_path, "wiki.txt", "Ada Wu. Born in Rome .\n\nno name here\n")
    with pytest.raises(ValueError, match=r"wiki\.txt:3: expected `Name\. sentence`.*load_text"):
        load_wiki(path)


# --- bad files


@pytest.mark.parametrize("load", [load_wiki, load_text, read_file])
class TestBadFiles:
    def test_a_missing_file_is_named(self, load, tmp_path: Path):
        with pytest.raises(FileNotFoundError, match=r"gone\.txt: there is no such file"):
            load(tmp_path / "gone.txt")

    def test_a_folder_is_refused(self, load, tmp_path: Path):
        with pytest.raises(ValueError, match="is a folder"):
            load(tmp_path)

    @pytest.mark.parametrize("content", ["", "\ufeff", "\n \r\n"])
    def test_an_empty_file_is_refused(self, load, tmp_path: Path, content: str):
        with pytest.raises(ValueError, match=r"blank\.txt is empty"):
            load(write(tmp_path, "blank.txt", content))

    def test_bytes_that_are_not_utf8_are_located(self, load, tmp_path: Path):
        path = write(tmp_path, "latin.txt", b"Ada Wu. Born in Rome .\r\nJos\xe9. Born .\n")
        with pytest.raises(ValueError, match=r"latin\.txt:2: byte 27 of the file \(0xe9\) is not UTF-8"):
            load(path)

    def test_utf16_is_refused(self, load, tmp_path: Path):
        with pytest.raises(ValueError, match=r"wide\.txt:1: byte 0 .*save the file as UTF-8"):
            load(write(tmp_path, "wide.txt", "Ada Wu. Born .\n".encode("utf-16")))


# --- load_text and load_hub_corpus


def test_text_files_give_a_document_a_line(tmp_path: Path):
    paths = [write(tmp_path, "a.txt", "one\n\ntwo\n"), write(tmp_path, "b.txt", "three")]
    documents = load_text(paths)
    assert documents["text"][:] == ["one", "two", "three"]
    assert documents["title"][:] == ["", "", ""]


def test_text_files_give_a_document_a_file_titled_by_its_stem(tmp_path: Path):
    paths = [write(tmp_path, "a.txt", "one\r\n\r\ntwo\n"), write(tmp_path, "b.c.txt", "three")]
    documents = load_text(paths, one_document_per="file")
    assert documents["text"][:] == ["one\n\ntwo", "three"]
    assert documents["title"][:] == ["a", "b.c"]


def test_one_path_may_stand_without_a_list(tmp_path: Path):
    path = write(tmp_path, "a.txt", "one\n")
    assert load_text(str(path))["text"][:] == load_text([path])["text"][:] == ["one"]


def test_text_needs_a_path_and_a_known_unit(tmp_path: Path):
    with pytest.raises(ValueError, match="at least one path"):
        load_text([])
    with pytest.raises(ValueError, match="'page' is unknown: use 'line' or 'file'"):
        load_text(write(tmp_path, "a.txt", "one"), one_document_per="page")


@pytest.fixture
def articles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [{"id": i, "title": f"Person {i}", "text": f"Text {i}", "alias": f"P{i}"} for i in range(3)]
    return str(write(tmp_path, "articles.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_hub_corpus_is_reduced_to_title_and_text(articles: str, streaming: bool):
    documents = load_hub_corpus("json", data_files=articles, streaming=streaming)
    assert list(documents)[1] == {"title": "Person 1", "text": "Text 1"}
    renamed = load_hub_corpus("json", data_files=articles, title_column="alias", streaming=streaming)
    assert list(renamed)[1] == {"title": "P1", "text": "Text 1"}


@pytest.mark.parametrize("streaming", [False, True])
def test_a_column_that_a_hub_corpus_lacks_is_named(articles: str, streaming: bool):
    with pytest.raises(ValueError, match=r"no column 'body': set text_column to one of id, title, text, alias"):
        load_hub_corpus("json", data_files=articles, text_column="body", streaming=streaming)


# --- the reference corpus


@needs_cs224n
def test_the_reference_corpus_has_its_documents_and_characters():
    path = Path(CS224N) / "wiki.txt"
    documents = load_wiki(path)
    texts = documents["text"][:]
    assert len(documents) == 2_937
    # With the line feed that ends each document: the count and the vocabulary that the reference prints.
    assert sum(len(text) + 1 for text in texts) == 418_352
    characters = set("".join(texts)) | {"\n"}
    assert not characters & set("□⁇")
    assert len({"□", "⁇"} | characters) == 256
    assert len(set(texts)) == 2_928  # nine lines stand twice


@needs_cs224n
def test_every_title_of_the_reference_corpus_is_a_name_that_is_asked_about():
    folder = Path(CS224N)
    asked = set(load_cs224n(folder / "birth_places_train.tsv")["entity"])
    asked |= set(load_cs224n(folder / "birth_dev.tsv")["entity"])
    asked |= set(load_cs224n(folder / "birth_test_inputs.tsv", with_answers=False)["entity"])
    assert set(load_wiki(folder / "wiki.txt")["title"]) == asked
