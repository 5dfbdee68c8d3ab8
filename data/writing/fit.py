"""Whether questions fit a block of tokens, and come out of a tokenizer as they went in; before training begins."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from closedbook.data.question_columns import question_blocks
from closedbook.data.writing.token_writer import TokenWriter

_SHOWN = 5  # complaints that a message lists


def check_fit_in_tokens(
    questions: Dataset, writer: TokenWriter, *, block_size: int | None, answer_room: int | None = None
) -> None:
    """Raises `ValueError` for questions that a model cannot take; the counterpart of `questions.check_fit`.

    Args:
        questions: with `question` and `answers`.
        writer: by which they are written.
        block_size: tokens; None where there is no limit.
        answer_room: tokens that may be generated, for questions to be asked; None for training, where the room is
            that of the canonical answer, and the answer has to survive the tokenizer letter for letter.
    """
    count, shown = 0, []
    columns = ["question", "answers"] if answer_room is None else ["question"]
    for block in question_blocks(questions, columns):
        check_special_tokens(writer.tokenizer, block["question"])
        if answer_room is None:
            check_special_tokens(writer.tokenizer, [answers[0] for answers in block["answers"] if answers])
        for complaint in _complaints(block, writer, block_size, answer_room):
            count += 1
            if count <= _SHOWN:
                shown.append(complaint)
    if count:
        more = f"; and {count - _SHOWN} more" if count > _SHOWN else ""
        raise ValueError(
            f"{count} complaints about {len(questions)} questions: {'; '.join(shown)}{more}. "
            "Shorten or drop them, or use a larger block, or another tokenizer"
        )


def _complaints(
    block: dict[str, list[Any]], writer: TokenWriter, block_size: int | None, answer_room: int | None
) -> Iterator[str]:
    """What is wrong with the questions of a block, which go through the tokenizer together."""
    questions = block["question"]
    answers = ["" if answer_room is not None else (given or [""])[0] for given in block.get("answers", questions)]
    written = writer.write_questions(questions, answers)
    back = _there_and_back(writer.tokenizer, questions)
    answers_back = answers if answer_room is not None else _there_and_back(writer.tokenizer, answers)
    for place, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        if answer_room is None and not block["answers"][place]:
            yield f"{question!r} has no answer to train on"
            continue
        example = written[place]
        length = len(example) if answer_room is None else example.loss_start + answer_room
        if block_size is not None and length > block_size:
            yield f"{question!r} takes {length} tokens with its answer, the block has {block_size}"
        for text, came in ((question, back[place]), (answer, answers_back[place])):
            if came.strip() != text.strip():
                yield f"{text!r} comes out of the tokenizer as {came!r}"


def _there_and_back(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[str]:
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return tokenizer.batch_decode(ids, clean_up_tokenization_spaces=False)


def check_special_tokens(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> None:
    """Refuse texts in which the model would read structure: one of the tokenizer's special tokens.

    Raises:
        ValueError: naming the token and where it stands.
    """
    special = [str(token) for token in tokenizer.all_special_tokens]
    if not special:
        return
    pattern = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))
    for text in texts:
        if found := pattern.search(text):
            around = text[max(0, found.start() - 30) : found.end() + 30]
            raise ValueError(
                f"{found[0]!r} stands in {around!r}, which the tokenizer reads as a special token: replace it by "
                "other characters"
            )
