"""Two probes of what a model carries across its block, as sequences of token ids.

* `copy`: a random string, some filler, the string again. Each symbol has to be read from where it stood
  first, a fixed number of tokens earlier that differs from example to example: it can be found by its content,
  or by its place, reckoned from those of the two separators.
* `associative_recall`: pairs of a key and a value at random places, then keys alone; after each of these its value
  has to be told (after Ba et al. 2016, arXiv:1610.06258; several questions a sequence as in Arora et al. 2023,
  arXiv:2312.04927). A pair is one token: what is asked is whether it can be found by its content and brought
  across, not also whether two neighbours can be bound together first: with pairs of two tokens (and 16 keys or
  more) vanilla softmax attention was still at about the level of guessing after 800 to 1,500 steps.

An example is a pure function of (seed, index). It fills the block up to its last token, with filler before it,
so that what has to be read stands at every distance and at every place of the block: no position can be learned
by heart. The symbols of a string and the keys of an example are distinct, hence the prompt determines every
answer, and all are drawn uniformly. What can be had without reading from the right place: in blocks of 64, a
model that only knows which symbols a string had and which of them were copied already gets 29% of a copy, one
that only knows how often each value came gets 24% of the recall.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import torch

FILLER = 0
SEPARATOR = 1  # before a string and before its copy
NUM_SYMBOLS = 32  # what strings are made of; half of them are also keys, the other half values
NUM_KEYS = NUM_SYMBOLS // 2
_SYMBOLS = range(2, 2 + NUM_SYMBOLS)
_KEYS, _VALUES = _SYMBOLS[:NUM_KEYS], _SYMBOLS[NUM_KEYS:]
_FIRST_PAIR = 2 + NUM_SYMBOLS
VOCABULARY_SIZE = _FIRST_PAIR + NUM_KEYS**2
MINIMUM_BLOCK = 32  # tokens; the longest string and the most pairs are still more than the least


@dataclass(frozen=True)
class ProbeExample:
    """One sequence, and what is asked in it.

    Attributes:
        tokens: ids, as many as the block has tokens.
        places: where something is asked: with the tokens up to this place, itself included, read.
        answers: for each place, the id to be told there.
        sources: for each place, where the answer can be read, before it.
        distances: how far the answer has to be carried, in tokens: from a symbol to its copy, from a pair to
            the question about it.
    """

    tokens: tuple[int, ...]
    places: tuple[int, ...]
    answers: tuple[int, ...]
    sources: tuple[int, ...]
    distances: tuple[int, ...]


def copy_string(random: Random, block_size: int) -> ProbeExample:
    """`filler | string filler | string`, with `|` the separator.

    The string has between 4 and block/4 distinct symbols; what is left of the block is divided between the
    two stretches of filler, every division equally likely. So the distance from a symbol to its copy lies
    between 5 and `block_size - 5`.
    """
    length = random.randint(4, block_size // 4)
    string = random.sample(_SYMBOLS, length)
    free = block_size - 2 * length - 2
    gap = random.randint(0, free)
    first = free - gap + 1
    tokens = [*[FILLER] * (free - gap), SEPARATOR, *string, *[FILLER] * gap, SEPARATOR, *string]
    return ProbeExample(
        tokens=tuple(tokens),
        places=tuple(range(block_size - length - 1, block_size - 1)),
        answers=tuple(string),
        sources=tuple(range(first, first + length)),
        distances=(length + gap + 1,) * length,
    )


def associative_recall(random: Random, block_size: int) -> ProbeExample:
    """Pairs among filler in the first three quarters of the block, and a question at each place of the last.

    There are between 4 and block/4 pairs, at most 16, of distinct keys; values are drawn with replacement, and so
    is the pair that each question is about. The answers are not among the tokens, so that no question tells
    anything about the next. The distance from a pair to a question lies between 1 and `block_size - 1`.
    """
    num_questions = block_size // 4
    first_question = block_size - num_questions
    num_pairs = random.randint(4, min(num_questions, NUM_KEYS))
    keys = random.sample(range(NUM_KEYS), num_pairs)
    values = random.choices(range(NUM_KEYS), k=num_pairs)
    stands = random.sample(range(first_question), num_pairs)
    tokens = [FILLER] * first_question
    for key, value, place in zip(keys, values, stands, strict=True):
        tokens[place] = _FIRST_PAIR + NUM_KEYS * key + value
    asked = random.choices(range(num_pairs), k=num_questions)
    places = range(first_question, block_size)
    return ProbeExample(
        tokens=(*tokens, *(_KEYS[keys[number]] for number in asked)),
        places=tuple(places),
        answers=tuple(_VALUES[values[number]] for number in asked),
        sources=tuple(stands[number] for number in asked),
        distances=tuple(place - stands[number] for place, number in zip(places, asked, strict=True)),
    )


PROBES: dict[str, Callable[[Random, int], ProbeExample]] = {
    "copy": copy_string,
    "associative_recall": associative_recall,
}


class ProbeExamples(torch.utils.data.Dataset):
    """`num_examples` examples of one probe; example i depends on (seed, i) alone.

    Args:
        probe: a key of `PROBES`.
        seed: another seed, other examples.
        block_size: tokens of every example, 32 or more, at most 4 for each symbol of the alphabet.
        num_examples: length of the stream.

    Raises:
        ValueError: for an unknown probe (the message lists the known ones), a block too short or too long, or
            a length below one.
    """

    def __init__(self, probe: str, seed: int, block_size: int, num_examples: int):
        if probe not in PROBES:
            raise ValueError(f"unknown probe {probe!r}; known: {', '.join(PROBES)}")
        if not MINIMUM_BLOCK <= block_size <= 4 * NUM_SYMBOLS:
            raise ValueError(
                f"block_size must be between {MINIMUM_BLOCK} and {4 * NUM_SYMBOLS} (a quarter of the block may "
                f"be distinct symbols, of which there are {NUM_SYMBOLS}), got {block_size}"
            )
        if num_examples < 1:
            raise ValueError(f"num_examples must be at least 1, got {num_examples}")
        self.make = PROBES[probe]
        self.seed = seed
        self.block_size = block_size
        self.num_examples = num_examples

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> ProbeExample:
        if not 0 <= index < self.num_examples:
            raise IndexError(f"example {index} of {self.num_examples}")
        return self.make(Random(f"{self.seed}/{index}"), self.block_size)
