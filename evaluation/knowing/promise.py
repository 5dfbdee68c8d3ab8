"""A promise about answers: how often they are wrong, and how often a stranger gets one.

With probability 1 - delta over the choice of held-out people, at most a share `max_error_rate` of the answers
given about *other* people of the same kind are wrong. For any model and any one confidence that was named
beforehand:

1. Held-out people are put in line, the surest first. Let t be the confidence of the next in line: the people
above t
   are then independent draws from all people above t, so their errors are binomial. Either more than the promised
   share of all people above t are wrong, and then so few errors as these have a probability, which Clopper and
   Pearson bound exactly; or the promise holds above t.
2. Thresholds are tested from the surest down until one fails, each with the whole delta: a fixed sequence, which
   takes no correction for their number ("Learn then Test", Angelopoulos et al. 2021, arXiv:2110.01052). To break
   the promise, the first threshold that does not keep it has to pass; the ones after it do not matter. That the
   thresholds are those of the people in line changes nothing, as long as no person is skipped: between two levels
   at which the error rate above equals the promised one, it is that rate, too, so whatever is known of the
   people above the first, errors above the second are binomial with it.
3. The first threshold to be tested leaves as many people as can prove the promise with half of its error rate, and
   no more than half of all: with fewer, one early mistake would end the sequence. What it can still end by bad
   luck is begun again in the middle: a first sequence has four fifths of delta, a second from half of the people
   on the rest. In simulations (`scripts/experiments/promise.py`) this gives more answers than 20 thresholds
   corrected by Bonferroni, as was done before, by what the table in docs/knowing.md says.

No bound for means is tighter here. Errors are counts of independent draws with one probability, of which the
binomial tail is the exact law; Bentkus' bound is that tail times e, and betting wins where draws come one by one
or are no zeros and ones.

Two promises at once: strangers are draws from a second population, of whom at most a share `max_stranger_rate` may
get an answer. A threshold passes if it passes for both. This takes no correction either: a threshold that breaks
either promise has to pass the test of the one it breaks.

What it costs: even without an error, n answers prove an error rate of 1 - (4/5 delta)^(1 / n) at best: a promise
of 10% takes 31 of them at delta = 0.05, one of 5% takes 63, and a share of 2% of strangers 160 strangers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # whose parts are imported when they are used

from closedbook.evaluation.metrics.selective_accuracy.selection import risk_coverage_curve

# Each sequence has a part of delta and begins no later than at a share of the people.
_FIRST, _SECOND = 0.8, 0.2
_MIDDLE = 0.5
_HOPED = 0.5  # of the promised error rate, among the surest


@dataclass(frozen=True)
class Threshold:
    """A threshold, and what it did to the held-out people.

    Attributes:
        threshold: Answers are given from this confidence on; None: none can be given with this promise.
        max_error_rate: The promised error rate among answers given.
        delta: How probable it is at most that the choice of held-out people led to a broken promise.
        n: Number of held-out people.
        answered: How many of them are answered with this threshold.
        errors: How many of these answers are wrong.
        upper_bound: Of the error rate among people above the threshold, for this threshold by itself; None without
            one.
        max_stranger_rate: The promised share of strangers who get an answer; None: nothing is promised of them.
        strangers: Number of strangers it was tested on.
        strangers_answered: How many of them are answered with this threshold.
    """

    threshold: float | None
    max_error_rate: float
    delta: float
    n: int
    answered: int
    errors: int
    upper_bound: float | None
    max_stranger_rate: float | None = None
    strangers: int = 0
    strangers_answered: int = 0

    @property
    def coverage(self) -> float:
        """Share of the held-out people that are answered."""
        return self.answered / self.n


def clopper_pearson_upper(errors: int, n: int, delta: float) -> float:
    """The error rate that the true one exceeds with probability `delta` at most, given `errors` among `n`.

    Clopper and Pearson 1934 (doi:10.1093/biomet/26.4.404), one-sided. 1 where there are only errors, or nothing.

    Raises:
        ValueError: If `errors` is not in 0..n, or `delta` not between 0 and 1.
    """
    if not 0 <= errors <= n:
        raise ValueError(f"errors must be between 0 and n, but is {errors} of {n}.")
    if not 0 < delta < 1:
        raise ValueError(f"delta has to be between 0 and 1, but is {delta}.")
    return float(_upper(np.array([errors]), np.array([n]), delta)[0])


def _upper(errors: np.ndarray, n: np.ndarray, delta: float) -> np.ndarray:
    """`clopper_pearson_upper` of many counts at once."""
    right = n - errors
    bounds = scipy.stats.beta.ppf(1 - delta, errors + 1, np.maximum(right, 1))
    return np.where(right == 0, 1.0, bounds)


def choose_threshold(
    confidences: Sequence[float],
    correct: Sequence[bool],
    refused: Sequence[bool] | None = None,
    *,
    max_error_rate: float,
    delta: float = 0.05,
    strangers: Sequence[float] | None = None,
    max_stranger_rate: float | None = None,
) -> Threshold:
    """The threshold that answers most while keeping the promise; the module says how.

    Args:
        confidences: In [0, 1], of people that were not trained on. One question a person: answers about one
            person are right or wrong together, and do not count as independent.
        correct: Whether each answer is right.
        refused: What the model refused by itself; None: nothing.
        max_error_rate: The promise, in [0, 1].
        delta: Probability of a broken promise, between 0 and 1.
        strangers: Confidences of answers about people that the model never read about, those that it refused by
            itself left out or below 0; with `max_stranger_rate` only.
        max_stranger_rate: The second promise, in [0, 1]; None: there is none.

    Raises:
        ValueError: If one of these is out of its range, or the lists do not fit together.
    """
    for name, rate in (("max_error_rate", max_error_rate), ("max_stranger_rate", max_stranger_rate)):
        if rate is not None and not 0 <= rate <= 1:
            raise ValueError(f"{name} has to be in [0, 1], but is {rate}.")
    if not 0 < delta < 1:
        raise ValueError(f"delta has to be between 0 and 1, but is {delta}.")
    if (strangers is None) != (max_stranger_rate is None):
        raise ValueError("strangers and max_stranger_rate go together, but one of them is missing.")
    values, right, declined = columns(confidences, correct, refused)
    order = np.argsort(-values[~declined], kind="stable")
    falling, wrong = values[~declined][order], ~right[~declined][order]
    unknown = np.sort(np.asarray([] if strangers is None else strangers, dtype=np.float64))
    line = _Line(len(values), falling, np.cumsum(wrong), unknown, max_error_rate, max_stranger_rate)
    reached = max(line.last_passed(_FIRST * delta, early=True), line.last_passed(_SECOND * delta, early=False))
    answered = int(line.counts[reached]) if reached >= 0 else 0
    errors = int(line.errors[reached]) if reached >= 0 else 0
    return Threshold(
        float(line.levels[reached]) if reached >= 0 else None,
        max_error_rate,
        delta,
        len(values),
        answered,
        errors,
        clopper_pearson_upper(errors, answered, _FIRST * delta) if reached >= 0 else None,
        max_stranger_rate,
        len(unknown),
        int(line.met[reached]) if reached >= 0 else 0,
    )


class _Line:
    """Held-out people, the surest first, at the places where equal confidences end.

    Attributes:
        counts: people answered with each threshold, rising.
        errors: wrong answers among them.
        levels: the thresholds, falling: everything above the next in line, written as "from this number on".
        met: strangers answered with each.
    """

    def __init__(
        self,
        people: int,
        falling: np.ndarray,
        wrong: np.ndarray,
        strangers: np.ndarray,
        max_error_rate: float,
        max_stranger_rate: float | None,
    ) -> None:
        self._people, self._strangers = people, len(strangers)
        self._error_rate, self._stranger_rate = max_error_rate, max_stranger_rate
        ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(falling) else np.array([], int)
        following = np.append(falling[ends[:-1] + 1], -1.0) if len(ends) else np.array([])
        self.counts, self.errors = ends + 1, wrong[ends]
        self.levels = np.maximum(0.0, np.nextafter(following, math.inf))  # 0: all that was not refused
        self.met = self._strangers - np.searchsorted(strangers, self.levels, side="left")

    def last_passed(self, delta: float, early: bool) -> int:
        """Number of the last threshold that passes in a row; -1 where the first one fails or there is none."""
        tested = self.counts >= self._first(delta, early)
        passed = _upper(self.errors, self.counts, delta) <= self._error_rate
        if self._stranger_rate is not None:
            passed &= _upper(self.met, np.full_like(self.met, self._strangers), delta) <= self._stranger_rate
        failures = np.flatnonzero(tested & ~passed)
        last = (failures[0] if len(failures) else len(self.counts)) - 1
        return int(last) if last >= 0 and tested[last] else -1

    def _first(self, delta: float, early: bool) -> int:
        """How many people the first threshold has to leave; decided without a look at anybody."""
        middle = math.ceil(_MIDDLE * self._people)
        if not 0 < self._error_rate < 1:
            return 1 if early else middle
        proving = math.log(delta) / math.log1p(
            -self._error_rate
        )  # without an error; a promise next to 0 takes all
        least = math.ceil(min(proving, self._people + 1))
        if not early:
            return max(least, middle)
        counts = np.arange(1, self._people + 1)
        proven = (
            _upper(np.floor(_HOPED * self._error_rate * counts).astype(int), counts, delta) <= self._error_rate
        )
        enough = int(counts[proven.argmax()]) if proven.any() else middle
        return max(least, min(enough, middle))


def columns(
    confidences: Sequence[float], correct: Sequence[bool], refused: Sequence[bool] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as arrays, `refused` nowhere if it is None.

    Raises:
        ValueError: If they do not fit together, or a confidence is not in [0, 1].
    """
    risk_coverage_curve(confidences, correct, refused)  # complains about lists that do not fit together
    values = np.asarray(confidences, dtype=np.float64)
    outside = ~((values >= 0) & (values <= 1))
    if outside.any():
        row = int(outside.argmax())
        raise ValueError(f"a confidence has to be in [0, 1], but that of answer {row} is {values[row]}.")
    declined = np.zeros(values.shape, dtype=bool) if refused is None else np.asarray(refused, dtype=bool)
    return values, np.asarray(correct, dtype=bool), declined
