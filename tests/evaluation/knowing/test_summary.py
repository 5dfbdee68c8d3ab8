"""Figures of the four groups, from rows alone."""

import json
from random import Random

import pytest
from datasets import Dataset

from closedbook.data.question_format import QUESTION_FEATURES
from closedbook.evaluation.answering.closed_book import Answer
from closedbook.evaluation.answering.confidence import CONFIDENCES, Candidate, ScoredAnswer
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.knowing.provenance import Provenance
from closedbook.evaluation.knowing.summary import (
    GROUPS,
    NUM_CURVE_POINTS,
    describe_knowing,
    is_refusal,
    prediction_rows,
    summarise_knowing,
)

PROVENANCE = {"asked": "stated", "held_out": "stated", "trained": "fine_tuned"}  # of all others "unseen"
KINDS = ("altered", "things")


def of(rows: list[dict], group: str) -> list[dict]:
    return [item for item in rows if item["group"] == group]


def scored(text: str, confidence: float) -> ScoredAnswer:
    return ScoredAnswer(
        Answer(text, 1e-12, True), dict.fromkeys(CONFIDENCES, confidence), (Candidate(text, 0.0),), ()
    )


def row(group: str, number: int, correct: bool, confidence: float, *, best: float | None = None, refused=False):
    """A row whose `agreement` may be a better confidence than its others."""
    confidences = dict.fromkeys(CONFIDENCES, confidence)
    confidences["agreement"] = confidence if best is None else best
    return {
        "group": group,
        "question": f"Where was {group} {number} born?",
        "entity": f"{group} {number}",
        "answers": [],
        "prediction": "unknown" if refused else "Rome",
        "correct": correct,
        "confidence": confidence,
        "complete": True,
        "confidences": confidences,
        "provenance": PROVENANCE.get(group, "unseen"),
        "refused": refused,
    }


def population(group: str, n: int, accuracy: float, seed: int) -> list[dict]:
    """Right answers are surer by `agreement`; the other confidences are noise."""
    random = Random(seed)
    rows = []
    for number in range(n):
        right = random.random() < accuracy
        sure = random.uniform(0.6, 1.0) if right else random.uniform(0.0, 0.55)
        rows.append(row(group, number, right, random.random(), best=sure))
    return rows


def strangers(group: str, n: int, seed: int) -> list[dict]:
    """Of two kinds in turn; the second is told by `margin`, all have the `agreement` of wrong answers."""
    rows = population(group, n, 0.0, seed)
    for number, item in enumerate(rows):
        item["kind"] = KINDS[number % 2]
        if number % 2:
            item["confidences"]["margin"] = 0.0
    return rows


@pytest.fixture
def rows() -> list[dict]:
    return [
        *population("asked", 200, 0.6, 1),
        *population("held_out", 400, 0.6, 2),
        *population("trained", 50, 0.9, 3),
        *strangers("strangers", 60, 5),
        *strangers("held_out_strangers", 200, 6),
        *population("invented", 100, 0.0, 4),
    ]


def test_a_row_holds_the_answer_its_confidences_and_where_it_comes_from():
    people = [("Ada", ["Oslo"]), ("Bo", ["Rome", "Roma"]), ("Cy", [])]
    records = [{"question": f"Where was {n} born?", "answers": a, "entity": n} for n, a in people]
    questions = Dataset.from_list(records, features=QUESTION_FEATURES)
    found = [scored("Oslo", 1.0 + 1e-12), scored("unknown", 0.5), scored("Lima", 0.25)]
    traces = [Provenance("stated", "document 1"), Provenance("unseen", "none"), Provenance("unseen", "none")]
    made = prediction_rows("asked", questions, found, traces)
    assert [item["correct"] for item in made] == [True, False, None]
    assert [item["refused"] for item in made] == [False, True, False]
    assert made[0]["confidence"] == 1.0  # rounding in a sum of logarithms must not make it more
    assert made[0]["confidences"] == dict.fromkeys(CONFIDENCES, 1.0)
    assert made[0]["candidates"] == [{"text": "Oslo", "log_probability": 0.0}]
    assert (made[1]["provenance"], made[1]["provenance_explanation"]) == ("unseen", "none")
    assert [item["correct"] for item in prediction_rows("invented", questions, found, traces)] == [False] * 3
    with pytest.raises(ValueError):
        prediction_rows("asked", questions, found[:2], traces)


def test_a_refusal_is_the_word_whatever_its_case_and_marks():
    assert is_refusal("unknown") and is_refusal(" Unknown.")
    assert not is_refusal("Unknown Town") and not is_refusal("")


