"""BigBird's random blocks are drawn once and travel with the configuration; its cost follows its blocks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig, choose_random_blocks
from closedbook.modeling.mixing import mix_tokens
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM

# For the reference configuration: 8 blocks of 16 tokens, by seed.
DRAWS = {
    0: [[], [], [], [1], [2], [1], [2], [3]],
    1: [[], [], [], [1], [2], [1], [4], [1]],
}
SMALL = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 20}


def bigbird(**fields) -> VanillaGPTConfig:
    return VanillaGPTConfig(**{"attention": "bigbird", **fields})


def test_the_draw_of_a_seed_is_the_same_in_every_process_and_version():
    # drawn elsewhere: neither Python's nor torch's generator may move it
    assert bigbird().random_blocks == DRAWS[0]
    assert bigbird(random_block_seed=1).random_blocks == DRAWS[1]


@settings(max_examples=50)
@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 4), st.integers(1, 5), st.integers(0, 99))
def test_random_blocks_lie_in_the_past_outside_of_what_is_read_anyway(blocks, count, first, window, seed):
    drawn = choose_random_blocks(blocks, count, first, window, seed)
    assert len(drawn) == blocks
    for block, chosen in enumerate(drawn):
        candidates = set(range(first, block - window + 1))
        assert set(chosen) <= candidates
        assert chosen == sorted(set(chosen))
        assert len(chosen) == min(count, len(candidates))


def test_every_past_block_is_drawn_by_some_seed():
    drawn = {choose_random_blocks(8, 1, 1, 2, seed)[7][0] for seed in range(100)}
    assert drawn == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("config_class", [VanillaGPTConfig, PerceiverGPTConfig])
def test_the_draw_is_saved_and_not_made_again(config_class, tmp_path):
    config = config_class(attention="bigbird", attention_block_size=8, random_block_seed=3)
    config.random_block_seed = 4  # a reader who would draw again would draw something else
    config.save_pretrained(tmp_path)
    assert config_class.from_pretrained(tmp_path).random_blocks == config.random_blocks
    assert config_class(attention="bigbird", attention_block_size=8, random_block_seed=4).random_blocks != (
        config.random_blocks
    )


def test_random_blocks_given_by_hand_are_taken_and_read():
    by_hand = [[], [], [], [0], [0, 1], [2]]
    fields = {**SMALL, "max_position_embeddings": 24, "attention_block_size": 4, "num_window_blocks": 1}
    config = bigbird(num_global_blocks=0, num_random_blocks=2, random_blocks=by_hand, **fields)
    assert config.random_blocks == by_hand
    model = VanillaGPTForCausalLM._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        weights = model(torch.arange(24).remainder(20).unsqueeze(0), output_attentions=True).attentions[0][0, 0]
    read = (weights > 0).view(6, 4, 6, 4).any(1).any(-1)
    expected = [{block, *chosen} for block, chosen in enumerate(by_hand)]
    assert [set(row.nonzero().flatten().tolist()) for row in read] == expected


def test_a_loaded_model_reads_the_blocks_of_the_saved_one(tmp_path):
    torch.manual_seed(0)
    fields = {**SMALL, "max_position_embeddings": 64, "attention_block_size": 4, "initializer_range": 0.3}
    model = VanillaGPTForCausalLM(bigbird(random_block_seed=7, **fields)).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    other = VanillaGPTForCausalLM(bigbird(random_block_seed=8, **fields)).eval()
    other.load_state_dict(model.state_dict())
    tokens = torch.randint(2, 20, (1, 64))
    with torch.no_grad():
        assert torch.equal(loaded(tokens).logits, model(tokens).logits)
        assert not torch.allclose(other(tokens).logits, model(tokens).logits, atol=1e-3)


def test_flex_attention_visits_the_blocks_of_the_pattern_only():
    visited = {}
    for length in (1024, 2048):
        config = bigbird(max_position_embeddings=length, attention_block_size=128, **SMALL)
        config._attn_implementation = "flex_attention"
        with torch.compiler.set_stance("force_eager"):
            inputs = torch.zeros(1, length, config.hidden_size)
            mask = mix_tokens(config, inputs, None, None, None)["attention_mask"]
        partial, full = mask.kv_num_blocks, mask.full_kv_num_blocks
        blocks = (partial + (0 if full is None else full)).flatten()
        num_blocks = length // 128
        expected = [
            len({*range(max(0, block - 1), block + 1), 0, *config.random_blocks[block]})
            for block in range(num_blocks)
        ]
        assert blocks.tolist() == expected
        visited[length] = int(blocks.sum())
    # a window of 2, one global and one random block: 4 for every block but the first three
    assert visited == {1024: 1 + 2 + 3 + 4 * 5, 2048: 1 + 2 + 3 + 4 * 13}
