"""Documents read backwards, word by word, with names left whole."""

import re
from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .entities import find_entities
from .example import Example
from .windows import draw_window

_WORD_OR_SPACE = re.compile(r"\s+|\S+")


def reversed_order(record: dict, random: Random, block_size: int) -> Example:
    """The words of a window in reversed order; entities of several words stay in theirs, between masks.

    "Ada Lovelace was born in London" becomes "London in born was ⁇Ada Lovelace⁇". A model trained from left to
    right learns the name from the place only if it reads the place first (Golovneva et al. 2024, Reverse
    training to nurse the reversal curse, with entity-preserving reversal). The masks are this file's addition:
    they tell in which direction the words inside run, for the model and for `reassemble_reversed_order`. A word
    keeps its punctuation.
    """
    text = record["text"]
    names = [entity for entity in find_entities(text) if any(map(str.isspace, entity.text))]
    first, last = draw_window(text, block_size, random)
    shorten_front = random.random() < 0.5
    while True:
        inside = [name for name in names if first <= name.start and name.end <= last]
        excess = last - first + 2 * len(inside) - block_size
        if excess <= 0:
            break
        # the window gives way to the masks, and perhaps loses a name by it
        first, last = (first + excess, last) if shorten_front else (first, last - excess)
    marked = list(text[first:last])
    for name in inside:
        marked[name.start - first] = MASK_CHARACTER + marked[name.start - first]
        marked[name.end - 1 - first] += MASK_CHARACTER
    return Example(_reverse("".join(marked)), 0)


def reassemble_reversed_order(example: Example) -> str:
    """Undo `reversed_order`: the window of the document.

    Raises:
        ValueError: if a mask that opens a name has none that closes it.
    """
    if example.text.count(MASK_CHARACTER) % 2:
        raise ValueError(f"an odd number of masks cannot enclose names: {example.text!r}")
    return _reverse(example.text).replace(MASK_CHARACTER, "")


def _reverse(text: str) -> str:
    """Words and the white space between them in reversed order, what stands between two masks as it is."""
    parts = text.split(MASK_CHARACTER)
    for number in range(0, len(parts), 2):
        parts[number] = "".join(reversed(_WORD_OR_SPACE.findall(parts[number])))
    return MASK_CHARACTER.join(reversed(parts))
