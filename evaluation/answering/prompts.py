"""Completes in-context prompts with any causal language model: greedily, by beams, by sampling, by a vote.

Prompts are whole texts ("Question: ...\\nAnswer: ...\\n\\nQuestion: ...\\nAnswer:"), as many models are asked
without having been trained for it. What they share is read once (`shared_prefix.py`); what of a question's
hypotheses is alike is read once as well (`decoding.py`). Neither changes what comes out: in float32 it is what one
prompt at a time gives. In half precision the rounding of a product, which depends on the shape of the batch on
CPUs and GPUs alike, is coarse enough to let two nearly equal tokens change places: where texts must not depend on
the batch, decode in float32.

Equal budgets: beams and votes with the same `num_sequences` and `max_new_tokens` write at most
`num_sequences * max_new_tokens` tokens a question, and `Completion.new_tokens` says how many it was. A stretch
that several hypotheses of a question have in common counts for each, although the model reads it once.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.batches import (
    answer_text,
    check_characters,
    padding_id,
    ready_for_decoding,
    token_budgets,
)
from closedbook.evaluation.answering.decoding import Decoded, Hypothesis, decode
from closedbook.evaluation.answering.decoding_ways import Decoding, plan_passes
from closedbook.evaluation.answering.shared_prefix import prefix_batches
from closedbook.evaluation.answering.text_end import TextEnd
from closedbook.evaluation.metrics.answer_match.normalisation import normalize


@dataclass(frozen=True)
class Completion:
    """What was written after one prompt.

    Attributes:
        text: Up to the end, without it and without the white space around.
        complete: Whether the end was reached within the tokens allowed.
        log_probability: Natural logarithm of the model's probability of the tokens, end included, at
            temperature 1.
        new_tokens: Tokens that all hypotheses of the prompt wrote together, ends included. Of beam search: at
            each step one for each beam that it went on with or ended.
        candidates: The texts of all beams, the most probable first, or of all samples in the order drawn.
    """

    text: str
    complete: bool
    log_probability: float
    new_tokens: int
    candidates: tuple[str, ...]


def vote_of(text: str) -> str | None:
    """What a sample votes for unless told otherwise: its text but for case, punctuation, articles and spaces.

    A text of which nothing is left has no vote.
    """
    return normalize(text) or None


def complete_prompts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    decoding: Decoding,
    *,
    max_new_tokens: int = 16,
    end: str = "\n",
    seed: int = 0,
    tokens_per_batch: int = 8192,
    share_prefix: bool = True,
    vote_on: Callable[[str], str | None] = vote_of,
    progress: bool = True,
) -> list[Completion]:
    """Complete every prompt up to `end`; the same texts whatever the batches and the other prompts.

    To complete the same prompts in several ways, `complete_in_ways` reads them once for all.

    Args:
        model: A causal language model. It is put into evaluation mode and given back as it was.
        tokenizer: Its tokenizer, which needs no special tokens. Prompts are encoded as it does by itself.
        prompts: Whole prompts; those that begin alike are read fast.
        decoding: How they are completed.
        max_new_tokens: Longest completion in tokens, end included. 16 hold the names that factual questions ask
            for; chains of thought need 128 or more. Where fewer positions are left in the model's context, the
            completion gets those that are left.
        end: Any text; a completion ends where it appears, or with the model's or tokenizer's end of text.
        seed: Seeds the samples.
        tokens_per_batch: Most tokens in a batch: rows (prompts times `num_sequences`) times the longest prompt
            with its new tokens. 8192 are 0.4 GB of keys and values of a model of 135 million weights in float32;
            it changes speed only.
        share_prefix: Whether what prompts share is read once; False reads every prompt whole. Models that cannot
            share (without a cache, with recurrent layers) read every prompt whole in any case.
        vote_on: What a sample's text votes for in `self_consistency`, None for no vote. Of votes that come equally
            often, the one goes first whose samples, each text of tokens counted once, are together more probable.
            The completion is that vote's most probable sample; without any vote, the most probable sample.
        progress: Whether to show a progress bar, counted in prompts.

    Returns:
        One `Completion` a prompt, in the order of `prompts`.

    Raises:
        ValueError: If a prompt is empty, does not fit the model's context, or holds a character that the tokenizer
            neither knows nor has an unknown token for; if an argument is unusable or the tokenizer not the
            model's; all that before any decoding. While decoding: if the model's logits are not numbers.
    """
    (completions,) = complete_in_ways(
        model,
        tokenizer,
        prompts,
        [(decoding, seed)],
        max_new_tokens=max_new_tokens,
        end=end,
        tokens_per_batch=tokens_per_batch,
        share_prefix=share_prefix,
        vote_on=vote_on,
        progress=progress,
    )
    return completions


def complete_in_ways(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    ways: Sequence[tuple[Decoding, int]],
    *,
    max_new_tokens: int = 16,
    end: str = "\n",
    tokens_per_batch: int = 8192,
    share_prefix: bool = True,
    vote_on: Callable[[str], str | None] = vote_of,
    progress: bool = True,
) -> list[list[Completion]]:
    """Complete every prompt in each of several ways, for little more than the price of the dearest.

    What comes out is what `complete_prompts` gives for each way by itself. A prompt is read once for all ways, and
    so is what their hypotheses have in common; only beams of another number and samples of another temperature or
    `top_p` need a pass of their own.

    Args:
        ways: Decodings, each with the seed of its samples.
        model, tokenizer, prompts, max_new_tokens, end, tokens_per_batch, share_prefix, vote_on, progress: As for
            `complete_prompts`; `num_sequences` of all ways in a pass add up to the rows of a prompt.

    Returns:
        For each way one `Completion` a prompt, in the order of `ways` and of `prompts`.

    Raises:
        ValueError: As `complete_prompts` says.
    """
    if isinstance(prompts, str):
        raise ValueError("prompts is one string; pass a list of prompts, such as [prompt].")
    if not end:
        raise ValueError('end is empty; pass the text that a completion ends with, such as "\\n".')
    for name, value in (("max_new_tokens", max_new_tokens), ("tokens_per_batch", tokens_per_batch)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, but is {value}.")
    if not prompts:
        return [[] for _ in ways]
    ids = _encode(model, tokenizer, prompts)
    budgets = token_budgets(model, prompts, ids, max_new_tokens)
    end_of_text = TextEnd(model, tokenizer, end)
    passes = plan_passes(ways)
    completions: dict[tuple[int, int], Completion] = {}
    with (
        ready_for_decoding(model),
        tqdm(total=len(prompts) * len(passes), unit="prompt", disable=not progress) as bar,
    ):
        for one_pass in passes:
            for batch in prefix_batches(
                model,
                ids,
                budgets,
                padding=padding_id(tokenizer),
                rows_per_prompt=one_pass.num_sequences,
                tokens_per_batch=tokens_per_batch,
                share=share_prefix,
            ):
                numbers = [one_pass.uniforms(prompts[row], batch.budget) for row in batch.rows]
                decoded = decode(
                    model,
                    batch,
                    end_of_text,
                    torch.from_numpy(np.stack(numbers)),
                    one_pass.num_beams,
                    greedy=one_pass.greedy,
                    temperature=one_pass.sampling[0],
                    top_p=one_pass.sampling[1],
                )
                for row, found in zip(batch.rows, decoded, strict=True):
                    for way in one_pass.ways:
                        part = one_pass.part(found, *ways[way])
                        completions[way, row] = _completion(part, tokenizer, end, vote_on)
                bar.update(len(batch.rows))
    return [[completions[way, row] for row in range(len(prompts))] for way in range(len(ways))]


def _encode(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of each prompt by itself."""
    check_characters(tokenizer, prompts)
    encoded = [list(ids) for ids in tokenizer(list(prompts))["input_ids"]]
    known = model.get_input_embeddings().num_embeddings
    for row, ids in enumerate(encoded):
        if not ids:
            raise ValueError(f"question {row} has an empty prompt: there is nothing for the model to go on from.")
        if max(ids) >= known:
            raise ValueError(
                f"question {row}: the tokenizer gives token {max(ids)}, but the model has {known} embeddings: "
                "one is not for the other."
            )
    return encoded


