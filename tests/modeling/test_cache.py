"""Law 2, without `generate`: reading piece by piece through a cache gives the logits of reading at once.

Where pieces, lengths or places are drawn, each variant draws its own: a few for each are many for all.
"""

import copy
import random
import zlib

import pytest
import torch
from transformers import DynamicCache, StaticCache

from closedbook.modeling.configuration_gpt import VanillaGPTConfig


def read_in_pieces(model, tokens, sizes, cache=None, attention_mask=None) -> torch.Tensor:
    """Logits of `tokens`, read through a cache in pieces of the given sizes."""
    logits, start = [], 0
    for size in sizes:
        end = start + size
        mask = None if attention_mask is None else attention_mask[:, :end]
        outputs = model(tokens[:, start:end], attention_mask=mask, past_key_values=cache, use_cache=True)
        cache = outputs.past_key_values
        assert cache.get_seq_length() == end
        logits.append(outputs.logits)
        start = end
    return torch.cat(logits, dim=1)


def source_of(variant, *words) -> random.Random:
    """Draws of this variant's own, the same in every process."""
    return random.Random(zlib.crc32(" ".join(map(str, (variant.name, *words))).encode()))


def random_sizes(total: int, source: random.Random) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(source.randint(1, min(7, total - sum(sizes))))
    return sizes


def left_padding(lengths: list[int], total: int) -> torch.Tensor:
    return torch.stack([(torch.arange(total) >= total - length).long() for length in lengths])


@torch.no_grad()
def test_token_by_token_is_the_same_as_at_once(variant):
    model, tokens = variant.model(), variant.tokens(3, variant.block)
    expected = model(tokens, use_cache=False).logits
    logits = read_in_pieces(model, tokens, [1] * variant.block)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_pieces_of_any_sizes_are_the_same_as_at_once(variant, attention):
    model, tokens = variant.model(attention), variant.tokens(2, variant.block)
    expected = model(tokens, use_cache=False).logits
    source = source_of(variant, attention)
    for _ in range(3 if variant.everywhere else 1):
        sizes = random_sizes(variant.block, source)
        logits = read_in_pieces(model, tokens, sizes)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5, msg=lambda m, s=sizes: f"{s}: {m}")


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_left_padding_of_any_length_changes_nothing_when_read_in_pieces(variant, attention):
    model = variant.model(attention)
    source = source_of(variant, attention)
    lengths = [variant.block, 1, *(source.randint(2, variant.block - 1) for _ in range(3))]
    mask = left_padding(lengths, variant.block)
    tokens = variant.tokens(len(lengths), variant.block)
    expected = [
        model(tokens[row : row + 1, -length:], use_cache=False).logits for row, length in enumerate(lengths)
    ]
    # Token by token in one implementation, as each step is a forward pass; in pieces of the variant's own in both.
    single = [[1] * variant.block] if attention == "sdpa" else []
    for sizes in (*single, *(random_sizes(variant.block, source) for _ in range(1 + variant.everywhere))):
        logits = read_in_pieces(model, tokens, sizes, attention_mask=mask)
        for row, length in enumerate(lengths):
            torch.testing.assert_close(
                logits[row : row + 1, -length:],
                expected[row],
                atol=1e-5,
                rtol=1e-5,
                msg=lambda m, s=sizes, n=length: f"{n} tokens in pieces of {s}: {m}",
            )


