"""Outputs are checked before anything slow: can they be written, where, and over nothing that is read?"""

import pytest

from closedbook.training.checks.outputs import (
    check_inputs_outside,
    check_name,
    check_output_outside,
    check_outputs,
    check_prefix,
    check_writable,
)


@pytest.mark.parametrize("name", ["birth_dev", "test", "a.b-c+d", "Größe"])
def test_a_name_is_one_part_of_a_path(name):
    check_name("task", name)


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "..", ".hidden", "a\\b", "a b", "-x", "a\n", "/etc"])
def test_a_name_that_would_leave_its_folder_is_refused(name):
    with pytest.raises(ValueError, match="--task .* becomes part of a file name"):
        check_name("task", name)


def test_a_folder_below_a_file_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    for folder in ("file", "file/below", "file/far/below"):
        with pytest.raises(ValueError, match=r"cannot write to .*file is a file"):
            check_writable(tmp_path / folder)
    check_writable(tmp_path / "new" / "deep")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # permissions do not bind every user
    with pytest.raises(ValueError, match=f"cannot write to .*new: no permission in {tmp_path}"):
        check_writable(tmp_path / "new")


def test_a_file_is_not_written_over_a_folder_or_over_what_is_read(tmp_path):
    asked = tmp_path / "asked.tsv"
    asked.write_text("", encoding="utf-8")
    check_outputs([tmp_path / "new.json", None, ""], [("question_file", asked), ("train_questions", None)])
    with pytest.raises(ValueError, match="it is a folder"):
        check_outputs([tmp_path])
    with pytest.raises(ValueError, match="would be written over what --question_file reads"):
        check_outputs([tmp_path / "below" / ".." / "asked.tsv"], [("question_file", asked)])


def test_what_is_read_lies_outside_of_the_output(tmp_path):
    inside, beside = tmp_path / "run" / "data" / "wiki.txt", tmp_path / "run2" / "wiki.txt"
    for path in (inside, beside):
        path.parent.mkdir(parents=True)
        path.write_text("", encoding="utf-8")
    check_inputs_outside(
        tmp_path / "run", [("corpus_path", beside), ("questions", None), ("model", "someone/model")]
    )
    for source in (inside, tmp_path / "run", tmp_path / "run2" / ".." / "run" / "data" / "wiki.txt"):
        with pytest.raises(ValueError, match=r"--corpus_path .* lies in the output_dir"):
            check_inputs_outside(tmp_path / "run", [("corpus_path", source)])


def test_a_folder_of_documents_is_not_written_into(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("text")
    for output in (docs, docs / "outputs" / "run", tmp_path / "docs" / ".." / "docs" / "run"):
        with pytest.raises(
            ValueError, match=r"the output_dir .* lies in --corpus_path .*docs, whose files are read"
        ):
            check_output_outside(output, "corpus_path", docs)
    for source in (docs, docs / "a.txt", "someone/documents", None):
        check_output_outside(tmp_path / "run", "corpus_path", source)
    check_output_outside(docs / "run", "corpus_path", docs / "a.txt")


OURS = {
    "predictions.jsonl": '{"question": "q", "prediction": "p"}\n{"question": "r", "prediction": "s"}\n',
    "results.json": '{\n  "protocol": "mixed",\n  "accuracy": 0.5\n}\n',
    "knowing.json": '{"abstention": {}, "split": "test"}',
    "ledger.jsonl": '{"fact": "f", "verdict": "extractable"}\n',
    "ledger.json": '{"verdicts": {}, "facts": 3}',
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("foreign", ["mine\n", "[1]\n", '{"text": "mine"}\n', "7\n"])
def test_a_file_of_somebody_elses_is_not_written_over(tmp_path, name, foreign):
    path = tmp_path / name
    check_outputs([path])
    path.write_text(OURS[name])
    check_outputs([path])  # an older run's
    path.write_text(foreign)
    with pytest.raises(ValueError, match=f"{name} was not written by this command"):
        check_outputs([path])
    path.write_text("")
    check_outputs([path])


@pytest.mark.parametrize("name", ["made", "made/", "new/", ".", "/"])
def test_files_without_an_ending_are_not_named_like_a_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()
    with pytest.raises(ValueError, match=r"--results .* is a folder: name the files in it without an ending"):
        check_prefix("results", name, (".json",))


def test_files_that_begin_with_one_name_are_looked_at_each(tmp_path):
    check_prefix("results", None, (".json",))
    check_prefix("results", f"{tmp_path}/a", (".json", ".md"))
    (tmp_path / "a.md").mkdir()
    with pytest.raises(ValueError, match=r"a\.md: it is a folder"):
        check_prefix("results", f"{tmp_path}/a", (".json", ".md"))
