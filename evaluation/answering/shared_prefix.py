"""Prompts that begin alike: what they share is read once, and its keys and values serve them all.

In-context prompts differ in their last line or two. A causal model's keys and values of the tokens before depend
on those tokens alone, so they are computed once, by a pass over one row, and repeated over the rows of each batch;
what is left of the prompts follows, padded between the shared part and the rest:

    shared shared shared  pad   pad   rest rest
    shared shared shared  pad   rest  rest rest
    shared shared shared  rest  rest  rest rest

What is shared is compared in tokens, after each prompt has been made into tokens by itself: the ids are those of
one prompt at a time, also where a word at the border is cut otherwise in other company.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import torch
from transformers import PreTrainedModel

from closedbook.evaluation.answering.abilities import abilities
from closedbook.evaluation.answering.prefix_reader import PromptBatch, read_prefix, repeat_cache

# A pass over a shared prefix must spare at least as many tokens: a pass over a few of them takes as long, because
# it fetches all the weights.
TOKENS_PER_PASS = 64


@dataclass(frozen=True)
class PromptGroup:
    """Prompts that are read after one shared beginning.

    Attributes:
        rows: Their places in the list of prompts.
        shared: Number of tokens that they share, 0 if sharing would not pay; less than any of them has.
    """

    rows: tuple[int, ...]
    shared: int


def group_by_prefix(prompts: Sequence[Sequence[int]]) -> list[PromptGroup]:
    """Groups with a shared beginning each, so that the fewest tokens are read.

    The rule: in alphabetical order of tokens, prompts that begin alike are neighbours. Of all ways to cut that
    order into groups, the one is taken that reads the fewest tokens, where n prompts with s shared tokens spare
    (n - 1) s, and a group and the pass over its shared part count as `TOKENS_PER_PASS` tokens each. So one odd
    prompt among many does not spoil their sharing, and prompts that share little stay one group that is read
    whole. Time grows with the square of the number of prompts, in numpy: a quarter of a second for 2,000.

    Args:
        prompts: Token ids, at least one each.
    """
    order = sorted(range(len(prompts)), key=lambda row: list(prompts[row]))
    lengths = np.array([len(prompts[row]) for row in order])
    # alike[i]: tokens that the prompts i - 1 and i of the order share
    alike = [0] + [common_prefix_length(prompts[a], prompts[b]) for a, b in pairwise(order)]
    saved_by = np.zeros(len(order) + 1)  # the most tokens spared among the first i prompts, groups paid for
    cuts: list[tuple[int, int]] = [(0, 0)]
    # shared[i]: tokens shared by the prompts i to `end` - 1; one of each is left over
    shared = np.empty(0, dtype=int)
    for end in range(1, len(order) + 1):
        if end > 1:
            shared = np.minimum(shared, alike[end - 1])
        shared = np.minimum(np.append(shared, lengths[end - 1] - 1), lengths[end - 1] - 1)
        sizes = end - np.arange(end)
        spared = np.maximum((sizes - 1) * shared - TOKENS_PER_PASS, 0)
        totals = saved_by[:end] + spared - TOKENS_PER_PASS
        start = int(totals.argmax())
        saved_by[end] = totals[start]
        cuts.append((start, int(shared[start]) if spared[start] > 0 else 0))
    groups = []
    end = len(order)
    while end:
        start, length = cuts[end]
        groups.append(PromptGroup(tuple(order[start:end]), length))
        end = start
    return groups[::-1]


def common_prefix_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    length = min(len(first), len(second))
    return next((place for place in range(length) if first[place] != second[place]), length)


def prefix_batches(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    budgets: Sequence[int],
    *,
    padding: int,
    rows_per_prompt: int,
    tokens_per_batch: int,
    share: bool,
) -> Iterator[PromptBatch]:
    """Batches to decode, each with the cache of what its prompts share, which decoding uses up.

    Prompts of a batch have the same budget, so that none shortens another's answer; the longest come first, so
    that memory runs out early or never.

    Args:
        prompts: Token ids, at least one each.
        budgets: How many new tokens each may spend.
        padding: The id of the token that stands for padding; of most models any, because it is never read.
        rows_per_prompt: Rows that decoding makes of a prompt at most.
        tokens_per_batch: Most tokens in a batch: rows times the longest prompt with its new tokens. A prompt for
            which that is too few makes a batch by itself.
        share: Whether prefixes are shared at all, where the model can.
    """
    able = abilities(model, prompts, budgets, padding)
    whole = [PromptGroup(tuple(range(len(prompts))), 0)]
    groups = group_by_prefix(prompts) if share and able.shares else whole
    for group in groups:
        cache = read_prefix(model, prompts[group.rows[0]][: group.shared]) if group.shared else None
        padded = able.pads_between if group.shared else able.pads_before
        for rows in _cut(group.rows, prompts, budgets, padded, rows_per_prompt, tokens_per_batch):
            rests = [prompts[row][group.shared :] for row in rows]
            width = max(map(len, rests))
            input_ids = torch.full((len(rows), width), padding)
            mask = torch.ones(len(rows), group.shared + width, dtype=torch.long)
            for place, rest in enumerate(rests):
                input_ids[place, width - len(rest) :] = torch.tensor(rest)
                mask[place, group.shared : group.shared + width - len(rest)] = 0
            yield PromptBatch(
                rows,
                input_ids.to(model.device),
                mask.to(model.device),
                budgets[rows[0]],
                None if cache is None else repeat_cache(cache, len(rows), model.device),
                caches=able.caches,
                positions=able.positions,
                together=able.together,
            )


def _cut(
    rows: Sequence[int],
    prompts: Sequence[Sequence[int]],
    budgets: Sequence[int],
    padded: bool,
    rows_per_prompt: int,
    tokens_per_batch: int,
) -> Iterator[list[int]]:
    """Rows of one batch after the other; of the same length where there must be no padding."""

    def kind(row: int) -> tuple[int, int]:
        return budgets[row], 0 if padded else len(prompts[row])

    order = sorted(rows, key=lambda row: (-len(prompts[row]), budgets[row]))
    for _, group in groupby(order, key=kind):
        alike = list(group)
        while alike:
            width = len(prompts[alike[0]]) + budgets[alike[0]]
            size = max(1, tokens_per_batch // (width * rows_per_prompt))
            yield alike[:size]
            del alike[:size]