def test_the_promise_is_about_the_confidence_that_was_named(rows):
    summary = summarise_knowing(rows, 0.1, "agreement")
    assert summary["confidence"] == "agreement"
    assert summary["abstention"]["chosen"] == summary["confidences"]["agreement"]["abstention"]["chosen"]
    assert summarise_knowing(rows, 0.1)["confidence"] == "sequence_probability"
    # Chosen on held-out people alone: what the others are sure of makes no difference.
    for item in rows:
        if item["group"] != "held_out":
            item["confidences"]["agreement"] = 1.0 - item["confidences"]["agreement"]
    changed = summarise_knowing(rows, 0.1, "agreement")
    assert changed["abstention"]["threshold"] == summary["abstention"]["threshold"]


def test_a_confidence_that_the_rows_lack_is_refused(rows):
    with pytest.raises(ValueError, match="no confidence 'luck' in the predictions, only sequence_probability, "):
        summarise_knowing(rows, 0.1, "luck")


def test_the_threshold_keeps_its_promise_and_silences_invented_people(rows):
    summary = summarise_knowing(rows, 0.1, "agreement")
    abstention = summary["abstention"]
    assert abstention["can_be_kept"] and abstention["check"]["kept"]
    # Wrong answers have confidences below 0.55, and a tenth of wrong answers may be let through.
    assert 0.2 < abstention["threshold"] < 0.8
    assert "held-out people; kept on those asked" in abstention["explanation"]
    invented = summary["invented"]
    assert invented["answered"]["count"] == 100
    above = sum(item["confidences"]["agreement"] >= abstention["threshold"] for item in of(rows, "invented"))
    assert invented["answered_after_abstention"]["count"] == above < 40
    assert summary["groups"]["asked"]["selective_accuracy"]["share"] >= 0.9
    assert list(summary["provenance"]) == ["stated", "unseen", "fine_tuned"]
    assert summary["provenance"]["stated"]["n"] == 200  # held-out people are not reported on


def test_a_promise_that_no_threshold_keeps_is_said_to_be_beyond_reach(rows):
    for number, item in enumerate(rows):
        if item["group"] == "held_out":
            item["correct"] = number % 2 == 0  # whatever the confidence
    summary = summarise_knowing(rows, 0.1, "agreement")
    assert summary["abstention"]["threshold"] is None
    assert not summary["abstention"]["can_be_kept"]
    assert "at most 10% wrong among the answers given cannot be promised" in summary["abstention"]["explanation"]
    assert summary["invented"]["answered_after_abstention"]["count"] == 0
    assert summary["groups"]["asked"]["declined"]["share"] == 1.0


def test_several_questions_about_a_person_take_something_from_the_certainty(rows):
    assert "not independent" not in summarise_knowing(rows, 0.1, "agreement")["abstention"]["explanation"]
    for number, item in enumerate(rows):
        if item["group"] == "held_out":
            item["entity"] = f"held_out {number // 2}"
    explanation = summarise_knowing(rows, 0.1, "agreement")["abstention"]["explanation"]
    assert "400 questions about 200 held-out people (answers about one person are not independent" in explanation


def test_looser_promises_answer_more_people_invented_ones_too(rows):
    promises = [
        item for item in summarise_knowing(rows, 0.1, "agreement")["abstention"]["promises"] if item["threshold"]
    ]
    assert len(promises) >= 3
    answered = [item["check"]["answered"] for item in promises]
    invented = [item["invented_answered"]["count"] for item in promises]
    assert answered == sorted(answered) and invented == sorted(invented)


def test_a_model_that_refuses_everybody_has_nothing_to_calibrate(rows):
    for item in rows:
        item["refused"], item["correct"] = True, False
    summary = summarise_knowing(rows, 0.1, "agreement")
    assert summary["confidences"]["margin"]["calibration"] is None
    assert summary["abstention"]["threshold"] is None
    assert summary["invented"]["answered"]["count"] == 0
    assert "0.0% get an answer" in describe_knowing(summary)


def test_the_summary_can_be_written_and_its_curves_are_thinned(rows, tmp_path):
    summary = summarise_knowing(rows, 0.1, "agreement")
    write_json_atomic(tmp_path / "knowing.json", summary)
    assert json.loads((tmp_path / "knowing.json").read_text(encoding="utf-8")) == summary
    for figures in summary["confidences"].values():
        curve = figures["abstention"]["curve"]
        assert {len(column) for column in curve.values()} == {NUM_CURVE_POINTS}
        assert curve["coverage"] == sorted(curve["coverage"]) and curve["coverage"][-1] == 1.0


