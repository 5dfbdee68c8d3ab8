"""Prompts made ready for decoding: checked, encoded, put into batches; and where their answers end.

- Prompts are sorted by length, so that a batch holds little padding.
- An answer must not depend on its batch mates. Two prompts share a batch only if they have the same number of
  new tokens to spend, so a long neighbour never shortens an answer.
- The generation config saved with a checkpoint is set aside while decoding. `generate` would otherwise take
  every option that is not given here (repetition penalty, forced tokens, ...) from it.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.writing.question_form import encode_prompt
from closedbook.evaluation.answering.abilities import abilities
from closedbook.evaluation.answering.prefix_reader import PromptBatch
from closedbook.evaluation.answering.text_end import end_of_text_ids

logger = logging.getLogger(__name__)


def prompt_batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: list[str],
    batch_size: int,
    max_new_tokens: int,
    end_token: str | None,
    ends: list[int] | None = None,
) -> tuple[list[int], list[PromptBatch]]:
    """Check what `answer_questions` was given, and make batches of it, the longest prompts first.

    Args:
        model, tokenizer, questions, batch_size, max_new_tokens, end_token: As for `answer_questions`.
        ends: What `end_ids` gives, where it is known.

    Returns:
        The ids of all tokens that end an answer, and the batches, on the model's device.

    Raises:
        ValueError: As `answer_questions` says.
    """
    if isinstance(questions, str):
        raise ValueError("questions is one string; pass a list of questions, such as [question].")
    if batch_size < 1 or max_new_tokens < 1:
        raise ValueError(
            f"batch_size and max_new_tokens must be at least 1, but are {batch_size} and {max_new_tokens}."
        )
    ends = end_ids(model, tokenizer, end_token) if ends is None else ends
    check_characters(tokenizer, questions)
    if end_token is None:
        prompts = [
            tokenizer.encode(question + tokenizer.mask_token, add_special_tokens=False) for question in questions
        ]
    else:
        prompts = [encode_prompt(tokenizer, question) for question in questions]
    budgets = token_budgets(model, questions, prompts, max_new_tokens)
    batches = []
    padding = padding_id(tokenizer, ends)
    able = abilities(model, prompts, budgets, padding)
    for rows, budget in _batches(prompts, budgets, batch_size, able.pads_before):
        width = max(len(prompts[row]) for row in rows)
        input_ids = torch.full((len(rows), width), padding)
        attention_mask = torch.zeros_like(input_ids)
        for place, row in enumerate(rows):
            input_ids[place, width - len(prompts[row]) :] = torch.tensor(prompts[row])
            attention_mask[place, width - len(prompts[row]) :] = 1
        batches.append(
            PromptBatch(
                rows,
                input_ids.to(model.device),
                attention_mask.to(model.device),
                budget,
                caches=able.caches,
                positions=able.positions,
                together=able.together,
            )
        )
    return ends, batches


def padding_id(tokenizer: PreTrainedTokenizerBase, ends: Sequence[int] = (0,)) -> int:
    """The pad token; an end token where there is none, which no one reads either."""
    return ends[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, end_token: str | None) -> list[int]:
    """All tokens that end an answer: the mask token alone, or what an `end_token` stands for.

    Those are the tokens with `end_token` in their text ("\\n\\n", ".\\n"), and what `end_of_text_ids` finds.

    Raises:
        ValueError: If the tokenizer has no mask or pad token and there is no `end_token`, or `end_token` is not
            one token.
    """
    if end_token is None:
        if tokenizer.mask_token_id is None or tokenizer.pad_token_id is None:
            raise ValueError(
                "the tokenizer needs a mask token (it ends questions and answers) and a pad token, but has "
                f"mask_token={tokenizer.mask_token!r} and pad_token={tokenizer.pad_token!r}. For a model that was "
                "trained without, write the questions as whole prompts and pass the end_token of answers."
            )
        return [tokenizer.mask_token_id]
    ids = tokenizer.encode(end_token, add_special_tokens=False)
    if tokenizer.decode(ids[-1:]) != end_token:  # some tokenizers begin every text with a space of their own
        raise ValueError(
            f"{end_token!r} is to end an answer, and has to be one token: the tokenizer makes {len(ids)} of it. "
            "A model of this package is asked without a prompt; another one needs a tokenizer with line breaks."
        )
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    ends = {token for token, text in enumerate(texts) if end_token in text} | {ids[-1]}
    return sorted(ends | end_of_text_ids(model, tokenizer))


def answer_text(tokenizer: PreTrainedTokenizerBase, ids: list[int], ends: list[int], end_token: str | None) -> str:
    """The text of an answer's tokens, of which the last may be its end mark.

    Args:
        ids: The tokens, up to the end mark and with it; none after it.
        ends: What `end_ids` gives.
        end_token: As for `answer_questions`.
    """
    if end_token is None:
        return tokenizer.decode(ids[:-1] if ids[-1:] == ends else ids, clean_up_tokenization_spaces=False)
    # the token that ends an answer may begin with the answer's last characters
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text.partition(end_token)[0].strip()


def check_characters(tokenizer: PreTrainedTokenizerBase, questions: Sequence[str]) -> None:
    """Refuse characters that do not survive encoding: a tokenizer may drop or replace them without a word.

    A tokenizer that declares a token for unknown characters was built to read them so, and may.
    """
    if tokenizer.unk_token is not None:
        return
    unknown = set()
    for character in set().union(*questions):
        try:
            ids = tokenizer.encode(character, add_special_tokens=False)
        except Exception:  # some tokenizers refuse by themselves; the tokenizers library has no class for it
            unknown.add(character)
            continue
        if tokenizer.decode(ids, clean_up_tokenization_spaces=False) != character:
            unknown.add(character)
    if unknown:
        row = next(i for i, question in enumerate(questions) if unknown & set(question))
        raise ValueError(
            f"the tokenizer does not know the characters {sorted(unknown)}, first seen in question {row}: "
            f"{questions[row]!r}. Rewrite the questions, or train a model whose text holds these characters."
        )


def token_budgets(
    model: PreTrainedModel, questions: Sequence[str], prompts: list[list[int]], max_new_tokens: int
) -> list[int]:
    """Number of new tokens each prompt may spend, at least 1.

    Prompt and answer together, end mark included, stay within the model's positions, as they did in training.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if positions is None:  # some models have no limit
        return [max_new_tokens] * len(prompts)
    for row, prompt in enumerate(prompts):
        if len(prompt) >= positions:
            raise ValueError(
                f"question {row} leaves no room for an answer: its prompt takes {len(prompt)} of the model's "
                f"{positions} positions. Shorten it, or use a model with a larger context: "
                f"{questions[row]!r}"
            )
    budgets = [min(max_new_tokens, positions - len(prompt)) for prompt in prompts]
    if max_new_tokens > positions:
        logger.warning(
            "max_new_tokens is %d, and the model has %d positions for prompt and answer: answers end after %d "
            "tokens at most",
            max_new_tokens,
            positions,
            max(budgets, default=positions),
        )
    return budgets


def _batches(
    prompts: list[list[int]], budgets: list[int], batch_size: int, padded: bool
) -> Iterator[tuple[list[int], int]]:
    """Yield (row numbers, their common budget), longest prompts first: memory runs out early or never.

    Rows are of the same length where the model reads padding.
    """

    def kind(row: int) -> tuple[int, int]:
        return budgets[row], 0 if padded else len(prompts[row])

    # The longer the prompt, the smaller its budget: rows of equal budgets come to stand side by side.
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    for (budget, _), group in groupby(order, key=kind):
        rows = list(group)
        for start in range(0, len(rows), batch_size):
            yield rows[start : start + batch_size], budget


@contextmanager
def ready_for_decoding(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode and a neutral generation config for a while; both as they were afterwards."""
    was_training, saved_config = model.training, model.generation_config
    model.eval()
    model.generation_config = GenerationConfig()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.generation_config = saved_config
        model.train(was_training)
