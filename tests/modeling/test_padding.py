"""Law 4: a batch gives every row what it would get alone; side and amount of padding do not matter."""

import pytest
import torch

LENGTHS = [24, 1, 2, 9, 17, 23]


def padded(variant, side: str, total: int):
    """Tokens and mask `(rows, total)`; the tokens under the padding are arbitrary. Places are slices."""
    tokens = variant.tokens(len(LENGTHS), total)
    mask = torch.zeros_like(tokens)
    places = []
    for row, length in enumerate(LENGTHS):
        start = {"left": total - length, "right": 0, "both": (total - length) // 2}[side]
        places.append(slice(start, start + length))
        mask[row, places[row]] = 1
    return tokens, mask, places


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right", "both"])
@pytest.mark.parametrize("extra", [0, 1, 9])
@pytest.mark.parametrize("use_cache", [False, True], ids=["plain", "cache"])
def test_a_padded_row_has_the_logits_of_the_row_alone(variant, attention, side, extra, use_cache):
    model = variant.model(attention)
    tokens, mask, places = padded(variant, side, variant.block + extra)
    logits = model(tokens, attention_mask=mask, use_cache=use_cache).logits
    assert logits.isfinite().all()
    for row, place in enumerate(places):
        alone = model(tokens[row : row + 1, place], use_cache=False).logits
        torch.testing.assert_close(logits[row : row + 1, place], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("padding_position", [0, 1])
def test_positions_made_by_the_caller_as_generate_makes_them_change_nothing(variant, padding_position):
    model = variant.model()
    for side in ("left", "right"):
        tokens, mask, places = padded(variant, side, variant.block)
        position_ids = (mask.cumsum(-1) - 1).masked_fill(mask == 0, padding_position)
        for use_cache in (False, True):
            logits = model(tokens, attention_mask=mask, position_ids=position_ids, use_cache=use_cache).logits
            for row, place in enumerate(places):
                alone = model(tokens[row : row + 1, place], use_cache=False).logits
                torch.testing.assert_close(logits[row : row + 1, place], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("given", [False, True], ids=["own-positions", "given-positions"])
def test_padding_inside_a_row_is_looked_through(variant, given):
    model = variant.model()
    tokens = variant.tokens(3, 20)
    mask = (torch.rand(3, 20, generator=torch.Generator().manual_seed(2)) < 0.6).long()
    position_ids = (mask.cumsum(-1) - 1).clamp(min=0) if given else None
    logits = model(tokens, attention_mask=mask, position_ids=position_ids, use_cache=False).logits
    for row in range(3):
        kept = mask[row].bool()
        alone = model(tokens[row, kept].unsqueeze(0), use_cache=False).logits[0]
        torch.testing.assert_close(logits[row, kept], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_gradients_of_a_padded_batch_are_those_of_the_rows(variant, side):
    tokens, mask, places = padded(variant, side, variant.block + 2)
    labels = tokens.masked_fill(mask == 0, -100)
    num_items = sum(LENGTHS) - len(LENGTHS)
    batched, single = variant.model().train(), variant.model().train()
    for row, place in enumerate(places):
        labels[row, place.start] = -100
    batched(tokens, attention_mask=mask, labels=labels, num_items_in_batch=num_items).loss.backward()
    for row, place in enumerate(places):
        ids = tokens[row : row + 1, place]
        single(ids, labels=ids, num_items_in_batch=num_items).loss.backward()
    gradients = dict(single.named_parameters())
    for name, parameter in batched.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-5, rtol=1e-4, msg=name)


def test_masks_of_another_shape_are_refused_or_obeyed(variant):
    model, tokens = variant.model(), variant.tokens(1, 6)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    if variant.name == "vanilla":
        with torch.no_grad():
            logits = model(tokens, attention_mask=causal).logits
            torch.testing.assert_close(logits, model(tokens).logits, atol=1e-5, rtol=1e-5)
    else:
        with pytest.raises(ValueError, match=r"\(batch, tokens\) only.*position_ids that restart"):
            model(tokens, attention_mask=causal)
