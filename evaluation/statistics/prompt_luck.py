"""Several runs of one prompt recipe on the same questions: what they show, and what luck with the prompt did.

A run draws its demonstrations anew and answers the same questions. Its accuracy is one of many that the recipe
could have had, for two reasons that do not average out together: other questions could have been asked, and other
demonstrations drawn. All functions here take a table of scores, a row a run and a column a question, and split its
variance by the two-way random effects model without replication (Searle, Casella and McCulloch 1992, Variance
Components, chapter 4):

    score = mean + question + run + rest

*question*: some questions are easier. *run*: some demonstrations help with many questions at once; this is prompt
luck. *rest*: demonstrations that help with this question and hurt with that one, and the chance of sampling; over
many questions this evens out. Where demonstrations are drawn for every question on its own, nothing is shared
within a run, and there is no prompt luck by construction, however much single answers depend on their prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # whose parts are imported when they are used

from closedbook.evaluation.statistics.paired import compare_paired

_ALL_FLIPS = 12  # up to so many questions all combinations of signs are tried
_RESAMPLES = 10_000  # of more questions so many, drawn at random: the smallest p-value is then 0.0001


@dataclass(frozen=True)
class PromptLuck:
    """Why runs on the same questions differ in their accuracy. All deviations are in the unit of the scores.

    Attributes:
        deviation: Standard deviation of the runs' accuracies.
        chance_deviation: What it would be if demonstrations moved every question on its own: the rest, over the
            number of questions.
        luck_deviation: Standard deviation of the run effect: how much good luck with the demonstrations is worth
            on endlessly many questions like these. From the difference of the two variances; 0 where that is
            negative.
        luck_interval: Its 95% interval, by the F distribution: wide, for a handful of runs says little of a
            spread.
        luck_share: Share of the variance between the runs that chance does not explain.
        p_value: Of Cochran's test (1950, doi:10.1093/biomet/37.3-4.256) that there is no run effect: McNemar's
            test for more than two runs. By the chi-squared distribution: approximate where few answers change.
        binomial_deviation: Standard deviation of the accuracy of runs that were asked other questions each,
            without any luck: what a Wilson interval of a single run allows for. Runs that share their questions
            spread less.
        turnover: Mean difference between the scores of two runs on one question: for right and wrong answers the
            share of the questions on which two runs disagree.
    """

    deviation: float
    chance_deviation: float
    luck_deviation: float
    luck_interval: tuple[float, float]
    luck_share: float
    p_value: float
    binomial_deviation: float
    turnover: float


@dataclass(frozen=True)
class ArmDifference:
    """Two arms on the same questions.

    Attributes:
        difference: Mean of the second minus mean of the first, in [-1, 1].
        interval: Its 95% interval, for other questions and other runs.
        p_questions: For these very runs and other questions: sign flips of the questions' mean differences; of one
            run with right and wrong answers McNemar's exact test.
        p_value: For other questions and other runs: the larger one of `p_questions` and of the p-value of a t-test
            with both sources of variance; of one run `p_questions`.
    """

    difference: float
    interval: tuple[float, float]
    p_questions: float
    p_value: float


def mean_interval(scores: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean score, for other questions and other runs.

    The variance of the mean is that of the two-way model, with t quantiles by Satterthwaite's degrees of freedom
    (1946, doi:10.2307/3002019), and the interval is Wilson's with the number of independent questions that would
    have this variance (Korn and Graubard 1998, Survey Methodology 24). So it stays within [0, 1] and is
    `intervals.wilson_interval` for a single run of right and wrong answers. Pooling the answers of all runs would
    count every question several times, and resampling a handful of runs underestimates how they vary.

    Args:
        scores: (runs, questions), in [0, 1].
        confidence: Of the interval.

    Raises:
        ValueError: If the table is empty, has another shape, or a score is out of range.
    """
    table = _checked(scores)
    mean = float(table.mean())
    variance, freedom = _variance_of_mean(table)
    # without any variance there are still only so many questions
    trials = mean * (1 - mean) / variance if variance > 0 else table.shape[1]
    quantile = scipy.stats.t.ppf((1 + confidence) / 2, freedom)
    shrink = 1 + quantile**2 / trials
    center = (mean + quantile**2 / (2 * trials)) / shrink
    reach = quantile / shrink * np.sqrt(mean * (1 - mean) / trials + (quantile / (2 * trials)) ** 2)
    return max(0.0, float(center - reach)), min(1.0, float(center + reach))


def prompt_luck(tables: Sequence[np.ndarray], confidence: float = 0.95) -> PromptLuck | None:
    """Split the variance between runs into chance and luck; None without two runs to compare, or two questions.

    Args:
        tables: (runs, questions) each, of the same questions. Only runs of the same table are compared: one table
            for the spread of all runs, one a seed for the spread of orders within the seeds.
        confidence: Of the interval.

    Raises:
        ValueError: As for `mean_interval`.
    """
    tables = [table for table in map(_checked, tables) if min(table.shape) > 1]
    if not tables:
        return None
    questions = tables[0].shape[1]
    freedom = sum(len(table) - 1 for table in tables)
    squares = [_mean_squares(table) for table in tables]
    weights = [(len(table) - 1) / freedom for table in tables]
    between = sum(weight * runs for weight, (runs, _, _) in zip(weights, squares, strict=True))
    rest = sum(weight * rest for weight, (_, _, rest) in zip(weights, squares, strict=True))
    ends = [
        between / scipy.stats.f.ppf(end, freedom, freedom * (questions - 1)) - rest for end in _tails(confidence)
    ]
    mean = float(np.mean([table.mean() for table in tables]))
    lowest, highest = (float(np.sqrt(max(0.0, end) / questions)) for end in ends)
    return PromptLuck(
        deviation=float(np.sqrt(between / questions)),
        chance_deviation=float(np.sqrt(rest / questions)),
        luck_deviation=float(np.sqrt(max(0.0, between - rest) / questions)),
        luck_interval=(lowest, highest),
        luck_share=float(max(0.0, 1 - rest / between)) if between > 0 else 0.0,
        p_value=float(scipy.stats.chi2.sf(sum(map(_cochran, tables)), freedom)),
        binomial_deviation=float(np.sqrt(mean * (1 - mean) / questions)),
        turnover=float(np.average([_turnover(table) for table in tables], weights=weights)),
    )


