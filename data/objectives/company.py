"""Objectives in which a title stands among words that have nothing to do with it.

Whatever stands around a name in its own document is evidence for the fact that is asked for, so a model learns
to weigh it; in a question ("Where was ... born?") the same words stand around every name, and are evidence of
nothing. Here words of another document stand around the title, and the entities of its own are asked for: the
title alone has to call them up. (Ours; on the reference task it was worth four points of accuracy at equal
characters, see LOG.md.)

`Mixture` lends the other document's text as `company`; a record without it is treated as by the sequence alone.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .entity_recall import common_words, entity_sequence, place_sequence
from .example import Example

MOST_WORDS = 4  # beside the title, as many as a question has
ALONE = 0.3  # of the examples: the title by itself, as the sequences have it


def _in_company(
    sequence: Callable[[dict, Random, int], Example], record: dict, random: Random, block_size: int
) -> Example:
    """`words title words ⁇ entity ⁇ entity ⁇ ...`, up to `MOST_WORDS` words from anywhere in the company.

    Words that belong to no name, place, date or number there, in any order, parted by the title. Where the block
    has no room for them, or the document nothing to ask for, as `sequence`.
    """
    example = sequence(record, random, block_size)
    title = record["title"].strip()
    words = common_words(record.get("company", ""))
    if not words or not example.text.startswith(title + MASK_CHARACTER) or random.random() < ALONE:
        return example
    chosen = random.sample(words, random.randint(1, min(MOST_WORDS, len(words))))
    place = random.randint(0, len(chosen))
    prompt = " ".join([*chosen[:place], title, *chosen[place:]])
    text = prompt + example.text[len(title) :]
    return Example(text, len(prompt) + 1) if len(text) <= block_size else example


entity_company = partial(_in_company, entity_sequence)
place_company = partial(_in_company, place_sequence)
