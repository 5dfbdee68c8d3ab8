"""Arm files of both kinds of sweeps have one reader, which names the line that is no record of an answer."""

import json
import re

import pytest

from closedbook.evaluation.prompting.incontext_arms import read_arms, read_incontext_arm
from closedbook.evaluation.prompting.reasoning_summary import read_reasoning_arm, read_reasoning_arms

COMMON = {"question": "Who?", "new_tokens": 3, "complete": True, "dropped": 0}
LINES = {
    read_incontext_arm: {
        "arm": {
            "num_shots": 2,
            "selection": "random",
            "order": "near_last",
            "decoding": "greedy",
            "num_sequences": 1,
            "temperature": 1.0,
            "seed": 0,
            "order_seed": 0,
        },
        "scores": {"answer_match": True, "f1": 0.5},
    },
    read_reasoning_arm: {
        "arm": {"name": "worked", "num_shots": 2, "num_samples": 1, "temperature": 1.0, "seed": 0},
        "right": True,
        "extracted": "7",
        "verdict": "right",
        "steps": [{"text": "3 + 4 = 7", "holds": True}],
    },
}
READERS = pytest.mark.parametrize("read", LINES, ids=lambda read: read.__name__)


def write(path, lines):
    path.parent.mkdir(exist_ok=True)
    text = "".join(
        (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)) + "\n" for line in lines
    )
    path.write_text(text, encoding="utf-8")
    return path


def answers(read, number=3):
    return [COMMON | LINES[read] | {"row": row} for row in range(number)]


@READERS
def test_the_answers_of_an_arm_are_read_line_by_line(read, tmp_path):
    lines = answers(read)
    lines[1]["question"] = "one\u2028question\x85"  # which text.splitlines() would take for three
    assert read(write(tmp_path / "a.jsonl", lines)) == lines


@READERS
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("{", "line 2 is not JSON"),
        ("", "line 2 is not JSON"),
        ("[1]", "line 2 has to be a JSON object"),
        ({"arm": None}, "line 2: arm has to be an object, but is None"),
        ({"arm": {"num_shots": 1}}, "line 2: the arm lacks "),
        ({"row": "1"}, "line 2: row has to be a number of a question, from 0 on, but is '1'"),
        ({"row": 0}, "line 2 answers question 0 again"),
        ({"question": 5}, "line 2: question has to be a string, but is 5"),
        ({"new_tokens": True}, "line 2: new_tokens has to be a number of tokens, but is True"),
        ({"complete": "yes"}, "line 2: complete has to be true or false, but is 'yes'"),
        ({"dropped": -1}, "line 2: dropped has to be a number of demonstrations, but is -1"),
    ],
    ids=str,
)
def test_a_line_that_is_no_answer_is_named(read, change, complaint, tmp_path):
    lines = answers(read)
    lines[1] = change if isinstance(change, str) else lines[1] | change
    with pytest.raises(ValueError, match=r"a\.jsonl, " + re.escape(complaint)):
        read(write(tmp_path / "a.jsonl", lines))


@READERS
def test_a_file_holds_the_answers_of_one_arm(read, tmp_path):
    lines = answers(read)
    lines[2] = lines[2] | {"arm": lines[2]["arm"] | {"seed": 1}}
    with pytest.raises(ValueError, match=r"a\.jsonl, line 3 is of another arm than line 1"):
        read(write(tmp_path / "a.jsonl", lines))
    lines[0] = lines[0] | {"arm": lines[0]["arm"] | {"seed": "1"}}
    with pytest.raises(ValueError, match="line 1: the arm's seed has to be a whole number, but is '1'"):
        read(write(tmp_path / "a.jsonl", lines))


@READERS
def test_a_file_without_answers_is_named(read, tmp_path):
    with pytest.raises(ValueError, match=r"a\.jsonl is empty; restore it, or move it away"):
        read(write(tmp_path / "a.jsonl", []))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"right": 1}, "right has to be true or false, but is 1"),
        ({"extracted": 7}, "extracted has to be the number given, or null, but is 7"),
        ({"verdict": "good"}, "verdict has to be right, wrong, not checkable, or null, but is 'good'"),
        ({"steps": None}, "steps has to be a list of objects with holds, but is None"),
        ({"steps": [{"text": "1 + 1 = 2"}]}, "steps has to be a list of objects with holds"),
        ({"steps": "holds"}, "steps has to be a list"),
    ],
    ids=str,
)
def test_a_chain_of_thought_that_was_not_judged_is_named(change, complaint, tmp_path):
    lines = answers(read_reasoning_arm)
    lines[1] |= {"verdict": None, "extracted": None, "steps": []}  # as arms without rationales have it
    read_reasoning_arm(write(tmp_path / "a.jsonl", lines))
    lines[1] |= change
    with pytest.raises(ValueError, match="line 2: " + re.escape(complaint)):
        read_reasoning_arm(write(tmp_path / "a.jsonl", lines))


def test_a_score_that_only_some_lines_have_is_named_and_the_name_of_version_0_1_is_known(tmp_path):
    lines = answers(read_incontext_arm)
    lines[0] = lines[0] | {"scores": {"exact_match": True, "f1": 0.5}}
    assert read_incontext_arm(write(tmp_path / "a.jsonl", lines)) == answers(read_incontext_arm)
    lines[2] = lines[2] | {"scores": {"f1": 0.5}}
    with pytest.raises(ValueError, match=r"a\.jsonl, line 3 has the scores f1, line 1 has others"):
        read_incontext_arm(write(tmp_path / "a.jsonl", lines))


@pytest.mark.parametrize(
    ("read_all", "read"), [(read_arms, read_incontext_arm), (read_reasoning_arms, read_reasoning_arm)]
)
def test_a_folder_is_read_arm_by_arm_and_one_without_arms_is_refused(read_all, read, tmp_path):
    for name in ("b", "a"):
        write(tmp_path / "arms" / f"{name}.jsonl", answers(read))
    assert len(read_all(tmp_path)) == 2
    with pytest.raises(
        FileNotFoundError, match=r"there is no arms/\*\.jsonl in .*name the output folder of a sweep"
    ):
        read_all(tmp_path / "arms")