def _completion(
    found: Decoded, tokenizer: PreTrainedTokenizerBase, end: str, vote_on: Callable[[str], str | None]
) -> Completion:
    hypotheses = [found.greedy] if found.greedy is not None else found.samples or found.beams
    texts = [answer_text(tokenizer, list(h.tokens), [], end) for h in hypotheses]
    if len(found.samples) > 1:
        place = elect(hypotheses, [vote_on(text) for text in texts])
    else:  # one hypothesis, or beams, of which one that is complete goes first
        place = next((i for i, h in enumerate(hypotheses) if h.complete), 0)
    chosen = hypotheses[place]
    return Completion(
        text=texts[place],
        complete=chosen.complete,
        log_probability=chosen.log_probability,
        new_tokens=found.beam_tokens if found.beams else sum(len(h.tokens) for h in hypotheses),
        candidates=tuple(texts),
    )


def elect(samples: Sequence[Hypothesis], votes: Sequence[str | None]) -> int:
    """The place of the sample that stands for the vote that most samples gave.

    Equally frequent votes: the one whose distinct samples have the greater probability together; then the one that
    was given first. Of a vote's samples the most probable one stands for it. Without any vote, all samples count.
    """
    places = defaultdict(list)
    for place, vote in enumerate(votes):
        if vote is not None:
            places[vote].append(place)

    def weight(group: list[int]) -> tuple[int, float]:
        distinct = {samples[place].tokens: samples[place].log_probability for place in group}
        return len(group), float(np.logaddexp.reduce(list(distinct.values())))

    group = max(places.values(), key=weight, default=range(len(samples)))
    return max(group, key=lambda place: samples[place].log_probability)
