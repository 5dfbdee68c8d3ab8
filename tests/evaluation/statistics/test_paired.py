"""Paired comparison: the test against its definition, the interval against simulation, files against files."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.statistics.paired import check_same_questions, compare_paired, verdicts

ROW = {"question": "Where was Ada Lind born?", "answers": ["Oslo"], "prediction": "Oslo", "confidence": 0.5}


def answers(both=0, only_first=0, only_second=0, neither=0) -> tuple[list[bool], list[bool]]:
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


def test_the_counts_of_a_comparison_add_up():
    found = compare_paired(*answers(both=50, only_first=4, only_second=16, neither=30))
    assert (found.n, found.both, found.only_first, found.only_second, found.neither) == (100, 50, 4, 16, 30)
    assert found.accuracies == pytest.approx((0.54, 0.66))
    assert found.difference == pytest.approx(0.12)
    low, high = found.interval
    assert 0 < low < 0.12 < high


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_p_value_is_the_chance_of_coins_falling_as_unevenly(only_first, only_second):
    found = compare_paired(*answers(both=3, only_first=only_first, only_second=only_second))
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(discordant, k) for k in range(fewer + 1)) / 2**discordant
    assert found.p_value == pytest.approx(min(1.0, 2 * tail))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_exchanging_the_systems_turns_the_difference_around(pairs):
    first, second = zip(*pairs, strict=True)
    found, turned = compare_paired(first, second), compare_paired(second, first)
    assert turned.difference == -found.difference
    assert turned.interval == pytest.approx((-found.interval[1], -found.interval[0]))
    assert turned.p_value == pytest.approx(found.p_value)
    assert -1 <= found.interval[0] <= found.difference <= found.interval[1] <= 1


def test_equal_answers_are_not_proof_of_no_difference():
    found = compare_paired(*answers(both=10, neither=10))
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert found.interval[0] < -0.05 and found.interval[1] > 0.05


@pytest.mark.parametrize("shares", [(0.3, 0.05, 0.15, 0.5), (0.9, 0.02, 0.03, 0.05), (0.0, 0.1, 0.4, 0.5)])
def test_the_interval_holds_the_true_difference_in_19_of_20_experiments(shares):
    counts, times = np.unique(
        np.random.default_rng(0).multinomial(120, shares, size=3000), axis=0, return_counts=True
    )
    held = 0
    for (both, only_first, only_second, neither), often in zip(counts.tolist(), times.tolist(), strict=True):
        low, high = compare_paired(*answers(both, only_first, only_second, neither)).interval
        held += often * (low <= shares[2] - shares[1] <= high)
    assert (
        0.94 < held / 3000 < 0.99
    )  # of 3,000 experiments the share is known to 0.4 points; small n errs to safety


def test_answers_to_different_numbers_of_questions_are_refused():
    with pytest.raises(ValueError, match="got 2 and 1"):
        compare_paired([True, False], [True])
    with pytest.raises(ValueError, match="same questions"):
        compare_paired([], [])


def test_the_first_mismatch_is_shown_with_both_files():
    other = ROW | {"question": "Where was Bo Ek born?"}
    with pytest.raises(ValueError, match=r"a\.jsonl does not match b\.tsv.* prediction 2 .*Ada Lind.*Bo Ek"):
        check_same_questions([ROW, ROW, ROW], "a.jsonl", [ROW, other, other], "b.tsv")
    with pytest.raises(ValueError, match=r"prediction 1 .*answers is \['Oslo'\], .*\['Rome'\]"):
        check_same_questions([ROW], "a.jsonl", [ROW | {"answers": ["Rome"]}], "b.tsv")


def test_a_file_that_ends_too_soon_is_refused():
    with pytest.raises(ValueError, match=r"a\.jsonl does not match b\.jsonl.*3 predictions for 1 questions"):
        check_same_questions([ROW] * 3, "a.jsonl", [ROW], "b.jsonl")
    check_same_questions([ROW] * 3, "a.jsonl", [ROW] * 3, "b.jsonl")


def test_answers_without_a_verdict_cannot_be_compared():
    assert verdicts([ROW | {"correct": True}, ROW | {"correct": False}], "p.jsonl") == [True, False]
    with pytest.raises(ValueError, match=r"p\.jsonl, line 2: no verdict"):
        verdicts([ROW | {"correct": True}, ROW], "p.jsonl")
