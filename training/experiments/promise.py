"""Promises by simulation: laws of which the truth is known, and the rules that choose thresholds on them.

Every draw makes held-out people by a law whose error rate above any threshold is known, chooses a threshold on
them, and looks whether the people above it are wrong more often than promised.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from scipy import stats

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.knowing.promise import choose_threshold
from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.training.command_line import parse_flags

_Rates = Callable[[np.ndarray], np.ndarray]  # confidences -> how often an answer of each is right
_GRID = (np.arange(20_000) + 0.5) / 20_000  # confidences are uniform in all laws


@dataclass(frozen=True)
class Law:
    """How confidences and right answers come about.

    Attributes:
        right: how often answers of a confidence are right; confidences are uniform in [0, 1].
        people: held out, in every draw.
        steps: confidences are rounded up to so many steps, so that people tie; 0: they are not.
    """

    right: _Rates
    people: int = 400
    steps: int = 0

    def rounded(self, confidences: np.ndarray) -> np.ndarray:
        return np.ceil(confidences * self.steps) / self.steps if self.steps else confidences


def _reference(confidences: np.ndarray) -> np.ndarray:
    """In the manner of the reference task's two-stage model, right in 81% of all (results/knowing)."""
    return np.select([confidences > 0.6, confidences > 0.4, confidences > 0.3], [0.995, 0.92, 0.92], 0.47)


LAWS = {
    "as the reference model": Law(_reference),
    "as the reference model, 2,000 people": Law(_reference, people=2000),
    "as the reference model, 60 people": Law(_reference, people=60),
    "smooth": Law(lambda c: c**0.235),
    "smooth, ties": Law(lambda c: c**0.235, steps=8),
    "smooth, 20 people": Law(lambda c: c**0.235, people=20),
    "always right": Law(np.ones_like),
    "always wrong": Law(np.zeros_like),
    "wrong just too often everywhere": Law(lambda c: np.full_like(c, 0.8999)),
    "wrong just too often everywhere, ties": Law(lambda c: np.full_like(c, 0.8999), steps=8),
    "wrong most where surest": Law(lambda c: np.where(c > 0.8, 0.7, 0.95)),
    "in waves": Law(lambda c: 0.9 + 0.09 * np.sin(40 * c)),
    "in waves, ties": Law(lambda c: 0.9 + 0.09 * np.sin(40 * c), steps=30),
}


@dataclass
class PromiseArguments:
    """Flags of this simulation."""

    draws: int = field(default=10_000, metadata={"help": "of held-out people, for each law"})
    max_error_rate: float = field(default=0.1, metadata={"help": "the promise"})
    delta: float = field(default=0.05, metadata={"help": "how often it may be broken"})
    seed: int = field(default=0, metadata={"help": "of the draws"})
    output: str | None = field(default=None, metadata={"help": "file for the JSON object"})


def fixed_sequence(confidences: np.ndarray, correct: np.ndarray, rate: float, delta: float) -> float | None:
    """The threshold of this package."""
    return choose_threshold(confidences, correct, max_error_rate=rate, delta=delta).threshold


def bonferroni(confidences: np.ndarray, correct: np.ndarray, rate: float, delta: float) -> float | None:
    """The lowest of 20 thresholds at fixed ranks, each proven with a twentieth of delta."""
    order = np.argsort(-confidences, kind="stable")
    falling, wrong = confidences[order], np.cumsum(~correct[order])
    best = None
    for step in range(1, 21):
        rank = math.ceil(step * len(falling) / 20)
        # the people above the next in line; at equal confidence it takes them all out
        level = falling[rank] if rank < len(falling) else -1.0
        above = int(np.searchsorted(-falling, -level, side="left")) if rank < len(falling) else len(falling)
        if above and stats.binom.cdf(wrong[above - 1], above, rate) <= delta / 20:
            best = max(0.0, float(np.nextafter(level, 2)))
    return best


RULES = {"fixed sequence": fixed_sequence, "bonferroni": bonferroni}


def simulate(law: Law, args: PromiseArguments) -> dict[str, dict[str, object]]:
    """What every rule does to the same draws."""
    levels, rates = law.rounded(_GRID), law.right(_GRID)
    order = np.argsort(levels)
    levels = levels[order]
    above = np.arange(len(levels), 0, -1)  # of the grid, from each place on
    wrong = np.cumsum((1 - rates[order])[::-1])[::-1]
    generator = np.random.default_rng(args.seed)
    counts = {name: {"broken": 0, "none": 0, "answered": 0.0} for name in RULES}
    for _ in range(args.draws):
        drawn = generator.random(law.people)
        confidences, correct = law.rounded(drawn), generator.random(law.people) < law.right(drawn)
        for name, rule in RULES.items():
            threshold = rule(confidences, correct, args.max_error_rate, args.delta)
            place = len(levels) if threshold is None else int(np.searchsorted(levels, threshold))
            if place == len(levels):
                counts[name]["none"] += 1
                continue
            counts[name]["answered"] += above[place] / len(levels)
            counts[name]["broken"] += bool(wrong[place] > args.max_error_rate * above[place] + 1e-9)
    return {
        name: {
            "broken": found["broken"] / args.draws,
            "broken_interval": list(wilson_interval(int(found["broken"]), args.draws)),
            "without_threshold": found["none"] / args.draws,
            "answered": found["answered"] / args.draws,
        }
        for name, found in counts.items()
    }


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(PromiseArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    if args.draws < 1:
        raise ValueError(f"--draws must be at least 1, got {args.draws}")
    laws = {}
    for name, law in LAWS.items():
        laws[name] = {"people": law.people, **simulate(law, args)}
        told = ", ".join(
            f"{rule} broken {laws[name][rule]['broken']:.3f} answered {laws[name][rule]['answered']:.3f}"
            for rule in RULES
        )
        print(f"{name}: {told}", file=sys.stderr)
    result = {"benchmark": "promise", "laws": laws, "settings": asdict(args), **run_environment()}
    if args.output is not None:
        write_json_atomic(args.output, result)
    print(json.dumps(result), flush=True)
    return result
