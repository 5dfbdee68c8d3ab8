"""A sweep is read with clear complaints, and its summary says of its arms what their rows say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from closedbook.evaluation.prompting.incontext_summary import (
    compared_pairs,
    incontext_table,
    read_arms,
    summarise_arms,
)
from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.evaluation.statistics.paired import compare_paired
from closedbook.evaluation.statistics.prompt_luck import arm_difference, mean_interval, prompt_luck

QUESTIONS = 12


def settings(num_shots=2, **changed):
    defaults = {"selection": "random" if num_shots else "none", "order": "near_last" if num_shots > 1 else "none"}
    decoding = {"decoding": "greedy", "num_sequences": 1, "temperature": 1.0, "seed": 0, "order_seed": 0}
    return {"num_shots": num_shots, **defaults, **decoding, **changed}


def rows(arm, right, **changed):
    return [
        {
            "arm": arm,
            "arm_hash": "0" * 12,
            "row": row,
            "question": f"question {row}?",
            "answers": ["x"],
            "dropped": int(row == 0),
            "new_tokens": row,
            "complete": row > 2,
            "scores": {
                "answer_match": row in right,
                "contains": row in right or row == 11,
                "f1": 1.0 if row in right else 0.25,
                "substring": row in right or row > 9,
            },
        }
        | changed
        for row in range(QUESTIONS)
    ]


def write(folder, *arms):
    (folder / "arms").mkdir(exist_ok=True)
    for number, lines in enumerate(arms):
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (folder / "arms" / f"{number}.jsonl").write_text(text, encoding="utf-8")
    return folder


def summary_of(folder, *arms):
    return summarise_arms(read_arms(write(folder, *(rows(arm, right) for arm, right in arms))))


SWEEP = [
    (settings(0), {0}),
    (settings(2), {0, 1, 2}),
    (settings(2, seed=1), {0, 1, 2, 3, 4, 5}),
    (settings(2, seed=2), {0, 1}),
    (settings(2, selection="nearest"), {0, 2, 4, 6}),
]


def test_runs_of_an_arm_are_put_together(tmp_path):
    summary = summary_of(tmp_path, *SWEEP)
    assert [(arm["label"], len(arm["draws"])) for arm in summary["arms"]] == [
        ("zero-shot, greedy", 1),
        ("2 shots, random, near last, greedy", 3),
        ("2 shots, nearest, near last, greedy", 1),
    ]
    zero, random, _ = summary["arms"]
    table = np.array([[row in right for row in range(QUESTIONS)] for _, right in SWEEP[1:4]], dtype=float)
    assert zero["metrics"]["answer_match"]["interval"] == pytest.approx(wilson_interval(1, QUESTIONS))
    assert random["metrics"]["answer_match"]["mean"] == pytest.approx(11 / 36)
    assert random["metrics"]["answer_match"]["interval"] == pytest.approx(mean_interval(table))
    assert random["metrics"]["answer_match"]["each_run"] == pytest.approx([3 / 12, 6 / 12, 2 / 12])
    assert random["draws"] == [[0, 0], [1, 0], [2, 0]]
    assert (random["spread"]["lowest"], random["spread"]["highest"]) == (2 / 12, 6 / 12)
    assert random["spread"]["seeds"]["p_value"] == pytest.approx(prompt_luck([table]).p_value)
    assert random["spread"]["orders"] is None and zero["spread"]["runs"] is None
    assert (random["tokens_per_question"], random["complete_share"]) == (5.5, 0.75)
    assert random["dropped_per_question"] == random["shortened_share"] == pytest.approx(1 / 12)
    assert "arm" in random and not {"seed", "order_seed"} & random["arm"].keys()


def test_arms_are_compared_over_the_seeds_that_they_share(tmp_path):
    summary = summary_of(tmp_path, *SWEEP)
    pairs = {(pair["first"], pair["second"]): pair for pair in summary["comparisons"]}
    assert {(first.split(",")[0], second.split(",")[1]) for first, second in pairs} == {
        ("zero-shot", " random"),
        ("zero-shot", " nearest"),
        ("2 shots", " nearest"),
    }
    pair = pairs["2 shots, random, near last, greedy", "2 shots, nearest, near last, greedy"]
    first = np.array([[row in right for row in range(QUESTIONS)] for _, right in SWEEP[1:4]], dtype=float)
    second = np.array([[row in SWEEP[4][1] for row in range(QUESTIONS)]], dtype=float)
    assert pair["difference"] == pytest.approx(4 / 12 - 11 / 36)
    assert pair["p_value"] == arm_difference(first, second).p_value
    assert (pair["changed"], pair["draws"]) == ("selection", [3, 1])
    assert [run["seed"] for run in pair["each_run"]] == [0, 1, 2]
    alone = compare_paired(list(first[1] > 0), list(second[0] > 0))
    assert pair["each_run"][1]["p_value"] == alone.p_value
    assert all(pair["p_holm"] >= pair["p_value"] for pair in pairs.values())


def test_orders_are_told_from_seeds(tmp_path):
    arms = [
        (settings(2, order="shuffled", seed=seed, order_seed=order), set(range(seed * 4 + order)))
        for seed in range(2)
        for order in range(3)
    ]
    spread = summary_of(tmp_path, *arms)["arms"][0]["spread"]
    assert spread["orders"]["deviation"] == pytest.approx(1 / 12)  # within a seed 0, 1, 2 or 4, 5, 6 are right
    assert spread["seeds"]["deviation"] == pytest.approx(4 / 12 / 2**0.5)  # on average 1 and 5
    assert spread["runs"]["deviation"] == pytest.approx(np.std([0, 1, 2, 4, 5, 6], ddof=1) / 12)


def test_an_arm_of_one_seed_is_compared_by_its_orders_or_by_their_mean(tmp_path):
    shuffled = [(settings(2, selection="nearest", order="shuffled", order_seed=n), {0, n}) for n in range(3)]
    seeds = [
        (settings(2, order="shuffled", seed=s, order_seed=n), {0, s, n + 3}) for s in range(4) for n in range(3)
    ]
    decoded = [(arm | {"decoding": "beam", "num_sequences": 4}, right | {7}) for arm, right in shuffled]
    pairs = summary_of(tmp_path, *shuffled, *seeds, *decoded)["comparisons"]
    assert {pair["changed"]: pair["draws"] for pair in pairs} == {"selection": [4, 1], "decoding": [3, 3]}


def test_runs_without_a_shared_draw_are_not_compared(tmp_path):
    nearest = {"selection": "nearest", "decoding": "sample"}
    drawn = [(settings(2, decoding="sample", seed=seed), {seed}) for seed in (0, 1)]
    others = [(settings(2, seed=seed, **nearest), {seed}) for seed in (2, 3)]
    assert summary_of(tmp_path, *drawn, *others)["comparisons"] == []


def test_pairs_differ_in_one_setting():
    greedy = [settings(shots) for shots in (0, 1, 2, 4, 8)]
    shots = {(greedy[one]["num_shots"], greedy[other]["num_shots"]) for one, other, _ in compared_pairs(greedy)}
    assert shots == {(0, 1), (0, 2), (0, 4), (0, 8), (1, 2), (2, 4), (4, 8)}
    ways = [settings(2, selection=name) for name in ("bm25", "random", "nearest")]
    assert sorted(compared_pairs(ways)) == [(1, 0, "selection"), (1, 2, "selection")]
    assert compared_pairs(ways[::2]) == [(0, 1, "selection")]
    decodings = [settings(2), settings(2, decoding="sample", temperature=0.7, num_sequences=4)]
    assert compared_pairs(decodings) == [(0, 1, "decoding")]
    assert compared_pairs([settings(2), settings(4, selection="nearest")]) == []
    orders = [settings(1), settings(2), settings(2, order="near_first")]
    assert [pair[:2] for pair in compared_pairs(orders)] == [(0, 1), (0, 2), (1, 2)]


def test_the_same_rows_give_the_same_summary_and_it_is_json(tmp_path):
    summary = summary_of(tmp_path, *SWEEP)
    runs = read_arms(tmp_path)
    assert summarise_arms(runs[::-1]) == summary
    assert json.loads(json.dumps(summary, allow_nan=False)) == json.loads(json.dumps(summary))
    by_f1 = summarise_arms(runs, metric="f1")
    assert by_f1["comparisons"][0]["each_run"] == []  # McNemar's test is of right and wrong answers
    assert "| - |" in incontext_table(by_f1)


def test_the_table_says_what_the_summary_says(tmp_path):
    text = incontext_table(summary_of(tmp_path, *SWEEP))
    low, high = (100 * end for end in wilson_interval(4, QUESTIONS))
    assert (
        f"| 2 shots, nearest, near last, greedy | 1 | 33.3 [{low:.1f}, {high:.1f}] | 33.3, 33.3 | 41.7 | 50.0 "
        "| 50.0 | 5.5 | 75.0% | 8.3% |"
    ) in text.splitlines()
    tables = [part for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 3
    for part in tables:
        assert len({line.count("|") for line in part.splitlines()}) == 1
    assert "0 better, 0 worse of 3" in text
    single = incontext_table(summary_of(tmp_path / "arms", SWEEP[0]))
    assert single.count("\n\n") == 1  # no spread and no pairs, so no tables of them


BROKEN = {
    "not JSON": ("{", "line 2 is not JSON"),
    "no object": ("[1]", "line 2 has to be a JSON object"),
    "no score": ({"scores": {}}, "line 2: scores has to be an object of scores between 0 and 1"),
    "a score out of range": ({"scores": {"answer_match": 1.5}}, "line 2: scores has to be"),
    "a score that is no number": ({"scores": {"answer_match": float("nan")}}, "line 2: scores has to be"),
    "a negative count": ({"dropped": -1}, "line 2: dropped has to be a number of demonstrations, but is -1"),
    "no arm": ({"arm": None}, "line 2: arm has to be an object, but is None"),
    "a seed as text": ({"arm": settings(seed="1")}, "line 2: the arm's seed has to be a whole number, but is '1'"),
    "part of an arm": ({"arm": {"num_shots": 1}}, "line 2: the arm lacks selection, order"),
    "another arm": ({"arm": settings(4)}, "line 2 is of another arm than line 1"),
    "other scores": ({"scores": {"f1": 1.0}}, "line 2 has the scores f1"),
    "a row again": ({"row": 0}, "line 2 answers question 0 again"),
    "an unfinished line": ({"complete": "yes"}, "line 2: complete has to be true or false, but is 'yes'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_line_is_named(case, tmp_path):
    change, message = BROKEN[case]
    lines = rows(settings(), {1})
    lines[1] = change if isinstance(change, str) else lines[1] | change
    with pytest.raises(ValueError, match=r"0\.jsonl, " + re.escape(message)):
        read_arms(write(tmp_path, lines))


def test_a_missing_field_and_an_empty_file_are_named(tmp_path):
    line = rows(settings(), {1})[0]
    del line["new_tokens"]
    with pytest.raises(ValueError, match=r"line 1: new_tokens has to be a number of tokens, but is missing"):
        read_arms(write(tmp_path, [line]))
    with pytest.raises(ValueError, match=r"0\.jsonl is empty"):
        read_arms(write(tmp_path, []))
    with pytest.raises(FileNotFoundError, match=r"no arms/\*\.jsonl in"):
        read_arms(tmp_path / "arms")


def test_arms_of_different_sweeps_are_kept_apart(tmp_path):
    whole, part = rows(settings(), {1}), rows(settings(4), {1})
    with pytest.raises(ValueError, match=r"1\.jsonl has answers to 5 questions and .*0\.jsonl to 12"):
        summarise_arms(read_arms(write(tmp_path, whole, part[:5])))
    part[3]["question"] = "another one?"
    with pytest.raises(ValueError, match=r"1\.jsonl and .*0\.jsonl were asked different questions"):
        summarise_arms(read_arms(write(tmp_path, whole, part)))
    with pytest.raises(ValueError, match=r"0\.jsonl and .*1\.jsonl are of the same arm"):
        summarise_arms(read_arms(write(tmp_path, whole, whole)))
    other = [row | {"scores": {"f1": 0.5}} for row in rows(settings(4), {1})]
    with pytest.raises(ValueError, match=r"1\.jsonl has the scores f1; all arms need the same ones"):
        summarise_arms(read_arms(write(tmp_path, whole, other)))
    with pytest.raises(ValueError, match="at least one arm"):
        summarise_arms([])


def test_settings_that_are_not_known_by_name_keep_arms_apart(tmp_path):
    arms = [(settings(2, top_p=p), {1}) for p in (0.9, 1.0)]
    labels = [arm["label"] for arm in summary_of(Path(tmp_path), *arms)["arms"]]
    assert labels == [
        "2 shots, random, near last, greedy, top p = 0.9",
        "2 shots, random, near last, greedy, top p = 1.0",
    ]
