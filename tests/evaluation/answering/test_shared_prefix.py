"""Prompts are grouped so that the fewest tokens are read, and their batches keep to budget and padding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from closedbook.evaluation.answering.abilities import structure
from closedbook.evaluation.answering.shared_prefix import (
    TOKENS_PER_PASS,
    common_prefix_length,
    group_by_prefix,
    prefix_batches,
)

SIZES = {"vocab_size": 9, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, intermediate_size=16)),
    "bloom": lambda: BloomForCausalLM(BloomConfig(**SIZES)),
    "mamba": lambda: MambaForCausalLM(MambaConfig(**SIZES)),
}
token_lists = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=40), min_size=1, max_size=8)


@given(token_lists, st.integers(0, 60))
def test_groups_hold_every_prompt_once_and_share_what_they_say(endings, length):
    prompts = [[0] * length + ending for ending in endings]
    groups = group_by_prefix(prompts)
    assert sorted(row for group in groups for row in group.rows) == list(range(len(prompts)))
    for group in groups:
        first = prompts[group.rows[0]]
        assert all(prompts[row][: group.shared] == first[: group.shared] for row in group.rows)
        assert all(len(prompts[row]) > group.shared for row in group.rows)
        assert group.shared == 0 or (len(group.rows) - 1) * group.shared > TOKENS_PER_PASS


@given(st.lists(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=3), min_size=1, max_size=6))
def test_no_other_way_to_cut_reads_fewer_tokens(pieces):
    # each piece a run of 40 equal tokens, so that sharing pays now and then
    prompts = [[token for token in piece for _ in range(40)] for piece in pieces]
    ordered = sorted(prompts)

    def cost(group: list[list[int]]) -> int:
        shared = min(common_prefix_length(group[0], group[-1]), min(map(len, group)) - 1)
        whole = sum(map(len, group))
        return TOKENS_PER_PASS + min(whole, whole - (len(group) - 1) * shared + TOKENS_PER_PASS)

    def least(start: int) -> int:
        ends = range(start + 1, len(ordered) + 1)
        return min((cost(ordered[start:end]) + least(end) for end in ends), default=0)

    found = [
        TOKENS_PER_PASS * (1 + (group.shared > 0))
        + sum(len(prompts[row]) - group.shared for row in group.rows)
        + group.shared
        for group in group_by_prefix(prompts)
    ]
    assert sum(found) == least(0)


def test_one_odd_prompt_does_not_spoil_the_sharing_of_the_others():
    prompts = [[7] * 50 + [row] for row in range(10)]
    prompts.insert(4, [1] * 40)
    groups = {group.rows: group.shared for group in group_by_prefix(prompts)}
    assert groups == {(4,): 0, (0, 1, 2, 3, 5, 6, 7, 8, 9, 10): 50}


@pytest.mark.parametrize("name", MODELS)
def test_batches_keep_to_the_token_budget_and_pad_only_where_the_model_can(name):
    prompts = [[1] * 20 + [2] * (1 + row % 3) for row in range(12)]
    options = {"padding": 0, "rows_per_prompt": 2, "tokens_per_batch": 300, "share": True}
    model = MODELS[name]()
    with torch.inference_mode():
        batches = list(prefix_batches(model, prompts, [5] * 12, **options))
    assert sorted(row for batch in batches for row in batch.rows) == list(range(12))
    able = structure(model)
    for batch in batches:
        width = batch.attention_mask.shape[1]
        assert len(batch.rows) * 2 * (width + batch.budget) <= 300
        assert batch.attention_mask.sum(1).tolist() == [len(prompts[row]) for row in batch.rows]
        assert able.pads_between or bool(batch.attention_mask.all())
        assert (batch.cache is not None) == able.shares
        assert batch.input_ids.shape[1] == width - (20 if able.shares else 0)
