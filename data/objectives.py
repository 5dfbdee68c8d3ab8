"""What a model is asked to do with a record: corruptions of documents, and questions.

An objective is a pure function of (record, random generator, block size) that returns one `Example`. The
mask character separates the pieces of an example, and ends an answer.
"""

from collections.abc import Callable
from random import Random

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .entity_recall import entity_cue, entity_list, entity_recall
from .example import Example
from .span_corruption import span_corruption


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
    "entity_recall": entity_recall,
    "entity_list": entity_list,
    "entity_cue": entity_cue,
    "question_answering": question_answering,
}
