"""Questions in blocks are the questions read at once: repeated ones, damaged rows, files that change, columns."""

import os
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from closedbook.data import question_columns, questions, text_files
from closedbook.data.question_columns import collect_questions, question_blocks
from closedbook.data.question_files import load_question_file
from closedbook.data.question_format import QUESTION_FEATURES
from closedbook.data.questions import check_fit
from closedbook.data.tables import blocks
from closedbook.data.text_files import numbered_lines, read_file, stream_lines

WAYS = ("error", "first", "merge", "keep")


@pytest.fixture(scope="module", autouse=True)
def small_blocks():
    """Rows and bytes in blocks that a few questions fill, so that nearly all lie on a border."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(question_columns, "BLOCK", 3)
        patch.setattr(text_files, "_BLOCK", 8)
        yield


# ---- lines


@given(text=st.text(st.sampled_from("aé\t \n\r\u2028\x85\U0001f600"), max_size=40), mark=st.booleans())
def test_lines_in_a_stream_are_those_of_the_whole_file(tmp_path_factory, text, mark):
    path = tmp_path_factory.mktemp("lines") / "file.txt"
    path.write_bytes(("\ufeff" * mark + text).encode())
    if not text.strip():
        with pytest.raises(ValueError, match=r"file\.txt is empty"):
            list(stream_lines(path))
        return
    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    assert read_file(path) == whole
    wanted = [(number, line) for number, line in enumerate(whole.split("\n"), 1) if line.strip(" ")]
    assert list(stream_lines(path)) == numbered_lines(path) == wanted


@given(
    before=st.lists(st.sampled_from(["", "a", "é long line"]), max_size=5),
    damage=st.sampled_from([b"\xe9", b"\0"]),
)
def test_damage_is_named_with_line_and_byte_wherever_it_stands(tmp_path_factory, before, damage):
    path = tmp_path_factory.mktemp("damage") / "file.txt"
    good = "".join(f"{line}\r\n" for line in before).encode() + b"x"
    path.write_bytes(good + damage + b"\n\nmore\n")
    messages = []
    for read in (read_file, numbered_lines):
        with pytest.raises(ValueError) as found:
            read(path)
        messages.append(str(found.value))
    assert messages[0] == messages[1]
    assert f"file.txt:{len(before) + 1}: " in messages[0]
    assert damage == b"\0" or f"byte {len(good)} of the file (0xe9)" in messages[0]


@pytest.mark.parametrize("read", [read_file, numbered_lines, load_question_file])
@pytest.mark.parametrize("change", ["grows", "is written anew"])
def test_a_file_that_changes_while_it_is_read_is_refused(read, change, tmp_path, monkeypatch):
    path = tmp_path / "file.tsv"
    path.write_text("Where was Al born?\tUlm\n" * 3, encoding="utf-8")
    decoded = blocks.decoded

    def change_it(*args):
        for module in (blocks, text_files):
            monkeypatch.setattr(module, "decoded", decoded)
        if change == "grows":
            with open(path, "a", encoding="utf-8") as file:
                file.write("Where was Bo born?\tPau\n")
        else:
            os.utime(path, ns=(1, 1))
        return decoded(*args)

    for module in (blocks, text_files):
        monkeypatch.setattr(module, "decoded", change_it)
    with pytest.raises(ValueError, match=r"file\.tsv changed while it was read: wait until nobody writes to it"):
        read(path)


def test_a_pipe_is_read_as_it_comes():
    reading, writing = os.pipe()
    os.write(writing, b"Where was Al born?\tUlm\n")
    os.close(writing)
    try:
        assert load_question_file(f"/dev/fd/{reading}")["answers"][:] == [["Ulm"]]
    finally:
        os.close(reading)


# ---- repeated questions


def resolved(rows, on_conflict):
    """What becomes of repeated questions, row by row with nothing but lists: rows kept, repeated, conflicts."""
    kept, repeated, conflicts = [], 0, []
    for number, question, answers, entity in rows:
        same = [row for row in kept if row["question"] == question]
        if any(set(row["own"]) == set(answers) for row in same):
            repeated += 1
            continue
        if same:
            conflicts.append((number, same[0]["line"]))
        row = {"question": question, "answers": list(answers), "entity": entity}
        kept.append({**row, "own": answers, "line": number, "counts": not same or on_conflict == "keep"})
        if same and on_conflict == "merge":
            same[0]["answers"] += [answer for answer in answers if answer not in same[0]["answers"]]
    found = [{name: row[name] for name in QUESTION_FEATURES} for row in kept if row["counts"]]
    return found, repeated, conflicts


@settings(max_examples=60)
@given(
    pairs=st.lists(st.tuples(st.sampled_from("abcd"), st.lists(st.sampled_from("xyz"), unique=True)), max_size=14),
    on_conflict=st.sampled_from(WAYS),
    collide=st.booleans(),
)
def test_repeated_questions_become_what_they_do_when_all_are_looked_at_at_once(pairs, on_conflict, collide):
    rows = [(3 * place + 1, *pair, f"entity {place}") for place, pair in enumerate(pairs)]
    with pytest.MonkeyPatch.context() as patch:
        if collide:  # two questions may have one hash
            patch.setattr(question_columns, "hash", lambda text: ord(text) % 2, raising=False)
        found = collect_questions(iter(rows), QUESTION_FEATURES, on_conflict)
    wanted, repeated, conflicts = resolved(rows, on_conflict)
    assert found.dataset.to_list() == wanted
    assert found.dataset.features == QUESTION_FEATURES
    assert (found.num_rows, found.num_repeated, found.num_conflicts) == (len(rows), repeated, len(conflicts))
    first = found.first_conflict
    assert ([] if first is None else [(first.line, first.first_line)]) == conflicts[:1]


def test_many_rows_lie_in_a_file_that_goes_with_the_process_and_few_in_memory():
    def rows(number):
        return ((place, f"question {place}", ["x"], "") for place in range(number))

    assert collect_questions(rows(3), QUESTION_FEATURES).dataset.cache_files == []
    large = collect_questions(rows(7), QUESTION_FEATURES).dataset
    (file,) = large.cache_files
    assert Path(file["filename"]).parent.name.startswith("hf_datasets-")
    assert large["question"][:] == [f"question {place}" for place in range(7)]
    blocks = list(question_blocks(large, ["entity", "question"]))
    assert [len(block["question"]) for block in blocks] == [3, 3, 1]
    assert np.concatenate([block["question"] for block in blocks]).tolist() == large["question"][:]


# ---- what a model cannot take


@settings(max_examples=30)
@given(
    rows=st.lists(
        st.tuples(st.text("abcé□", min_size=1, max_size=8), st.lists(st.text("abz", max_size=6), max_size=2)),
        min_size=1,
        max_size=9,
    ),
    answer_room=st.sampled_from([None, 1, 4]),
)
def test_complaints_of_blocks_are_those_of_single_rows(rows, answer_room):
    columns = {"question": [row[0] for row in rows], "answers": [row[1] for row in rows]}
    asked = Dataset.from_dict(columns | {"entity": columns["question"]}, features=QUESTION_FEATURES)
    how = {"block_size": 9, "vocabulary": set("abcz"), "answer_room": answer_room}

    def complaints(check) -> str:
        try:
            check()
        except ValueError as error:
            return str(error)
        return ""

    quick = complaints(lambda: check_fit(asked, **how))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "_all_fit", lambda *args: False)
        assert complaints(lambda: check_fit(asked, **how)) == quick
    single = [complaints(lambda row=row: check_fit(asked.select([row]), **how)) for row in range(len(rows))]
    assert bool(quick) == any(single)
    counted = sum(int(said.split()[0]) for said in single if said)
    assert not quick or quick.startswith(f"{counted} complaints about {len(rows)} questions.")
