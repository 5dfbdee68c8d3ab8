"""What a model is asked to do with a record: corruptions of documents, and questions.

An objective is a pure function of (record, random generator, block size) that returns one `Example`. The
mask character separates the pieces of an example, and ends an answer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from closedbook.modeling.tokenization_char import MASK_CHARACTER

from .company import entity_company, place_company
from .denoising import (
    masked_reconstruction,
    mixture_of_denoisers,
    reassemble_masked_reconstruction,
    reassemble_mixture_of_denoisers,
    reassemble_spans,
    salient_spans,
    t5_multi_span,
    without_salient_spans,
)
from .entity_recall import (
    cue_question,
    entity_cue,
    entity_list,
    entity_recall,
    entity_sequence,
    place_cue,
    place_list,
    place_sequence,
    question_characters,
    question_pieces,
    recall_pieces,
    without_entities,
)
from .example import Example
from .fill_in_the_middle import fill_in_the_middle, reassemble_fill_in_the_middle
from .reading import entity_marks, marked_pieces, marks
from .reversed_order import reassemble_reversed_order, reversed_order
from .span_corruption import reassemble_span_corruption, span_corruption
from .title_windows import reassemble_title_windows, title_windows, titles_beside_text
from .titles import title_pieces, titles, without_titles


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

    Where a question has several right answers, the first (canonical) one is taught. Where somebody who is not
    sure has answered it (`candidates` and their `probabilities`), one is drawn each time, so that whoever
    learns from it comes to be as unsure (distillation: Hinton et al. 2015).

    Raises:
        ValueError: if the example does not fit the block; cutting a question would change its meaning.
    """
    prompt = record["question"] + MASK_CHARACTER
    text = prompt + taught_answer(record, random) + MASK_CHARACTER
    if len(text) > block_size:
        raise ValueError(
            f"question and answer take {len(text)} characters, the block holds {block_size}: "
            f"{record['question']!r}"
        )
    return Example(text, len(prompt))


def taught_answer(record: Mapping[str, Any], random: Random) -> str:
    """The answer that is taught this time: the first, or one of the candidates as probable as they are."""
    if not record.get("candidates"):
        return record["answers"][0]
    return random.choices(record["candidates"], record["probabilities"])[0]


QUESTIONS = "question_answering"  # the objective whose records are questions, not documents

IN_COMPANY = frozenset({"entity_company", "place_company"})  # a record of theirs has the text of another one

Objective = Callable[[dict, Random, int], Example]

OBJECTIVES: dict[str, Objective] = {
    "span_corruption": span_corruption,
    "title_windows": title_windows,
    "t5_multi_span": t5_multi_span,
    "salient_spans": salient_spans,
    "mixture_of_denoisers": mixture_of_denoisers,
    "masked_reconstruction": masked_reconstruction,
    "fill_in_the_middle": fill_in_the_middle,
    "left_to_right": left_to_right,
    "reversed_order": reversed_order,
    "entity_recall": entity_recall,
    "entity_list": entity_list,
    "entity_sequence": entity_sequence,
    "entity_cue": entity_cue,
    "cue_question": cue_question,
    "place_list": place_list,
    "place_sequence": place_sequence,
    "place_cue": place_cue,
    "entity_company": entity_company,
    "place_company": place_company,
    "titles": titles,
    "entity_marks": entity_marks,
    "question_answering": question_answering,
}


def check_objectives(names: Sequence[str]) -> None:
    """Refuse an objective that does not exist, before anything is read for it.

    Raises:
        ValueError: naming the first unknown one, and the known ones.
    """
    for name in names:
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective {name!r}; known: {', '.join(OBJECTIVES)}")


# Objective -> what undoes it: the window of the document that an example was made of.
REASSEMBLE: dict[str, Callable[[Example], str]] = {
    "span_corruption": reassemble_span_corruption,
    "title_windows": reassemble_title_windows,
    "t5_multi_span": reassemble_spans,
    "salient_spans": reassemble_spans,
    "mixture_of_denoisers": reassemble_mixture_of_denoisers,
    "masked_reconstruction": reassemble_masked_reconstruction,
    "fill_in_the_middle": reassemble_fill_in_the_middle,
    "left_to_right": lambda example: example.text,
    "reversed_order": reassemble_reversed_order,
}

# For objectives whose examples are no window of a document, what they took from it, piece by piece.
PIECES: dict[str, Callable[[Example], list[str]]] = {
    "entity_recall": recall_pieces,
    "entity_list": recall_pieces,
    "entity_sequence": recall_pieces,
    "entity_cue": recall_pieces,
    "cue_question": question_pieces,
    "place_list": recall_pieces,
    "place_sequence": recall_pieces,
    "place_cue": recall_pieces,
    "entity_company": recall_pieces,
    "place_company": recall_pieces,
    "titles": title_pieces,
    "entity_marks": marked_pieces,
}

# Objective -> what it writes beside the characters of its documents and the mask.
WRITES: dict[str, Callable[[Iterable[str]], str]] = {"cue_question": question_characters, "entity_marks": marks}


def written_by(names: Sequence[str], texts: Iterable[str]) -> list[str]:
    """Strings with every character that these objectives may write of `texts`, and the texts need not hold."""
    return [WRITES[name](texts) for name in names if name in WRITES]


# Objective -> how many records it cannot treat as it is meant to; its docstring says what becomes of them.
IRREGULAR_RECORDS: dict[str, Callable[[Sequence[dict]], int]] = {
    "title_windows": titles_beside_text,
    "salient_spans": without_salient_spans,
    "entity_recall": without_entities,
    "entity_list": without_entities,
    "entity_sequence": without_entities,
    "entity_cue": without_entities,
    "cue_question": without_entities,
    "place_sequence": partial(without_entities, kinds=("place",)),
    "place_list": partial(without_entities, kinds=("place",)),
    "place_cue": partial(without_entities, kinds=("place",)),
    "entity_company": without_entities,
    "place_company": partial(without_entities, kinds=("place",)),
    "titles": without_titles,
    "entity_marks": partial(without_entities, kinds=("name", "place")),
}
