"""Thresholds keep their promise as often as they say, and equal confidences share a fate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from closedbook.evaluation.knowing.abstention import check_threshold
from closedbook.evaluation.knowing.promise import choose_threshold, clopper_pearson_upper


@pytest.mark.parametrize(("errors", "n"), [(0, 10), (3, 50), (49, 50), (50, 50), (0, 0)])
def test_the_bound_is_scipys_exact_one_sided_interval(errors, n):
    expected = stats.binomtest(errors, n, alternative="less").proportion_ci(0.97, "exact").high if n else 1.0
    assert clopper_pearson_upper(errors, n, 0.03) == pytest.approx(expected)


@pytest.mark.parametrize(("promise", "needed"), [(0.1, 31), (0.05, 63), (0.02, 160)])
def test_the_figures_in_the_documentation_are_true(promise, needed):
    sure = np.linspace(0.5, 1, 2 * needed)
    assert choose_threshold(sure[:needed], np.ones(needed), max_error_rate=promise).answered == needed
    assert choose_threshold(sure[: needed - 1], np.ones(needed - 1), max_error_rate=promise).threshold is None


@pytest.mark.parametrize("steps", [None, 8], ids=["all different", "many ties"])
def test_the_promise_is_broken_no_more_often_than_said(steps, draw):
    """Against the true error rate above the threshold, which is known here: the mean of 1 - sqrt(confidence)."""
    promise, delta, trials, broken, given_any = 0.2, 0.2, 200, 0, 0
    for seed in range(trials):
        chosen = choose_threshold(*draw(300, seed, steps), max_error_rate=promise, delta=delta)
        if chosen.threshold is None:
            continue
        given_any += 1
        if steps:
            values = np.arange(1, steps + 1) / steps
            truth = float(np.mean(1 - values[values >= chosen.threshold] ** 0.5))
        else:
            low = chosen.threshold
            truth = 1 - (2 / 3) * (1 - low**1.5) / (1 - low)
        broken += truth > promise
    assert given_any > trials / 2
    # the number of broken promises is at most binomial: 1 in 1000 runs of the test would be above this
    assert broken <= stats.binom.ppf(0.999, trials, delta)


CASES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans(), st.booleans()), min_size=1, max_size=60
)


@given(CASES, st.floats(0, 1), st.floats(0.01, 0.99))
def test_a_chosen_threshold_is_usable_and_says_what_it_does(cases, promise, delta):
    confidences, correct, refused = zip(*cases, strict=True)
    chosen = choose_threshold(confidences, correct, refused, max_error_rate=promise, delta=delta)
    check = check_threshold(confidences, correct, refused, threshold=chosen.threshold, max_error_rate=promise)
    assert (check["answered"], check["errors"], check["n"]) == (chosen.answered, chosen.errors, len(cases))
    assert check["coverage"] == chosen.coverage
    if chosen.threshold is None:
        assert (chosen.answered, chosen.upper_bound) == (0, None)
        assert check["kept"] and not check["disproved"] and check["error_rate"] is None
    else:
        assert 0 <= chosen.threshold <= 1
        assert chosen.errors <= promise * chosen.answered + 1e-9
        assert chosen.upper_bound <= promise


@given(CASES, st.randoms())
def test_the_order_of_answers_does_not_matter(cases, shuffler):
    shuffled = cases.copy()
    shuffler.shuffle(shuffled)
    one, other = (
        choose_threshold(*zip(*some, strict=True), max_error_rate=0.3, delta=0.3) for some in (cases, shuffled)
    )
    assert one == other


def test_a_model_that_is_always_right_answers_everything_and_one_that_is_never_right_nothing():
    confidences = np.linspace(0.1, 0.9, 200)
    assert choose_threshold(confidences, np.ones(200), max_error_rate=0.1).threshold == 0
    assert choose_threshold(confidences, np.zeros(200), max_error_rate=0.1).threshold is None


@pytest.mark.parametrize("promise", [0.0, 5e-324, 2.2e-309])
def test_a_promise_next_to_no_error_is_out_of_reach_and_no_error(promise):
    assert choose_threshold([0.3] * 50, [True] * 50, max_error_rate=promise).threshold is None


def test_a_promise_of_any_error_rate_is_always_kept():
    assert choose_threshold([0.3], [False], max_error_rate=1.0).threshold == 0


def test_a_threshold_separates_what_is_below_from_what_is_above():
    confidences = np.repeat([0.9, 0.2], 200)
    correct = np.repeat([True, False], 200)
    chosen = choose_threshold(confidences, correct, max_error_rate=0.05)
    assert 0.2 < chosen.threshold <= 0.9
    assert (chosen.answered, chosen.errors, chosen.coverage) == (200, 0, 0.5)
    with_refusals = choose_threshold(confidences, correct, confidences < 0.5, max_error_rate=0.05)
    assert with_refusals.threshold == 0  # the model itself declined all the others
    assert with_refusals.answered == 200


@pytest.mark.parametrize("delta", [0, 1])
def test_a_delta_that_promises_nothing_or_too_much_is_refused(delta):
    with pytest.raises(ValueError, match="delta has to be between 0 and 1"):
        choose_threshold([0.5], [True], max_error_rate=0.1, delta=delta)


def test_a_bound_for_impossible_counts_is_refused():
    with pytest.raises(ValueError, match="errors must be between 0 and n, but is 3 of 2"):
        clopper_pearson_upper(3, 2, 0.1)


def surely(right, wrong, then_wrong):
    """Falling confidences: first `right` answers, then `wrong` ones, then one of each in turn."""
    correct = [True] * right + [False] * wrong + [True, False] * then_wrong
    return np.linspace(1, 0.01, len(correct)), np.array(correct)


def test_thresholds_are_tested_from_the_surest_down_until_one_fails():
    """Worked by hand another way: binomial tails, one threshold at a time."""
    confidences, correct = surely(120, 4, 60)
    chosen = choose_threshold(confidences, correct, max_error_rate=0.1, delta=0.05)
    n, answered = len(correct), None
    first = next(k for k in range(1, n) if stats.binom.cdf(math.floor(0.05 * k), k, 0.1) <= 0.04)
    for begin, delta in ((first, 0.04), (n // 2, 0.01)):
        reached = None
        for k in range(begin, n + 1):
            if stats.binom.cdf(np.sum(~correct[:k]), k, 0.1) > delta:
                break
            reached = k
        answered = max(answered or 0, reached or 0)
    assert first < 120 < answered < n and chosen.answered == answered
    assert confidences[answered] < chosen.threshold <= confidences[answered - 1]


def test_an_early_mistake_is_made_up_for_from_the_middle():
    """The surest are wrong too often, so the first sequence ends at once; half of all prove the promise."""
    confidences, correct = surely(0, 12, 0)
    confidences = np.concatenate([confidences + 1, np.linspace(1, 0.01, 988)]) / 2.1
    correct = np.concatenate([correct, np.ones(988, dtype=bool)])
    chosen = choose_threshold(confidences, correct, max_error_rate=0.1)
    assert (chosen.threshold, chosen.answered, chosen.errors) == (0, 1000, 12)


@pytest.mark.parametrize("truth", [0.1, 0.101, 0.12, 0.2])
def test_a_model_that_is_wrong_just_too_often_everywhere_is_let_through_as_seldom_as_said(truth):
    """The hardest case: no threshold keeps the promise, so every one that is given breaks it."""
    generator = np.random.default_rng(3)
    trials, delta = 400, 0.1
    given_any = sum(
        choose_threshold(
            generator.random(150), generator.random(150) >= truth, max_error_rate=0.0999, delta=delta
        ).threshold
        is not None
        for _ in range(trials)
    )
    assert given_any <= stats.binom.ppf(0.999, trials, delta)


def test_a_second_promise_about_strangers_can_only_hold_back_more():
    confidences, correct = np.linspace(0, 1, 400), np.ones(400, dtype=bool)
    alone = choose_threshold(confidences, correct, max_error_rate=0.1)
    assert (alone.threshold, alone.strangers, alone.max_stranger_rate) == (0, 0, None)
    strangers = np.linspace(0, 0.5, 300)
    both = choose_threshold(confidences, correct, max_error_rate=0.1, strangers=strangers, max_stranger_rate=0.05)
    assert 0.45 < both.threshold < 0.5
    assert both.strangers == 300 and both.strangers_answered == np.sum(strangers >= both.threshold)
    assert clopper_pearson_upper(both.strangers_answered, 300, 0.04) <= 0.05
    few = choose_threshold(confidences, correct, max_error_rate=0.1, strangers=[0.0] * 20, max_stranger_rate=0.05)
    assert few.threshold is None  # twenty prove nothing
    refused = choose_threshold(
        confidences, correct, max_error_rate=0.1, strangers=[-1.0] * 80, max_stranger_rate=0.05
    )
    assert (refused.threshold, refused.strangers_answered) == (0, 0)


def test_the_promise_about_strangers_is_broken_no_more_often_than_said():
    """Of strangers, as many are above a threshold as the threshold leaves room below 1; all answers are right."""
    generator = np.random.default_rng(5)
    trials, delta, promise = 300, 0.2, 0.1
    broken = 0
    for _ in range(trials):
        chosen = choose_threshold(
            generator.random(120) ** 0.3,
            np.ones(120),
            max_error_rate=0.3,
            delta=delta,
            strangers=generator.random(100),
            max_stranger_rate=promise,
        )
        broken += chosen.threshold is not None and 1 - chosen.threshold > promise
    assert 0 < broken <= stats.binom.ppf(0.999, trials, delta)


def test_one_promise_without_its_strangers_is_refused():
    for given_one in ({"strangers": [0.5]}, {"max_stranger_rate": 0.1}):
        with pytest.raises(ValueError, match="strangers and max_stranger_rate go together"):
            choose_threshold([0.5], [True], max_error_rate=0.1, **given_one)
    with pytest.raises(ValueError, match=r"max_stranger_rate has to be in \[0, 1\], but is 2"):
        choose_threshold([0.5], [True], max_error_rate=0.1, strangers=[0.5], max_stranger_rate=2)
