"""Titles by themselves: a model that has to say them can later tell a name that it read from any other."""

from collections.abc import Sequence
from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .example import Example
from .windows import draw_window


def titles(record: dict, random: Random, block_size: int) -> Example:
    """`title ⁇`: all of it is to be predicted, the beginning as far as nothing before it allows.

    Every other objective reads the title and predicts what it calls up, so nothing in a model says how probable a
    title is. On the reference task the probability of a name parts people read about from invented ones less well
    than that of the answer does; with a tenth of the characters on this objective, far better (LOG.md).

    A title that is longer than the block is cut. Of a document without one, a window is read instead
    (`without_titles` counts them).

    Raises:
        ValueError: if the block cannot hold a character and the mask.
    """
    if block_size < 2:
        raise ValueError(f"a block of {block_size} characters is too small for a title: it takes at least 2")
    if not record["title"]:
        first, last = draw_window(record["text"], block_size, random)
        return Example(record["text"][first:last], 0)
    return Example(record["title"][: block_size - 1] + MASK_CHARACTER, 0)


def title_pieces(example: Example) -> list[str]:
    """The title, or the window that was read in its place."""
    return [example.text.removesuffix(MASK_CHARACTER)]


def without_titles(records: Sequence[dict]) -> int:
    """How many of `records` have no title."""
    return sum(not record["title"] for record in records)
