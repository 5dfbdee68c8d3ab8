"""Sequences of shots of a mapping that the reader has to infer: token ids `x1 y1 x2 y2 ...`, each y after its x.

Every sequence draws a mapping from a finite family, and every y is a question about it, with the pairs before
it as its shots. Nothing in the weights of a model can tell which mapping it is, so that accuracy against the
number of shots shows learning in context (Chan et al. 2022, arXiv:2205.05055; Garg et al. 2022, arXiv:2208.01066).

* `lookup`: any function from 4 inputs to 8 outputs. Inputs come again, and what is counted are the questions
  whose input was shown before: the answer has to be found, and can be found by content alone.
* `shift`: y = x + b modulo 29. No input comes twice, so the answer was never shown: the rule has to be inferred,
  for which one shot is enough, and applied, for which the order of the symbols has to be known from training.

A fifth of each family is held out: no training sequence has such a mapping. Asked about mappings that it trained
on, a model may have memorised them; asked about held-out ones, it has to infer (Raventos et al. 2023,
arXiv:2306.15063, who show that the number of training mappings decides which of the two is learned).
"""

from dataclasses import dataclass
from itertools import product
from random import Random

import torch

HELD_OUT_SHARE = 0.2
SPLITS = ("training", "held_out")


@dataclass(frozen=True)
class Family:
    """A finite family of mappings.

    Attributes:
        num_inputs: inputs are the numbers below it, and as token ids the same.
        num_outputs: outputs are the numbers below it, and as token ids `num_inputs` more.
        mappings: the output of every input, for each mapping; all different.
        repeats: whether inputs are drawn with replacement and the counted questions are those whose input was
            shown before; otherwise no input comes twice, and all questions count.
    """

    num_inputs: int
    num_outputs: int
    mappings: tuple[tuple[int, ...], ...]
    repeats: bool = False

    @property
    def vocabulary_size(self) -> int:
        return self.num_inputs + self.num_outputs


def _lookup(num_inputs: int, num_outputs: int) -> Family:
    mappings = tuple(product(range(num_outputs), repeat=num_inputs))
    return Family(num_inputs, num_outputs, mappings, repeats=True)


def _shift(size: int) -> Family:
    return Family(size, size, tuple(tuple((x + shift) % size for x in range(size)) for shift in range(size)))


# Sizes at which a vanilla transformer of 3 layers learns its training mappings in half a minute of one core.
FAMILIES: dict[str, Family] = {
    "lookup": _lookup(num_inputs=4, num_outputs=8),
    "shift": _shift(29),
}


def split_mappings(family: str, num_mappings: int = 0) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The mappings of each of `SPLITS`, which share none; the same in every run.

    Args:
        family: a key of `FAMILIES`.
        num_mappings: train on the first so many only, 0 for all; a smaller set is part of a larger one, and the
            held-out ones are always the same.

    Raises:
        ValueError: for an unknown family, or a number of mappings that there are not to train on.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}; known: {', '.join(FAMILIES)}")
    mappings = list(FAMILIES[family].mappings)
    Random(f"split of {family}").shuffle(mappings)
    num_held_out = round(HELD_OUT_SHARE * len(mappings))
    training = mappings[num_held_out:]
    if not 0 <= num_mappings <= len(training):
        raise ValueError(
            f"{family} has {len(training)} mappings to train on (0 takes all), but {num_mappings} were asked for"
        )
    return {"training": tuple(training[: num_mappings or None]), "held_out": tuple(mappings[:num_held_out])}


@dataclass(frozen=True)
class MappingExample:
    """One sequence of pairs of one mapping.

    Attributes:
        tokens: ids, `x1 y1 x2 y2 ...`.
        places: where each x stands: with the tokens up to this place, itself included, read, its y is to be
            told. The k-th of them, counted from 0, has k shots.
        answers: for each place, the id of y.
        counted: for each place, whether the question counts in an accuracy.
        mapping: the output of every input.
    """

    tokens: tuple[int, ...]
    places: tuple[int, ...]
    answers: tuple[int, ...]
    counted: tuple[bool, ...]
    mapping: tuple[int, ...]

    @property
    def inputs(self) -> tuple[int, ...]:
        return self.tokens[::2]


class MappingExamples(torch.utils.data.Dataset):
    """`num_examples` sequences; example i depends on (seed, i), the family and its split alone.

    Args:
        family: a key of `FAMILIES`.
        split: "training" or "held_out": where mappings are drawn from, all equally likely.
        seed: another seed, other examples.
        num_pairs: pairs of every example, hence up to `num_pairs - 1` shots.
        num_examples: length of the stream.
        num_mappings: as for `split_mappings`.

    Raises:
        ValueError: for an unknown family or split, numbers below one, or more pairs than a family whose inputs
            come only once has inputs.
    """

    def __init__(
        self, family: str, split: str, seed: int, num_pairs: int, num_examples: int, num_mappings: int = 0
    ):
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
        self.mappings = split_mappings(family, num_mappings)[split]
        self.family = FAMILIES[family]
        for name, value in (("num_pairs", num_pairs), ("num_examples", num_examples)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not self.family.repeats and num_pairs > self.family.num_inputs:
            raise ValueError(
                f"num_pairs is {num_pairs}, but {family} has {self.family.num_inputs} inputs, none of which "
                "comes twice"
            )
        self.seed = seed
        self.num_pairs = num_pairs
        self.num_examples = num_examples

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> MappingExample:
        if not 0 <= index < self.num_examples:
            raise IndexError(f"example {index} of {self.num_examples}")
        random = Random(f"{self.seed}/{index}")
        mapping = random.choice(self.mappings)
        inputs = range(self.family.num_inputs)
        if self.family.repeats:
            drawn = random.choices(inputs, k=self.num_pairs)
            counted = tuple(x in drawn[:number] for number, x in enumerate(drawn))
        else:
            drawn = random.sample(inputs, self.num_pairs)
            counted = (True,) * self.num_pairs
        answers = tuple(self.family.num_inputs + mapping[x] for x in drawn)
        return MappingExample(
            tokens=tuple(token for pair in zip(drawn, answers, strict=True) for token in pair),
            places=tuple(range(0, 2 * self.num_pairs, 2)),
            answers=answers,
            counted=counted,
            mapping=mapping,
        )
