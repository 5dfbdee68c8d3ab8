"""How a model goes on after a text that is given to it: with what probability, and is it what it would write?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.writing.question_form import encode_prompt
from closedbook.evaluation.answering.abilities import abilities
from closedbook.evaluation.answering.ability_checks import right_padded
from closedbook.evaluation.answering.batches import padding_id


@dataclass(frozen=True)
class Continuation:
    """What a model makes of one given continuation.

    Attributes:
        log_probability: natural logarithm of the probability of the continuation after its prompt, the sum over
            its tokens. With the minus sign this is the summed cross-entropy loss on them, in nats.
        greedy: whether the model, decoding greedily after the prompt, writes exactly the continuation.
    """

    log_probability: float
    greedy: bool


@dataclass(frozen=True)
class TokenScore:
    """A token of a continuation.

    Attributes:
        text: what it writes.
        log_probability: natural logarithm of its probability after all before it.
    """

    text: str
    log_probability: float


@torch.inference_mode()
def score_continuations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    continuations: Sequence[str],
    batch_size: int = 128,
    special_tokens: bool = False,
) -> list[Continuation]:
    """Score the continuation of every prompt; one forward pass a text, nothing is generated.

    Greedy decoding writes the continuation if and only if each of its tokens is the likeliest one after the true
    tokens before it, so reading the whole text once decides that too.

    Args:
        prompts: not empty: a first token has nothing to be predicted from.
        continuations: one a prompt, not empty.
        batch_size: texts read at once; changes speed only.
        special_tokens: encode prompt and continuation as one text, and as prompts are for answering, so after what
            the tokenizer puts before a text; for models that were trained elsewhere. Where a token reaches across
            the border, the continuation begins with that token.

    Raises:
        ValueError: for empty strings, lists of different lengths, or a text longer than the model's block.
    """
    if len(prompts) != len(continuations):
        raise ValueError(f"there are {len(prompts)} prompts and {len(continuations)} continuations")
    pairs = []
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)  # some have no limit
    for prompt, continuation in zip(prompts, continuations, strict=True):
        before, after = _encode(tokenizer, prompt, continuation, special_tokens)
        if limit is not None and len(before) + len(after) > limit:
            raise ValueError(f"{prompt + continuation!r} is longer than the model's block of {limit} tokens")
        pairs.append((before, after))
    return [
        Continuation(chosen.sum().item(), bool(likeliest.all()))
        for chosen, likeliest in _read_all(model, tokenizer, pairs, batch_size)
    ]


def token_log_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[list[int], list[int]]],
    batch_size: int = 128,
) -> list[np.ndarray]:
    """Natural logarithms of the probability of every token of each continuation, float64.

    Args:
        pairs: ids of what stands before, and ids of the continuation; neither is empty.
        batch_size: texts read at once; changes speed only.
    """
    return [chosen.numpy() for chosen, _ in _read_all(model, tokenizer, pairs, batch_size)]


@torch.inference_mode()
def score_tokens(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    continuation: str,
    special_tokens: bool = False,
) -> list[TokenScore]:
    """The tokens of one continuation with their probabilities; arguments and errors as of `score_continuations`.

    The text of a token is what it adds to those before it, so the texts together are the continuation; a token of
    half a character adds nothing, and the one that completes it the character.
    """
    before, after = _encode(tokenizer, prompt, continuation, special_tokens)
    was_training = model.training
    model.eval()
    ((chosen, _),) = _chosen(model, padding_id(tokenizer), [(before, after)])
    model.train(was_training)
    texts = [tokenizer.decode(after[:length], skip_special_tokens=False) for length in range(len(after) + 1)]
    texts = [text.removesuffix("\ufffd") for text in texts]
    pairs = zip(texts, texts[1:], chosen.tolist(), strict=False)
    return [TokenScore(later.removeprefix(earlier), score) for earlier, later, score in pairs]


@torch.inference_mode()
def choice_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    choices: Sequence[Sequence[str]],
    batch_size: int = 64,
) -> list[np.ndarray]:
    """How probable each of a prompt's choices is as its next token, among these choices; float64, sums to 1.

    One reading of the prompt serves all of its choices.

    Args:
        choices: for each prompt texts of one token each; none gives an empty array.
        batch_size: prompts read at once; changes speed only.

    Raises:
        ValueError: for a choice that is not one token.
    """
    singles = {text: tokenizer.encode(text, add_special_tokens=False) for row in choices for text in row}
    if long := [text for text, ids in singles.items() if len(ids) != 1]:
        raise ValueError(f"{long[0]!r} is not one token of this tokenizer, as a choice has to be")
    encoded = [tokenizer.encode(prompt, add_special_tokens=False) for prompt in prompts]
    padding = padding_id(tokenizer)
    found: list[np.ndarray] = [np.empty(0)] * len(prompts)
    for rows in _batches(model, encoded, [(ids, 1) for ids in encoded], padding, batch_size):
        logits, _ = _logits(model, [encoded[row] for row in rows], padding)
        for place, row in enumerate(rows):
            chosen = [singles[text][0] for text in choices[row]]
            found[row] = logits[place, len(encoded[row]) - 1, chosen].cpu().double().softmax(-1).numpy()
    return found


def _encode(
    tokenizer: PreTrainedTokenizerBase, prompt: str, continuation: str, special_tokens: bool
) -> tuple[list[int], list[int]]:
    if special_tokens:
        before, whole = encode_prompt(tokenizer, prompt), encode_prompt(tokenizer, prompt + continuation)
        pairs_of_tokens = enumerate(zip(before, whole, strict=False))
        differing = (place for place, (one, other) in pairs_of_tokens if one != other)
        border = next(differing, min(len(before), len(whole)))
        before, after = whole[:border], whole[border:]
    else:
        before, after = [tokenizer.encode(text, add_special_tokens=False) for text in (prompt, continuation)]
    if not before or not after:
        raise ValueError(f"prompt and continuation must not be empty: {prompt!r}, {continuation!r}")
    return before, after


@torch.inference_mode()
def _read_all(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[list[int], list[int]]],
    batch_size: int,
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """`_chosen` of all pairs, in batches of similar length, as the model can take them."""
    padding = padding_id(tokenizer)
    texts = [before + after for before, after in pairs]
    found: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for rows in _batches(model, texts, [(before, len(after)) for before, after in pairs], padding, batch_size):
        found |= zip(rows, _chosen(model, padding, [pairs[row] for row in rows]), strict=True)
    return [found[row] for row in range(len(pairs))]


def _batches(
    model: PreTrainedModel,
    texts: Sequence[list[int]],
    prompts: Sequence[tuple[list[int], int]],
    padding: int,
    batch_size: int,
) -> Iterator[list[int]]:
    """Rows of texts to be read at once, of similar length, as the model can take them; it is in evaluation mode.

    Args:
        texts: ids of what is read.
        prompts: of each the ids that something is predicted after, and how many are: what is asked of the model.
        padding: id.
        batch_size: rows at most.
    """
    if not texts:
        return
    able = abilities(model, [before for before, _ in prompts], [room for _, room in prompts], padding)
    was_training = model.training
    model.eval()
    try:
        order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))  # little padding
        for _, group in groupby(order, key=lambda row: 0 if able.pads_after else len(texts[row])):
            alike = list(group)
            size = batch_size if able.together else 1
            for start in range(0, len(alike), size):
                yield alike[start : start + size]
    finally:
        model.train(was_training)


def _logits(model: PreTrainedModel, texts: Sequence[list[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one batch, `(texts, width, vocabulary)` in float32, and its ids, `(texts, width)`.

    Padded on the right, where causal attention never looks.
    """
    ids, mask = right_padded(texts, padding)
    ids = ids.to(model.device)
    return model(input_ids=ids, attention_mask=mask.to(model.device), use_cache=False).logits.float(), ids


def _chosen(
    model: PreTrainedModel, padding: int, pairs: Sequence[tuple[list[int], list[int]]]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Of each continuation of one batch its tokens' log-probabilities, float64, and whether each is the
    likeliest."""
    logits, ids = _logits(model, [before + after for before, after in pairs], padding)
    logits = logits[:, :-1]
    chosen = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1).cpu()  # (texts, width - 1)
    likeliest = (logits.argmax(-1) == ids[:, 1:]).cpu()
    spans = [slice(len(before) - 1, len(before) + len(after) - 1) for before, after in pairs]
    return [(chosen[row, span].double(), likeliest[row, span]) for row, span in enumerate(spans)]
