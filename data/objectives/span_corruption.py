"""The reference task's corruption."""

from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .example import Example

MINIMUM_WINDOW = 4  # characters; the shortest document that still has a prefix, a span and a suffix


def span_corruption(record: dict, random: Random, block_size: int) -> Example:
    """The reference task's corruption: one span moves to the end, `prefix ⁇ suffix ⁇ span`.

    The document is cut to a random length between 4 characters and 7/8 of the block (less where that leaves
    no room for the two mask characters), every length equally likely. The span is a quarter of what is left,
    on average: its length is uniform over 1 .. 2 * (n // 4) - 1, whose mean is n // 4. Every character is to
    be predicted, the prefix and the suffix too. (CS224N assignment 5; the single-span form of T5, Raffel et
    al. 2020, 3.1.4.)

    Of documents of up to three characters one character is masked; an empty one gives the two masks alone.

    Raises:
        ValueError: if the block cannot hold 4 characters and the two masks.
    """
    longest = min(block_size * 7 // 8, block_size - 2)
    if longest < MINIMUM_WINDOW:
        raise ValueError(
            f"a block of {block_size} characters is too small for span corruption: it takes at least "
            f"{MINIMUM_WINDOW} and two mask characters"
        )
    window = record["text"][: random.randint(MINIMUM_WINDOW, longest)]
    return Example(move_span(window, random), 0)


def move_span(window: str, random: Random) -> str:
    """`prefix ⁇ suffix ⁇ span`: a random span of `window`, a quarter of it on average, behind the rest."""
    quarter = max(1, len(window) // 4)
    span_length = min(random.randint(1, 2 * quarter - 1), len(window))
    start = random.randint(0, len(window) - span_length)
    prefix, span, suffix = window[:start], window[start : start + span_length], window[start + span_length :]
    return prefix + MASK_CHARACTER + suffix + MASK_CHARACTER + span


def reassemble_span_corruption(example: Example) -> str:
    """Undo `span_corruption`: the window of the document it came from.

    Raises:
        ValueError: if the text does not hold exactly two mask characters (a document that itself contains
            the mask character cannot be told apart).
    """
    pieces = example.text.split(MASK_CHARACTER)
    if len(pieces) != 3:
        raise ValueError(f"expected prefix, suffix and span around two masks, got {len(pieces)} pieces")
    prefix, suffix, span = pieces
    return prefix + span + suffix
