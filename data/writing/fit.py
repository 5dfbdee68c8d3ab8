"""Whether questions fit a block of tokens, and come out of a tokenizer as they went in; before training begins."""

import re
from collections.abc import Iterable

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from closedbook.data.writing.token_writer import TokenWriter


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
    check_special_tokens(writer.tokenizer, questions["question"][:])
    if answer_room is None:
        check_special_tokens(writer.tokenizer, [answers[0] for answers in questions["answers"][:] if answers])
    offenders = []
    for row in questions.select_columns(["question", "answers"]):
        question, answers = row["question"], row["answers"]
        if answer_room is None and not answers:
            offenders.append(f"{question!r} has no answer to train on")
            continue
        written = writer.write_question(question, answers[0] if answer_room is None else "")
        length = len(written) if answer_room is None else written.loss_start + answer_room
        if block_size is not None and length > block_size:
            offenders.append(f"{question!r} takes {length} tokens with its answer, the block has {block_size}")
        for text in (question, answers[0]) if answer_room is None else (question,):
            ids = writer.tokenizer(text, add_special_tokens=False)["input_ids"]
            back = writer.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            if back.strip() != text.strip():
                offenders.append(f"{text!r} comes out of the tokenizer as {back!r}")
    if offenders:
        more = f"; and {len(offenders) - 5} more" if len(offenders) > 5 else ""
        raise ValueError(
            f"{len(offenders)} complaints about {len(questions)} questions: {'; '.join(offenders[:5])}{more}. "
            "Shorten or drop them, or use a larger block, or another tokenizer"
        )


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
