"""Verdicts over the whole table of what models can do, and figures against counts made another way."""

from itertools import product

import pytest
from datasets import Dataset
from scipy.stats import binomtest

from closedbook.evaluation.ledger.facts import Fact
from closedbook.evaluation.ledger.ledger import Ledger
from closedbook.evaluation.ledger.measuring import Reply, Standing, alternatives_of, begins_with
from closedbook.evaluation.ledger.summary import summarise_ledger
from closedbook.evaluation.ledger.verdicts import LEDGER_FEATURES, VERDICTS, by_majority, judge, ledger_rows


def standing(finishes, right, asked=3):
    replies = [Reply("?", "forward", "x", number < right, 0.5, 0.25) for number in range(asked)]
    return Standing(finishes, "x", 0.5, 1, 1, 2, replies)


def fact(subject, object, relation="capital"):
    return Fact(subject, relation, object, kind="place", questions=("?",))


@pytest.mark.parametrize(
    ("finishes", "right", "base_finishes", "base_right", "majority"),
    list(product((True, False), (0, 1, 2, 3), (True, False), (0, 2), (True, False))),
)
def test_every_case_has_its_verdict(finishes, right, base_finishes, base_right, majority):
    verdict, by = judge(standing(finishes, right), {"before": standing(base_finishes, base_right)}, majority)
    if base_right == 2 or majority:
        assert verdict == "guessable" and by == ["before"] * (base_right == 2) + ["majority"] * majority
    elif right >= 2:
        assert (verdict, by) == ("extractable", [])
    elif finishes:
        assert (verdict, by) == (("guessable", ["before"]) if base_finishes else ("memorised_only", []))
    else:
        assert (verdict, by) == ("not_learned", [])


def test_what_was_not_asked_has_no_other_verdict():
    assert judge(standing(True, 0, asked=0), {"before": standing(True, 3)}, True) == ("not_asked", [])


def test_half_of_the_wordings_is_not_enough():
    assert [standing(False, right, 2).answers for right in (0, 1, 2)] == [False, False, True]


def test_the_majority_is_that_of_the_others():
    facts = [
        fact(str(number), place) for number, place in enumerate(["Oslo", "Oslo", "Oslo", "Rome", "Rome", "Lima"])
    ]
    assert by_majority(facts) == [True, True, True, False, False, False]
    assert by_majority(facts[:1]) == [False]  # nobody else: nothing to guess by
    assert by_majority(facts[:2]) == [False, False]  # one other is no habit


def test_alternatives_are_wrong_distinct_and_the_same_in_any_order():
    facts = [fact(f"S{number}", f"P{number % 7}") for number in range(20)] + [fact("S0", "P9")]
    drawn = dict(zip((each.key for each in facts), alternatives_of(facts, 4, seed=1), strict=True))
    backwards = dict(zip((each.key for each in facts[::-1]), alternatives_of(facts[::-1], 4, seed=1), strict=True))
    assert drawn == backwards
    for each in facts:
        others = drawn[each.key]
        assert len(set(others)) == len(others) == 4 and each.object not in others
    assert "P9" not in drawn[facts[0].key]  # is also right of S0
    assert drawn != dict(zip(drawn, alternatives_of(facts, 4, seed=2), strict=True))


def test_a_sentence_is_finished_on_a_word_border():
    assert begins_with("Oslo, where", ["Oslo"]) and begins_with("Oslo", ["Rome", "Oslo"])
    assert not begins_with("Oslofjord", ["Oslo"]) and not begins_with("in Oslo", ["Oslo"])


@pytest.fixture
def rows():
    facts = [fact(f"S{number}", f"P{number}") for number in range(6)]
    after = [
        standing(True, 3),
        standing(True, 0),
        standing(False, 0),
        standing(True, 3),
        standing(True, 0),
        standing(0, 0, 0),
    ]
    before = [standing(False, 0)] * 3 + [standing(True, 3), standing(False, 3), standing(False, 0, 0)]
    return ledger_rows(facts, [("A",)] * 6, after, before, passes=2.0)


def test_the_figures_are_the_counts_of_the_rows(rows):
    assert [row.verdict for row in rows] == [
        *("extractable", "memorised_only", "not_learned", "guessable", "guessable", "not_asked")
    ]
    summary = summarise_ledger(rows, [(True, True), (True, False), (False, False)])
    assert {name: entry["count"] for name, entry in summary["verdicts"].items()} == {
        name: sum(row.verdict == name for row in rows) for name in VERDICTS if name != "not_asked"
    }
    assert (summary["asked"], summary["known_before"]["count"], summary["forgotten"]["count"]) == (5, 2, 1)
    assert summary["control"]["forgotten"]["count"] == 1 and summary["control"]["forgotten"]["n"] == 2
    finished = summary["paired"]["finished"]
    gained, lost = 3, 0  # counted by eye
    assert (finished["gained"], finished["lost"]) == (gained, lost)
    assert finished["p_value"] == pytest.approx(binomtest(gained, gained + lost, 0.5).pvalue)
    raw = [entry["p_value"] for entry in summary["paired"].values()]
    assert [entry["p_holm"] for entry in summary["paired"].values()] >= raw


def test_rows_keep_their_types_through_a_file(rows, tmp_path):
    Ledger(rows, summarise_ledger(rows)).save(tmp_path)
    again = Dataset.from_parquet(str(tmp_path / "ledger.parquet"), cache_dir=str(tmp_path))
    assert again.features == LEDGER_FEATURES
    assert again[:] == Ledger(rows, {}).rows[:] and again[0]["after"]["replies"][0]["confidence"] == 0.5
    assert (tmp_path / "ledger.png").stat().st_size > 10_000