def arm_difference(
    first: np.ndarray, second: np.ndarray, seed: int = 0, confidence: float = 0.95
) -> ArmDifference:
    """Compare two arms on the same questions.

    Run i of the first is subtracted from run i of the second, question by question: runs that share their
    demonstrations share their luck, which then cancels. An arm with one run is subtracted from every run of the
    other one, and taken as it is: its own luck, if it has any, is not counted. One question that only the first
    answers and one that only the second does are added before the interval is taken, as Bonett and Price do (2012,
    doi:10.3102/1076998611411915; see `paired.compare_paired`, which this is for a single run).

    Args:
        first, second: (runs, questions), in [0, 1].
        seed: Seeds the sign flips, where they are too many to try all.
        confidence: Of the interval.

    Raises:
        ValueError: If the numbers of questions differ, or the numbers of runs do and neither is 1.
    """
    first, second = _checked(first), _checked(second)
    if first.shape[1] != second.shape[1] or (len(first) != len(second) and 1 not in (len(first), len(second))):
        raise ValueError(f"two arms need the same runs and questions, but have {first.shape} and {second.shape}.")
    table = second - first
    p_questions = p_value = _sign_flips(first, second, seed)
    if len(table) > 1:
        variance, freedom = _variance_of_mean(table)
        distance = abs(table.mean()) / np.sqrt(variance) if variance > 0 else 0.0
        p_value = max(p_questions, float(2 * scipy.stats.t.sf(distance, freedom)))
    ends = np.broadcast_to([1.0, -1.0], (len(table), 2))
    adjusted = np.concatenate([table, ends], axis=1)
    variance, freedom = _variance_of_mean(adjusted)
    reach = scipy.stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance)
    center = adjusted.mean()
    return ArmDifference(
        difference=float(table.mean()),
        interval=(max(-1.0, float(center - reach)), min(1.0, float(center + reach))),
        p_questions=p_questions,
        p_value=p_value,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several (Holm 1979): in 19 of 20 families without effects all exceed 0.05."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _checked(scores: np.ndarray) -> np.ndarray:
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"scores have to be a table of runs by questions, but have shape {table.shape}.")
    if not ((table >= 0) & (table <= 1)).all():
        raise ValueError("scores have to lie between 0 and 1.")
    return table


def _tails(confidence: float) -> tuple[float, float]:
    """The quantiles that give the low and the high end of a variance's interval."""
    return (1 + confidence) / 2, (1 - confidence) / 2


def _mean_squares(table: np.ndarray) -> tuple[float, float, float]:
    """Of runs, questions and the rest, in an analysis of variance of a table of at least 2 x 2."""
    runs, questions = table.shape
    by_run, by_question = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    rest = table - by_run - by_question + table.mean()
    return (
        questions * float(by_run.var(ddof=1)),
        runs * float(by_question.var(ddof=1)),
        float((rest**2).sum()) / ((runs - 1) * (questions - 1)),
    )


def _variance_of_mean(table: np.ndarray) -> tuple[float, float]:
    """The estimated variance of the mean over other questions and other runs, and its degrees of freedom."""
    runs, questions = table.shape
    if runs == 1 or questions == 1:
        return float(table.mean(axis=0).var()) / questions, np.inf
    of_runs, of_questions, rest = _mean_squares(table)
    # estimates of variances below 0 count as 0; what is left of the sum then has the degrees of its own
    parts = [(of_questions, questions - 1)] if of_questions > rest else []
    parts += [(of_runs, runs - 1)] if of_runs > rest else []
    parts += [(rest * (1 - len(parts)), (runs - 1) * (questions - 1))] if len(parts) != 1 else []
    total = sum(part for part, _ in parts)
    if total <= 1e-12:  # what rounding leaves of equal scores
        return 0.0, np.inf
    return total / (runs * questions), total**2 / sum(part**2 / freedom for part, freedom in parts)


def _cochran(table: np.ndarray) -> float:
    """Cochran's Q; of scores between 0 and 1 its extension by the permutation variance of the runs' sums."""
    within = table.var(axis=0, ddof=1).sum()
    sums = table.sum(axis=1)
    return float(((sums - sums.mean()) ** 2).sum() / within) if within > 0 else 0.0


def _turnover(table: np.ndarray) -> float:
    one, other = np.triu_indices(len(table), k=1)
    return float(np.abs(table[one] - table[other]).mean())


def _sign_flips(first: np.ndarray, second: np.ndarray, seed: int) -> float:
    if len(first) == len(second) == 1 and np.isin([first, second], [0, 1]).all():
        return compare_paired(list(first[0] > 0), list(second[0] > 0)).p_value
    by_question = (second - first).mean(axis=0)
    moved = by_question[np.abs(by_question) > 1e-12]
    if len(moved) == 0:
        return 1.0
    if len(moved) <= _ALL_FLIPS:
        signs = 1.0 - 2.0 * ((np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(_RESAMPLES, len(moved)))
        signs[0] = 1.0  # what was observed is one of the outcomes, so that no p-value is 0
    return float(np.mean(np.abs(signs @ moved) >= abs(moved.sum()) - 1e-9))
