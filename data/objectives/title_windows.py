"""Windows of long documents with the title in view: no part of a line that exceeds the block is lost."""

from collections.abc import Sequence
from random import Random

from .example import Example
from .span_corruption import MINIMUM_WINDOW, move_span, reassemble_span_corruption
from .windows import draw_window

SEPARATOR = ". "  # as in `Name. sentence`, the form in which the reference corpus has its titles


def title_windows(record: dict, random: Random, block_size: int) -> Example:
    """`title. prefix ⁇ suffix ⁇ span`: span corruption in any window of the document, the title before it.

    `span_corruption` reads the beginnings of documents, and a window from their middle would not say whom it is
    about. Here the window can lie anywhere, every character has its chance, and what is learned is tied to the
    title. A text that begins with its title is read from behind it; a title that stands nowhere in the text is
    written before the window all the same (`titles_beside_text` counts such documents). Everything behind the
    title is to be predicted.

    A title that would leave no room for a window of 4 characters is left out, as an empty one is.

    Raises:
        ValueError: if the block cannot hold 4 characters and the two masks.
    """
    room = block_size - 2  # of these, two masks
    if room < MINIMUM_WINDOW:
        raise ValueError(
            f"a block of {block_size} characters is too small for windows with titles: it takes at least "
            f"{MINIMUM_WINDOW} and two mask characters"
        )
    text = record["text"]
    head = record["title"] + SEPARATOR if record["title"] else ""
    if room - len(head) < MINIMUM_WINDOW:
        head = ""
    body = text.removeprefix(head)
    first, last = draw_window(body, room - len(head), random)
    return Example(head + move_span(body[first:last], random), len(head))


def reassemble_title_windows(example: Example) -> str:
    """Undo `title_windows`: the window, without the title.

    Raises:
        ValueError: if the text does not hold exactly two mask characters behind the title.
    """
    return reassemble_span_corruption(Example(example.text[example.loss_start :], 0))


def titles_beside_text(records: Sequence[dict]) -> int:
    """How many of `records` have a title that their text does not hold."""
    return sum(bool(record["title"]) and record["title"] not in record["text"] for record in records)
