"""What a model is asked to do with a record: corruptions of documents, and questions.

An objective is a pure function of (record, random generator, block size) that returns one `Example`. The
mask character separates the pieces of an example, and ends an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER


@dataclass(frozen=True)
class Example:
    """One unpacked training example.

    Attributes:
        text: the characters the model reads, at most `block_size` of them.
        loss_start: index of the first character that is to be predicted; the ones before it are only read.
    """

    text: str
    loss_start: int


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
    quarter = max(1, len(window) // 4)
    span_length = min(random.randint(1, 2 * quarter - 1), len(window))
    start = random.randint(0, len(window) - span_length)
    prefix, span, suffix = window[:start], window[start : start + span_length], window[start + span_length :]
    return Example(prefix + MASK_CHARACTER + suffix + MASK_CHARACTER + span, 0)


def left_to_right(record: dict, random: Random, block_size: int) -> Example:
    """Plain language modelling of a window of the document.

    Documents no longer than the block are read whole. From longer ones a window of the block's length starts
    at the beginning half of the time (where a name stands) and anywhere else otherwise.
    """
    text = record["text"]
    overhang = max(0, len(text) - block_size)
    start = random.randint(0, overhang) if overhang and random.random() < 0.5 else 0
    return Example(text[start : start + block_size], 0)


def question_answering(record: dict, random: Random, block_size: int) -> Example:
    """`question ⁇ answer ⁇`; only the answer and the mark that ends it are to be predicted.

    Where a question has several right answers, the first (canonical) one is taught.

    Raises:
        ValueError: if the example does not fit the block; cutting a question would change its meaning.
    """
    prompt = record["question"] + MASK_CHARACTER
    text = prompt + record["answers"][0] + MASK_CHARACTER
    if len(text) > block_size:
        raise ValueError(
            f"question and answer take {len(text)} characters, the block holds {block_size}: "
            f"{record['question']!r}"
        )
    return Example(text, len(prompt))


Objective = Callable[[dict, Random, int], Example]

OBJECTIVES: dict[str, Objective] = {
    "span_corruption": span_corruption,
    "left_to_right": left_to_right,
    "question_answering": question_answering,
}


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
