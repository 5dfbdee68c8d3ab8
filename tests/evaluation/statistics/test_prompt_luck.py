"""Variances come apart as put in, intervals hold the truth as often as they say, tests keep their level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats
from scipy.special import expit

from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.evaluation.statistics.paired import compare_paired
from closedbook.evaluation.statistics.prompt_luck import arm_difference, holm, mean_interval, prompt_luck

VERDICTS = arrays(float, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.sampled_from([0.0, 1.0]))


def ask(generator, runs, questions, luck, rest=0.7, ease=None):
    """Verdicts of runs that share questions of different ease, and have luck of their own; a logistic model."""
    ease = 1.8 * generator.normal(size=questions) - 1.5 if ease is None else ease
    lucky = luck * generator.normal(size=(runs, 1))
    own = rest * generator.normal(size=(runs, questions))
    return (generator.random((runs, questions)) < expit(ease + lucky + own)).astype(float)


def true_mean(luck, rest=0.7):
    """What `ask` expects, by Gauss-Hermite quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    scale = np.sqrt(1.8**2 + luck**2 + rest**2)
    return float(expit(-1.5 + scale * points) @ weights / weights.sum())


@settings(max_examples=40)
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_single_run_is_wilsons(counts):
    correct, n = counts
    scores = np.array([[1.0] * correct + [0.0] * (n - correct)])
    assert mean_interval(scores) == pytest.approx(wilson_interval(correct, n))


@settings(max_examples=40)
@given(VERDICTS)
def test_an_interval_holds_the_mean_and_stays_in_range(scores):
    low, high = mean_interval(scores)
    assert 0 <= low <= scores.mean() + 1e-9 and scores.mean() - 1e-9 <= high <= 1


@pytest.mark.parametrize("luck", [0.0, 0.8])
def test_intervals_of_five_runs_hold_the_true_mean_nineteen_times_in_twenty(luck):
    generator, times, truth = np.random.default_rng(0), 400, true_mean(luck)
    intervals = [mean_interval(ask(generator, 5, 100, luck)) for _ in range(times)]
    held = sum(low <= truth <= high for low, high in intervals)
    # four standard errors of a share of 0.95 in 400 trials are 0.044
    assert 0.95 - 0.044 <= held / times <= 0.95 + 0.044


def test_repeated_runs_tell_no_more_than_one():
    verdicts = ask(np.random.default_rng(1), 1, 50, 0.0)
    repeated = mean_interval(np.repeat(verdicts, 5, axis=0))
    single = mean_interval(verdicts)
    # only that 50 questions have 49 degrees of freedom once their variance is estimated
    assert repeated == pytest.approx(single, abs=0.006)


def test_luck_is_found_where_it_is_and_not_where_only_chance_is():
    generator, times = np.random.default_rng(2), 300
    luck, ease = 0.06, generator.uniform(0.2, 0.8, size=200)

    def draw(deviation):  # the luck is in the unit of the accuracy, so that the truth is known
        shares = ease + deviation * generator.normal(size=(6, 1))
        return (generator.random((6, 200)) < shares).astype(float)

    without = [prompt_luck([draw(0.0)]) for _ in range(times)]
    found = [prompt_luck([draw(luck)]) for _ in range(times)]
    # variances: unbiased before those below 0 are cut off, which cannot be seen in the result; so from its parts
    raw = [part.deviation**2 - part.chance_deviation**2 for part in found]
    assert np.mean(raw) == pytest.approx(luck**2, abs=4 * np.std(raw) / times**0.5)
    raw = [part.deviation**2 - part.chance_deviation**2 for part in without]
    assert np.mean(raw) == pytest.approx(0, abs=4 * np.std(raw) / times**0.5)
    # the test's level, with four standard errors of a share of 0.05 in 300 trials
    assert np.mean([part.p_value < 0.05 for part in without]) <= 0.05 + 0.05
    assert np.mean([part.p_value < 0.05 for part in found]) > 0.7
    assert np.median([part.luck_share for part in without]) < 0.3 < np.median([part.luck_share for part in found])
    covered = np.mean([part.luck_interval[0] <= luck <= part.luck_interval[1] for part in found])
    assert 0.90 <= covered <= 1


def test_chance_on_shared_questions_is_less_than_binomial():
    ease = np.array([4.0, -4.0] * 50)  # nearly all questions are sure to be right, or wrong
    luck = prompt_luck([ask(np.random.default_rng(3), 8, 100, 0.0, ease=ease)])
    assert luck.chance_deviation < 0.6 * luck.binomial_deviation
    assert luck.binomial_deviation == pytest.approx(0.05, abs=0.002)


@settings(max_examples=40)
@given(VERDICTS.filter(lambda scores: min(scores.shape) > 1))
def test_the_parts_of_the_variance_follow_their_definitions(scores):
    luck = prompt_luck([scores])
    questions = scores.shape[1]
    each_run = scores.mean(axis=1)
    assert luck.deviation == pytest.approx(each_run.std(ddof=1))
    # run effect = mean covariance of two questions over the runs, Searle et al. 1992
    covariance = np.cov(scores, rowvar=False)
    shared = (covariance.sum() - np.trace(covariance)) / (questions * (questions - 1))
    assert luck.luck_deviation**2 == pytest.approx(max(0.0, shared), abs=1e-9)
    disagree = [np.mean(one != other) for i, one in enumerate(scores) for other in scores[:i]]
    assert luck.turnover == pytest.approx(np.mean(disagree))


