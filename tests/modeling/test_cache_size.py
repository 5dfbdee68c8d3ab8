"""What each cache keeps, in numbers: as much as its docstring says, whatever was read."""

import pytest
import torch
from transformers import DynamicCache

WIDTH = 32  # of the models under test


def kept(layer) -> int:
    """Numbers in the keys and values of one layer, a row."""
    return sum(tensor.numel() // tensor.shape[0] for tensor in (layer.keys, layer.values))


@torch.no_grad()
def sizes(variant, batch_size: int = 2) -> list[list[int]]:
    """For every number of tokens read, one at a time: the size of each layer."""
    model = variant.model()
    cache, history = DynamicCache(config=model.config), []
    for place in range(variant.block):
        model(variant.tokens(batch_size, 1, seed=place), past_key_values=cache, use_cache=True)
        history.append([kept(layer) for layer in cache.layers])
    return history


def columns_of_mixer(config, count: int) -> int:
    """Numbers that a layer of the configured attention keeps of `count` places."""
    if config.attention == "linformer":
        return 2 * WIDTH * (config.num_landmarks + config.attention_block_size)
    return count * (WIDTH + 1 if config.attention.startswith("synthesizer") else 2 * WIDTH)


def expected(config, num_tokens: int) -> list[int]:
    if config.model_type == "vanilla_gpt":
        return config.num_hidden_layers * [columns_of_mixer(config, num_tokens)]
    everything = 2 * WIDTH * num_tokens
    if config.latent_layout == "last":
        in_stretch = (num_tokens - 1) % config.num_latents + 1
        return [everything] + (config.num_hidden_layers - 1) * [columns_of_mixer(config, in_stretch)]
    limit = config.num_latents if config.latent_layout == "prefix" else num_tokens
    latents = len(range(0, min(num_tokens, limit), config.tokens_per_latent))
    raw = 0 if config.latent_layout == "prefix" else num_tokens
    inner = (config.num_hidden_layers - 2) * [columns_of_mixer(config, latents)]
    return [everything, *inner, 2 * WIDTH * (latents + raw)]


def test_a_cache_keeps_exactly_the_numbers_that_its_architecture_says(variant):
    history = sizes(variant)
    for read, layers in enumerate(history, start=1):
        assert layers == expected(variant.config(), read), f"after {read} tokens"


@pytest.mark.parametrize("batch_size", [1, 3])
def test_linformer_decodes_with_a_state_of_constant_size(variants, batch_size):
    variant = next(variant for variant in variants if variant.name == "vanilla-linformer")
    history = sizes(variant, batch_size)
    assert history[7] == history[15] == history[23] == history[0]


def test_inner_layers_of_the_last_layout_keep_one_stretch_at_most(variants):
    variant = next(variant for variant in variants if variant.name == "last-5")
    for layers in sizes(variant):
        assert max(layers[1:]) <= 2 * WIDTH * 5


@torch.no_grad()
def test_a_cache_filled_at_once_is_as_large_as_one_filled_token_by_token(variant):
    model = variant.model()
    for length in (8, 16, 24):
        cache = model(variant.tokens(2, length), use_cache=True, logits_to_keep=1).past_key_values
        at_once = [kept(layer) for layer in cache.layers]
        assert at_once == expected(model.config, length), f"after {length} tokens"