@torch.no_grad()
def test_a_first_piece_of_nothing_but_padding_changes_nothing(variant):
    model, tokens = variant.model(), variant.tokens(2, 12)
    mask = left_padding([5, 3], 12)
    logits = read_in_pieces(model, tokens, [4, 3, 1, 4], attention_mask=mask)
    for row, length in enumerate([5, 3]):
        alone = model(tokens[row : row + 1, -length:], use_cache=False).logits
        torch.testing.assert_close(logits[row : row + 1, -length:], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_default_cache_passed_by_hand_works_as_well_as_a_configured_one(variant):
    model, tokens = variant.model(), variant.tokens(2, 15)
    expected = model(tokens, use_cache=False).logits
    for cache in (DynamicCache(), DynamicCache(config=model.config)):
        logits = read_in_pieces(model, tokens, [4, 1, 1, 6, 3], cache)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("padded", [False, True], ids=["full", "left-padded"])
def test_a_cropped_cache_goes_on_as_if_the_tokens_had_never_been_read(variant, padded):
    if not variant.croppable:
        pytest.skip("cannot take tokens back; the refusal is tested below")
    model = variant.model()
    lengths = [16, 9, 4] if padded else [16, 16, 16]
    mask = left_padding(lengths, 16)
    mask = torch.cat([mask, torch.ones(3, 8, dtype=torch.long)], dim=1)
    tokens, other = variant.tokens(3, 16), variant.tokens(3, 8, seed=9)
    filled = DynamicCache(config=model.config)
    read_in_pieces(model, tokens, [7, 1, 1, 7], filled, mask)
    # Nothing, parts of the last piece, all of it, and into those before; at and beside the edges of blocks of 4.
    for removed in range(13) if variant.everywhere else (0, 1, 2, 5, 12):
        cache = copy.deepcopy(filled)
        cache.crop(-removed)
        kept = 16 - removed
        assert cache.get_seq_length() == kept
        whole = torch.cat([tokens[:, :kept], other], dim=1)
        expected = model(whole, attention_mask=mask[:, : kept + 8], use_cache=False).logits[:, kept:]
        logits = []
        for step in range(kept, kept + 8, 2):
            piece = whole[:, step : step + 2]
            outputs = model(piece, attention_mask=mask[:, : step + 2], past_key_values=cache, use_cache=True)
            logits.append(outputs.logits)
        seen = mask[:, kept : kept + 8].bool()
        torch.testing.assert_close(torch.cat(logits, dim=1)[seen], expected[seen], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_cache_that_cannot_take_tokens_back_says_so_and_stays_as_it_was(variant):
    model, tokens = variant.model(), variant.tokens(2, 20)
    cache = DynamicCache(config=model.config)
    logits = [read_in_pieces(model, tokens[:, :16], [7, 1, 1, 7], cache)]
    assert cache.is_croppable == variant.croppable
    if variant.croppable:
        pytest.skip("can take tokens back")
    for removed in (-1, -5, -16):
        with pytest.raises(ValueError, match="no token can be taken back"):
            cache.crop(removed)
    cache.crop(0)
    outputs = model(tokens[:, 16:], past_key_values=cache, use_cache=True)
    assert outputs.past_key_values.get_seq_length() == 20
    logits = torch.cat([*logits, outputs.logits], dim=1)
    torch.testing.assert_close(logits, model(tokens, use_cache=False).logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_reordered_cache_belongs_to_the_reordered_rows(variant):
    model, tokens = variant.model(), variant.tokens(3, 20)
    mask = left_padding([20, 12, 15], 20)
    order = torch.tensor([2, 0, 0])
    changes = {
        "reorder_cache": (order, order),
        "batch_select_indices": (torch.tensor([1]), torch.tensor([1])),
        "batch_repeat_interleave": (2, torch.tensor([0, 0, 1, 1, 2, 2])),
    }
    filled = DynamicCache(config=model.config)
    read_in_pieces(model, tokens[:, :11], [10, 1], filled, mask)
    for method, (argument, rows) in changes.items():
        cache = copy.deepcopy(filled)
        getattr(cache, method)(argument)
        logits = []
        for place, end in ((11, 12), (12, 13), (13, 16), (16, 17), (17, 20)):
            outputs = model(
                tokens[rows, place:end],
                attention_mask=mask[rows, :end],
                past_key_values=cache,
                use_cache=True,
            )
            logits.append(outputs.logits)
        expected = model(tokens[rows], attention_mask=mask[rows], use_cache=False).logits[:, 11:]
        torch.testing.assert_close(torch.cat(logits, dim=1), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_cache_that_was_reset_is_as_good_as_new(variant):
    model, tokens = variant.model(), variant.tokens(2, 14)
    cache = DynamicCache(config=model.config)
    read_in_pieces(model, variant.tokens(2, 9, seed=5), [8, 1], cache)
    cache.reset()
    if cache.get_seq_length() != 0:
        pytest.skip("this library version zeroes dynamic layers instead of emptying them")
    logits = read_in_pieces(model, tokens, [6, 1, 7], cache)
    torch.testing.assert_close(logits, model(tokens, use_cache=False).logits, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_static_cache_gives_the_same_or_is_refused_clearly(variant):
    model, tokens = variant.model(), variant.tokens(2, 14)
    if variant.static_cache:
        cache = StaticCache(config=model.config, max_cache_len=variant.block)
        logits = [model(tokens[:, :6], past_key_values=cache).logits]
        logits += [model(tokens[:, i : i + 1], past_key_values=cache).logits for i in range(6, 14)]
        expected = model(tokens, use_cache=False).logits
        torch.testing.assert_close(torch.cat(logits, dim=1), expected, atol=1e-5, rtol=1e-5)
        return
    for config in (model.config, VanillaGPTConfig(num_hidden_layers=4)):
        with pytest.raises(ValueError, match=r"dynamic cache only.*DynamicCache\(config=model.config\)"):
            model(tokens, past_key_values=StaticCache(config=config, max_cache_len=variant.block))


@torch.no_grad()
def test_a_filled_cache_of_another_architecture_is_refused(variant, variants):
    model = variant.model()
    if set(model.config.layer_types) == {"full_attention"}:
        pytest.skip("keeps what every cache of transformers keeps")
    vanilla = next(other for other in variants if other.static_cache)
    cache = vanilla.model()(variant.tokens(1, 4), use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"another architecture.*DynamicCache\(config=model.config\)"):
        model(variant.tokens(1, 1), past_key_values=cache)


@torch.no_grad()
@pytest.mark.parametrize("use_cache", [False, True], ids=["plain", "cache"])
def test_tokens_beyond_the_block_are_refused_with_the_limit(variant, use_cache):
    model = variant.model()
    with pytest.raises(ValueError, match=f"block of {variant.block} tokens"):
        model(variant.tokens(1, variant.block + 1), use_cache=use_cache)
    cache = model(variant.tokens(1, variant.block), use_cache=True).past_key_values
    with pytest.raises(ValueError, match=f"block of {variant.block} tokens"):
        model(variant.tokens(1, 1), past_key_values=cache)
