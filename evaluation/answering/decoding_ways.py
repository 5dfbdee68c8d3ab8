"""The ways in which a prompt is completed, and which of them are decoded together.

Randomness: sample s of a prompt takes its numbers from a generator seeded by (seed, prompt, s), one a step. So a
sample depends neither on batch mates nor on how many samples are drawn: `sample` gives the first sample of
`self_consistency`, and more room for an answer keeps its beginning.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from closedbook.evaluation.answering.decoding import Decoded

METHODS = ("greedy", "beam", "sample", "self_consistency")


@dataclass(frozen=True)
class Decoding:
    """How a prompt is completed.

    Attributes:
        method: One of `METHODS`.
            `greedy`: the most probable token at each step.
            `beam`: the most probable whole text that a search with `num_sequences` beams finds, without a length
            penalty; one that reached its end goes before those that were cut off.
            `sample`: one draw.
            `self_consistency`: `num_sequences` draws, of which the most frequent answer is taken (Wang et al.
            2023, arXiv:2203.11171).
        num_sequences: Beams or samples; 1 for `greedy` and `sample`.
        temperature: Of draws, above 0: log-probabilities are divided by it. 1 is the model's own distribution.
        top_p: Of draws, in (0, 1]: share of the probability that the most probable tokens, which alone are drawn,
            hold together. 1 keeps all.

    Raises:
        ValueError: For a method that there is not, or a number out of its range.
    """

    method: str = "greedy"
    num_sequences: int = 1
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, but is {self.method!r}.")
        if self.num_sequences < 1:
            raise ValueError(f"num_sequences must be at least 1, but is {self.num_sequences}.")
        if self.num_sequences > 1 and self.method in ("greedy", "sample"):
            raise ValueError(
                f"{self.method} decoding writes one sequence, but num_sequences is {self.num_sequences}; several "
                "are for beam and self_consistency."
            )
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature must be above 0 and finite, but is {self.temperature}; for the most probable tokens "
                "take method greedy."
            )
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, but is {self.top_p}.")


@dataclass
class DecodingPass:
    """Ways that are decoded together.

    Attributes:
        ways: Their numbers.
        greedy: Whether one of them is greedy.
        num_beams: Beams of those that search, 0 if none does.
        sampling: Temperature and `top_p` of those that sample.
        samples: Of each seed, how many samples are drawn at most.
    """

    ways: list[int]
    greedy: bool
    num_beams: int
    sampling: tuple[float, float]
    samples: dict[int, int]

    @property
    def num_sequences(self) -> int:
        return int(self.greedy) + self.num_beams + sum(self.samples.values())

    def uniforms(self, prompt: str, num_steps: int) -> np.ndarray:
        """`(steps, samples)` numbers in [0, 1), the samples of one seed after those of the other."""
        drawn = [_uniforms(seed, prompt, num_steps, number) for seed, number in self.samples.items()]
        return np.concatenate([np.empty((num_steps, 0)), *drawn], axis=1)

    def part(self, found: Decoded, decoding: Decoding, seed: int) -> Decoded:
        """What one way has of all that was decoded."""
        if decoding.method == "greedy":
            return Decoded(found.greedy, [], [], 0)
        if decoding.method == "beam":
            return Decoded(None, [], found.beams, found.beam_tokens)
        seeds = list(self.samples)
        first = sum(self.samples[other] for other in seeds[: seeds.index(seed)])
        return Decoded(None, found.samples[first : first + decoding.num_sequences], [], 0)


def plan_passes(ways: Sequence[tuple[Decoding, int]]) -> list[DecodingPass]:
    """As few passes as the ways need: greedy goes with any, one number of beams and one way of drawing a pass."""
    passes: list[DecodingPass] = []
    for way, (decoding, seed) in enumerate(ways):
        sampling = (decoding.temperature, decoding.top_p)
        if decoding.method == "greedy":
            fits = list(passes)
        elif decoding.method == "beam":
            fits = [one for one in passes if one.num_beams in (0, decoding.num_sequences)]
        else:
            fits = [one for one in passes if not one.samples or one.sampling == sampling]
        if not fits:
            passes.append(DecodingPass([], False, 0, (1.0, 1.0), {}))
            fits = passes[-1:]
        one = fits[0]
        one.ways.append(way)
        if decoding.method == "greedy":
            one.greedy = True
        elif decoding.method == "beam":
            one.num_beams = decoding.num_sequences
        else:
            one.sampling = sampling
            one.samples[seed] = max(one.samples.get(seed, 0), decoding.num_sequences)
    return passes


def _uniforms(seed: int, prompt: str, num_steps: int, num_samples: int) -> np.ndarray:
    """`(steps, samples)` numbers in [0, 1), which do not depend on how many steps and samples follow."""
    digest = int.from_bytes(hashlib.sha256(f"{seed}\n{prompt}".encode()).digest())
    samples = [np.random.default_rng([digest, number]).random(num_steps) for number in range(num_samples)]
    return np.stack(samples, axis=1) if samples else np.empty((num_steps, 0))