def test_the_test_of_luck_is_cochrans():
    # three runs on six questions; by his formula (k-1) (k sum T^2 - (sum T)^2) / (k sum L - sum L^2)
    scores = np.array([[1, 1, 1, 1, 0, 1], [1, 0, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0]], dtype=float)
    by_run, by_question = scores.sum(axis=1), scores.sum(axis=0)
    q = 2 * (3 * (by_run**2).sum() - by_run.sum() ** 2) / (3 * by_question.sum() - (by_question**2).sum())
    assert prompt_luck([scores]).p_value == pytest.approx(stats.chi2.sf(q, 2))


def test_only_runs_of_one_table_are_compared():
    low, high = np.zeros((3, 40)), np.ones((3, 40))
    assert prompt_luck([low, high]).deviation == 0
    assert prompt_luck([np.vstack([low, high])]).deviation > 0.5
    assert prompt_luck([low[:1], high[:1]]) is None
    assert prompt_luck([low[:, :1]]) is None


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_single_runs_are_compared_by_mcnemars_test(pairs):
    first, second = zip(*pairs, strict=True)
    expected = compare_paired(first, second)
    found = arm_difference(np.array([first], dtype=float), np.array([second], dtype=float))
    assert found.difference == pytest.approx(expected.difference)
    assert found.interval == pytest.approx(expected.interval)
    assert found.p_value == found.p_questions == expected.p_value


@pytest.mark.parametrize(("gained", "lost", "tolerance"), [(5, 1, 1e-12), (9, 3, 1e-12), (20, 8, 0.01)])
def test_sign_flips_of_equal_differences_are_mcnemars_test(gained, lost, tolerance):
    # where not all are tried: 4 standard errors of a share below 0.05 in 10,000 draws are less than 0.01
    first = np.array([[0.0] * gained + [1.0] * lost + [1.0, 0.0]])
    second = np.array([[1.0] * gained + [0.0] * lost + [1.0, 0.0]])
    expected = compare_paired(list(first[0] > 0), list(second[0] > 0)).p_value
    assert arm_difference(first / 2, second / 2).p_questions == pytest.approx(expected, abs=tolerance)


def test_sign_flips_are_those_of_scipy():
    generator = np.random.default_rng(8)
    first, second = generator.random((3, 10)), generator.random((3, 10)) ** 0.5
    expected = stats.permutation_test(
        ((second - first).mean(axis=0),), np.mean, permutation_type="samples", vectorized=True
    )
    assert arm_difference(first, second).p_questions == pytest.approx(expected.pvalue)


def test_luck_that_two_arms_do_not_share_is_no_difference_between_them():
    generator, times = np.random.default_rng(4), 120
    found = []
    for seed in range(times):
        ease = 1.8 * generator.normal(size=80) - 1
        arms = [ask(generator, 5, 80, luck=0.6, ease=ease) for _ in range(2)]
        found.append(arm_difference(*arms, seed=seed))
    # 0.05 and four standard errors of that share in 120 trials; the test of these very runs has no such promise
    assert np.mean([one.p_value < 0.05 for one in found]) <= 0.05 + 0.08
    assert np.mean([one.p_questions < 0.05 for one in found]) > 0.2
    assert np.mean([one.interval[0] <= 0 <= one.interval[1] for one in found]) >= 0.95 - 0.08


def test_luck_that_two_arms_share_cancels():
    first = ask(np.random.default_rng(5), 5, 100, luck=2.0, ease=np.full(100, -1.0))
    second = first.copy()
    second[:, :15] = 1.0  # fifteen questions become right in every run
    paired = arm_difference(first, second)
    shifted = arm_difference(first, np.roll(second, 1, axis=0))
    assert paired.p_value < 0.01 < shifted.p_value
    assert paired.difference == pytest.approx(shifted.difference)


def test_an_arm_with_one_run_is_compared_with_every_run_of_the_other():
    scores = ask(np.random.default_rng(6), 4, 50, luck=0.5)
    one = arm_difference(scores[:1], scores)
    assert one == arm_difference(np.repeat(scores[:1], 4, axis=0), scores)
    assert one.difference == pytest.approx(scores.mean() - scores[0].mean())


def test_equal_arms_do_not_differ_and_the_same_seed_gives_the_same_result():
    generator = np.random.default_rng(7)
    first, second = ask(generator, 3, 60, 0.3), ask(generator, 3, 60, 0.3)
    assert arm_difference(first, first).p_value == 1
    assert arm_difference(first, second, seed=3) == arm_difference(first, second, seed=3)


def test_holm_multiplies_by_the_number_of_hypotheses_left():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_unusable_tables_are_refused():
    for scores in ([0.0, 1.0], np.zeros((0, 3))):
        with pytest.raises(ValueError, match="table of runs by questions"):
            mean_interval(scores)
    with pytest.raises(ValueError, match="between 0 and 1"):
        prompt_luck([np.array([[0.5, np.nan]])])
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 3\)"):
        arm_difference(np.zeros((2, 3)), np.zeros((3, 3)))
