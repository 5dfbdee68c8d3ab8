"""Fill-in-the-middle: documents cut at two random places and put together in another order."""

from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .example import Example
from .windows import draw_window

MARKS = 4  # of the longer of the two orders


def fill_in_the_middle(record: dict, random: Random, block_size: int) -> Example:
    """`prefix ⁇ suffix ⁇ middle ⁇` or `⁇⁇ suffix ⁇ prefix middle ⁇`, equally often.

    Prefix-suffix-middle, and suffix-prefix-middle in the variant that lets prefix and middle stand together, so
    that both orders can be trained at once (Bavarian et al. 2022, section 3 and appendix D: cuts anywhere, at
    characters rather than tokens; a loss on everything). The mask that ends the middle says that the suffix is
    reached.

    Raises:
        ValueError: if the block cannot hold a character and the four masks.
    """
    if block_size <= MARKS:
        raise ValueError(f"a block of {block_size} characters is too small to fill in a middle: need {MARKS + 1}")
    first, last = draw_window(record["text"], block_size - MARKS, random)
    window = record["text"][first:last]
    start, end = sorted((random.randint(0, len(window)), random.randint(0, len(window))))
    prefix, middle, suffix = window[:start], window[start:end], window[end:]
    pieces = [prefix, suffix, middle, ""] if random.random() < 0.5 else ["", "", suffix, prefix + middle, ""]
    return Example(MASK_CHARACTER.join(pieces), 0)


def reassemble_fill_in_the_middle(example: Example) -> str:
    """Undo `fill_in_the_middle`, in either order: the window of the document.

    Raises:
        ValueError: for a text that is in neither order.
    """
    match example.text.split(MASK_CHARACTER):
        case prefix, suffix, middle, "":
            return prefix + middle + suffix
        case "", "", suffix, beginning, "":
            return beginning + suffix
    raise ValueError(f"neither prefix-suffix-middle nor suffix-prefix-middle: {example.text!r}")
