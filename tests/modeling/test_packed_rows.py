"""Law 3: an example of a packed row has the logits and the gradients it would have alone."""

import pytest
import torch

from closedbook.data.objectives.table import Example
from closedbook.data.packing import PackingCollator

# lengths of the examples of each row; 40 tokens a row, more than the block
ROWS = [[5, 1, 7, 24], [13, 24], [1, 1, 1, 2, 3, 5, 8], [22]]
ROW_LENGTH = 40

HOW = {
    "plain": {"use_cache": False},
    "cache": {"use_cache": True},
    "default": {},
}


def packed_rows(variant, rows=ROWS, offsets=None, row_length=ROW_LENGTH):
    """Tokens and positions `(rows, row_length)`, and where each example lies.

    Every example starts at position 0, or at the one that `offsets` gives it. Padding has position 0.
    """
    tokens = variant.tokens(len(rows), row_length)
    position_ids = torch.zeros(len(rows), row_length, dtype=torch.long)
    places, number = [], 0
    for row, lengths in enumerate(rows):
        start = 0
        for length in lengths:
            offset = 0 if offsets is None else offsets[number]
            position_ids[row, start : start + length] = torch.arange(length) + offset
            places.append((row, start, start + length))
            start, number = start + length, number + 1
        tokens[row, start:] = 0
    return tokens, position_ids, places


def logits_alone(model, tokens, places) -> list[torch.Tensor]:
    return [model(tokens[row : row + 1, start:end], use_cache=False).logits[0] for row, start, end in places]


def assert_examples_are(logits, places, expected, how) -> None:
    assert logits.isfinite().all(), how
    for (row, start, end), alone in zip(places, expected, strict=True):
        torch.testing.assert_close(
            logits[row, start:end],
            alone,
            atol=1e-5,
            rtol=1e-5,
            msg=lambda text, where=(row, start): f"{how}, example at {where}: {text}",
        )


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_logits_of_packed_examples_are_those_of_separate_ones(variant, attention):
    model = variant.model(attention)
    tokens, position_ids, places = packed_rows(variant)
    expected = logits_alone(model, tokens, places)
    padding = torch.zeros_like(tokens)
    for row, start, end in places:
        padding[row, start:end] = 1
    masks = {"no mask": None, "mask of ones": torch.ones_like(tokens), "mask over the padding": padding}
    for name, mask in masks.items():
        for how, options in HOW.items():
            logits = model(tokens, position_ids=position_ids, attention_mask=mask, **options).logits
            assert_examples_are(logits, places, expected, f"{name}, {how}")


@torch.no_grad()
def test_examples_may_start_at_any_position(variant):
    model = variant.model()
    rows = [[5, 3, 7, 10], [13, 6, 2], [22]]
    offsets = [3, 1, 17, 5, 11, 2, 9, 2]
    tokens, position_ids, places = packed_rows(variant, rows, offsets)
    expected = [
        model(tokens[row : row + 1, start:end], position_ids=position_ids[row : row + 1, start:end]).logits[0]
        for row, start, end in places
    ]
    for how, options in HOW.items():
        logits = model(tokens, position_ids=position_ids, **options).logits
        assert_examples_are(logits, places, expected, how)


@torch.no_grad()
def test_where_an_example_starts_counting_changes_its_positions_and_not_its_reach(variant):
    model = variant.model()
    if model.model.embeddings.positions is not None:
        # without them, the offset must not matter at all; rotary positions are relative as they are
        model.model.embeddings.positions.weight.zero_()
    tokens = variant.tokens(1, 10)
    expected = model(tokens, use_cache=False).logits
    for offset in (1, 7, variant.block - 10):
        shifted = model(tokens, position_ids=torch.arange(10).unsqueeze(0) + offset, use_cache=False).logits
        torch.testing.assert_close(shifted, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_gradients_of_packed_examples_are_those_of_separate_ones(variant, attention):
    texts = ["abcdefg", "b", "hijkabcdijkabcdeabcdefgh", "ab", "cafebabe", "hijk", "kjihgfedcbakjihgfedcba"]
    examples = [Example(text, len(text) // 3) for text in texts]
    vocabulary = {character: number for number, character in enumerate("□⁇abcdefghijk")}
    batch = PackingCollator(vocabulary, row_length=ROW_LENGTH)(examples)
    num_items = int((batch["labels"][:, 1:] != -100).sum())

    separate = variant.model(attention).train()
    total = 0.0
    for example in examples:
        ids = torch.tensor([[vocabulary[character] for character in example.text]])
        labels = ids.clone()
        labels[:, : max(1, example.loss_start)] = -100
        part = separate(ids, labels=labels, num_items_in_batch=num_items, use_cache=False).loss
        part.backward()
        total += part.item()

    packed, gradients = variant.model(attention).train(), dict(separate.named_parameters())
    for how in ("plain", "default"):
        packed.zero_grad()
        loss = packed(**batch, num_items_in_batch=num_items, **HOW[how]).loss
        loss.backward()
        assert loss.item() == pytest.approx(total, rel=1e-5), how
        for name, parameter in packed.named_parameters():
            torch.testing.assert_close(
                parameter.grad, gradients[name].grad, atol=1e-5, rtol=1e-4, msg=f"{how}: {name}"
            )


def test_flash_attention_refuses_packed_rows_with_a_mask(variant):
    model = variant.model()
    if not model._supports_flash_attn:
        pytest.skip("refuses flash attention altogether")
    tokens, position_ids, _ = packed_rows(variant)
    model.config._attn_implementation_internal = "flash_attention_2"  # as on a machine that has it
    with pytest.raises(ValueError, match="packed rows with an attention_mask need"):
        model(tokens, position_ids=position_ids, attention_mask=torch.ones_like(tokens))


@torch.no_grad()
def test_packed_positions_beyond_the_block_are_refused(variant):
    position_ids = torch.arange(30).unsqueeze(0)
    with pytest.raises(ValueError, match=f"position 29 lies beyond this model's block of {variant.block}"):
        variant.model()(variant.tokens(1, 30), position_ids=position_ids)
