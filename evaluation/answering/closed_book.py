"""Answers questions with the book closed: greedily, in batches, through the one decoder of this room.

Design choices:
- A prompt is `question + mask token`; the answer is what the model writes until its next mask token, which is
  thereby the end mark. This is the course's format, and the format of the question objective. Models that were
  trained otherwise are asked with a prompt of one's own wording and an `end_token`.
- Answers come back in the order asked, and none depends on its batch mates (`batches.py`).
- Samples and beams of the same questions: `confidence.py`; whole prompts with demonstrations: `prompts.py`. All
  three have the same batches, the same idea of an end, and the same decoder (`decoding.py`).
"""

from collections.abc import Callable

import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.answers import Answer
from closedbook.evaluation.answering.batches import answer_text, prompt_batches, ready_for_decoding
from closedbook.evaluation.answering.decoding import decode


def answer_questions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: list[str],
    *,
    batch_size: int = 64,
    max_new_tokens: int = 32,
    progress: bool = True,
    use_cache: bool = True,
    end_token: str | None = None,
) -> list[Answer]:
    """Answer every question greedily; the same answers whatever the batch size.

    Args:
        model: A causal language model. It is put into evaluation mode and given back as it was.
        tokenizer: Its tokenizer, with a pad token and a mask token, unless there is an `end_token`.
        questions: The questions, without the mask token that ends a prompt.
        batch_size: Prompts decoded at once. 64 keeps a laptop's processor busy; it changes speed only.
        max_new_tokens: Longest answer in tokens, end mark included. The default of 32 characters holds the
            longest birth place of the course's files with room to spare. Where fewer positions are left in
            the model's context, the answer gets those that are left.
        progress: Whether to show a progress bar, counted in questions.
        use_cache: Whether to decode with a key-value cache. Without it every step reads the whole text again.
        end_token: For models that do not know the mask token: the one token that ends an answer, such as a
            line break; tokens that hold it, and whatever model, generation settings and tokenizer call an end of
            text, end it as well. The questions are then
            whole prompts ("Q: Where was Ada Lovelace born?\\nA:"), encoded as the tokenizer does by itself, and
            answers lose the white space around them.

    Returns:
        One `Answer` a question, in the order of `questions`.

    Raises:
        ValueError: If a question does not fit the model's context or holds a character that the tokenizer
            neither knows nor has an unknown token for; if an argument or the special tokens are unusable.
            Raised before any decoding.
    """
    with tqdm(total=len(questions), unit="question", disable=not progress) as bar:
        answers = answer_batches(
            model,
            tokenizer,
            questions,
            batch_size=batch_size,
            max_new_tokens=max_new_tokens,
            use_cache=use_cache,
            end_token=end_token,
            answered=bar.update,
        )
    return [answers[row] for row in range(len(questions))]


def answer_batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: list[str],
    *,
    batch_size: int,
    max_new_tokens: int,
    answered: Callable[[int], object],
    use_cache: bool = True,
    end_token: str | None = None,
    ends: list[int] | None = None,
    share: tuple[int, int] = (0, 1),
) -> dict[int, Answer]:
    """A share of what `answer_questions` answers, batch for batch as it would: by number of the question.

    Args:
        model, tokenizer, questions, batch_size, max_new_tokens, use_cache, end_token: As for `answer_questions`.
        answered: Called after every batch with the number of its questions.
        ends: What `end_ids` gives, for whoever calls often: it reads through the vocabulary.
        share: `(i, n)` is every n-th batch, beginning with number i.

    Raises:
        ValueError: As `answer_questions`.
    """
    ends, batches = prompt_batches(model, tokenizer, questions, batch_size, max_new_tokens, end_token, ends)
    answers: dict[int, Answer] = {}
    with ready_for_decoding(model):
        for batch in batches[share[0] :: share[1]]:
            nothing_drawn = torch.empty(len(batch.rows), batch.budget, 0, dtype=torch.float64)
            decoded = decode(model, batch, ends, nothing_drawn, 0, use_cache)
            for row, found in zip(batch.rows, decoded, strict=True):
                greedy = found.greedy
                assert greedy is not None, "decoding was asked for it"
                text = answer_text(tokenizer, list(greedy.tokens), ends, end_token)
                answers[row] = Answer(text, greedy.log_probability, greedy.complete)
            answered(len(batch.rows))
    return answers
