"""Intervals agree with the formula worked by hand, and hold the truth as often as they claim."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.statistics.intervals import bootstrap_interval, wilson_interval

Z_95 = 1.959963984540054  # the normal distribution's 97.5% point


def wilson_by_hand(correct: int, n: int) -> tuple[float, float]:
    share = correct / n
    center = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    reach = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n**2)) / (1 + Z_95**2 / n)
    return center - reach, center + reach


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_the_formula_by_hand(counts):
    assert wilson_interval(*counts) == pytest.approx(wilson_by_hand(*counts), abs=1e-9)


def test_wilson_at_a_fifth_of_500_questions_reaches_about_three_and_a_half_points():
    assert wilson_interval(100, 500) == pytest.approx((0.1673, 0.2373), abs=1e-4)


def test_wilson_stays_in_range_and_open_where_nothing_or_everything_is_correct():
    low, high = wilson_interval(0, 500)
    assert low == 0 and 0 < high < 0.01
    low, high = wilson_interval(500, 500)
    assert 0.99 < low < 1 and high == 1


def test_more_confidence_is_a_wider_interval():
    narrow, wide = wilson_interval(20, 100, confidence=0.8), wilson_interval(20, 100, confidence=0.99)
    assert wide[0] < narrow[0] < 0.2 < narrow[1] < wide[1]


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (0, -1), (6, 5), (-1, 5)])
def test_impossible_counts_are_refused(correct, n):
    with pytest.raises(ValueError, match=r"n is|correct must be"):
        wilson_interval(correct, n)


def test_wilson_holds_the_true_share_about_as_often_as_it_says():
    truth, n = 0.05, 200
    counts = np.random.default_rng(0).binomial(n, truth, size=1000)
    intervals = {int(count): wilson_interval(int(count), n) for count in set(counts)}
    covered = np.mean([intervals[int(c)][0] <= truth <= intervals[int(c)][1] for c in counts])
    assert 0.92 <= covered <= 0.98


def test_bootstrap_holds_the_true_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    trials = 100
    covered = 0
    for seed in range(trials):
        low, high = bootstrap_interval(generator.exponential(2.0, size=60), seed)
        covered += low <= 2.0 <= high
    assert 0.86 <= covered / trials <= 1


def test_bootstrap_is_close_to_the_normal_interval_of_a_large_sample():
    values = np.random.default_rng(1).normal(3, 2, size=2000)
    reach = Z_95 * values.std(ddof=1) / math.sqrt(len(values))
    expected = (values.mean() - reach, values.mean() + reach)
    assert bootstrap_interval(values, seed=0) == pytest.approx(expected, abs=0.01)


def test_bootstrap_depends_on_its_seed_and_nothing_else():
    values = list(np.random.default_rng(2).normal(size=40))
    np.random.seed(5)
    first = bootstrap_interval(values, seed=7)
    np.random.seed(6)
    assert bootstrap_interval(values, seed=7) == first
    assert bootstrap_interval(values, seed=8) != first


def test_bootstrap_of_equal_values_is_that_value():
    assert bootstrap_interval([0.5, 0.5, 0.5], seed=0) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "two or more"),
        ([1.0], "two or more"),
        ([[1.0, 2.0]], "two or more"),
        ([1, math.nan], "value 1 is"),
    ],
)
def test_bootstrap_refuses_values_without_a_mean_to_resample(values, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, seed=0)