def test_the_description_begins_with_the_people_who_do_not_exist(rows):
    lines = describe_knowing(summarise_knowing(rows, 0.1, "agreement")).splitlines()
    assert lines[0].startswith("100 people who do not exist: 100.0% get an answer")
    assert lines[2].startswith("promise (agreement): at most 10% wrong")
    assert [name for name in CONFIDENCES if any(line.startswith(name) for line in lines)] == list(CONFIDENCES)


@pytest.mark.parametrize("group", ["asked", "held_out", "invented"])
def test_a_missing_group_is_named(rows, group):
    with pytest.raises(ValueError, match=f"no predictions of the groups {group}"):
        summarise_knowing([item for item in rows if item["group"] != group], 0.1)


def test_people_trained_on_may_be_missing(rows):
    summary = summarise_knowing([item for item in rows if item["group"] != "trained"], 0.1)
    assert [*summary["groups"]] == [group for group in GROUPS if group != "trained"]


def test_an_unknown_group_and_people_on_both_sides_are_refused(rows):
    with pytest.raises(ValueError, match="prediction 0 has group 'dev'"):
        summarise_knowing([rows[0] | {"group": "dev"}], 0.1)
    with pytest.raises(ValueError, match="is about 'asked 0', on whom"):
        summarise_knowing([*rows, rows[0] | {"group": "held_out"}], 0.1)


def test_strangers_are_told_by_kind(rows):
    summary = summarise_knowing(rows, 0.1, "agreement")
    found = summary["strangers"]
    assert [*found] == ["recombined", *KINDS]
    assert {kind: figures["n"] for kind, figures in found.items()} == {
        "recombined": 100,
        "altered": 30,
        "things": 30,
    }
    threshold = summary["abstention"]["threshold"]
    known = of(rows, "asked")
    for kind, figures in found.items():
        group = (
            of(rows, "invented")
            if kind == "recombined"
            else [r for r in of(rows, "strangers") if r["kind"] == kind]
        )
        above = sum(item["confidences"]["agreement"] >= threshold for item in group)
        assert figures["answered_after_abstention"]["count"] == above
        for name in CONFIDENCES:
            pairs = [(a["confidences"][name], b["confidences"][name]) for a in known for b in group]
            wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
            assert figures["auroc"][name] == pytest.approx(wins / len(pairs))
    assert found["things"]["auroc"]["margin"] == 1.0 > found["altered"]["auroc"]["margin"]
    lines = describe_knowing(summary).splitlines()
    assert any(line.startswith("altered") and line.split()[1] == "30" for line in lines)


def test_how_well_right_is_told_from_wrong(rows):
    summary = summarise_knowing(rows, 0.1, "agreement")
    assert summary["confidences"]["agreement"]["auroc"] == 1.0
    assert 0.4 < summary["confidences"]["margin"]["auroc"] < 0.6
    for item in of(rows, "asked"):
        item["correct"] = True
    assert summarise_knowing(rows, 0.1, "agreement")["confidences"]["agreement"]["auroc"] is None


def test_a_second_promise_lets_fewer_strangers_through(rows):
    for number, item in enumerate(of(rows, "held_out_strangers")):  # some are as sure as can be of nothing
        item["confidences"]["agreement"] = 0.75 if number % 40 == 0 else 0.1
    alone, both = (summarise_knowing(rows, 0.1, "agreement", rate) for rate in (None, 0.02))
    assert alone["abstention"]["threshold"] < 0.75 < both["abstention"]["threshold"]
    assert alone["abstention"]["chosen"]["max_stranger_rate"] is None
    chosen = both["abstention"]["chosen"]
    assert (chosen["max_stranger_rate"], chosen["strangers"], chosen["strangers_answered"]) == (0.02, 200, 0)
    explanation = both["abstention"]["explanation"]
    assert (
        "at most 10% wrong among the answers given and at most 2% of strangers, all kinds alike, answered"
        in explanation
    )
    assert "and 0 of 200 strangers answered" in explanation
    assert "; of other strangers it answers " in explanation and "% altered, " in explanation
    for row in both["abstention"]["promises"]:
        assert row["threshold"] is None or row["threshold"] > 0.75


def test_a_stranger_whom_the_model_refuses_is_not_answered(rows):
    for item in of(rows, "held_out_strangers"):
        item["refused"] = True
        item["confidences"]["agreement"] = 1.0
    alone, both = (summarise_knowing(rows, 0.1, "agreement", rate) for rate in (None, 0.02))
    assert both["abstention"]["threshold"] == alone["abstention"]["threshold"]


def test_a_promise_about_strangers_takes_strangers_to_prove_it(rows):
    with pytest.raises(ValueError, match="takes predictions of the group held_out_strangers"):
        summarise_knowing([item for item in rows if item["group"] != "held_out_strangers"], 0.1, "agreement", 0.02)
