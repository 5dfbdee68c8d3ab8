"""Law 4: a batch gives every row what it would get alone; side and amount of padding do not matter."""

import pytest
import torch

LENGTHS = [24, 1, 2, 9, 17, 23]
SIDES = ("left", "right", "both")
ATTENTION = pytest.mark.parametrize("attention", ["eager", "sdpa"])


def rows_of(variant) -> list[torch.Tensor]:
    return [variant.tokens(1, length, seed=number) for number, length in enumerate(LENGTHS)]


def padded(variant, rows: list[torch.Tensor], side: str, total: int):
    """Tokens and mask `(rows, total)`; the tokens under the padding are arbitrary. Places are slices."""
    tokens = variant.tokens(len(rows), total, seed=99)
    mask = torch.zeros_like(tokens)
    places = []
    for row, ids in enumerate(rows):
        length = ids.shape[1]
        start = {"left": total - length, "right": 0, "both": (total - length) // 2}[side]
        places.append(slice(start, start + length))
        tokens[row, places[row]] = ids[0]
        mask[row, places[row]] = 1
    return tokens, mask, places


def assert_rows_are(logits, places, expected, how) -> None:
    assert logits.isfinite().all(), how
    for row, (place, alone) in enumerate(zip(places, expected, strict=True)):
        torch.testing.assert_close(
            logits[row, place], alone, atol=1e-5, rtol=1e-5, msg=lambda text, row=row: f"{how}, row {row}: {text}"
        )


@torch.no_grad()
@ATTENTION
def test_a_padded_row_has_the_logits_of_the_row_alone(variant, attention):
    model, rows = variant.model(attention), rows_of(variant)
    expected = [model(row, use_cache=False).logits[0] for row in rows]
    for side in SIDES:
        for extra in (0, 1, 9) if variant.everywhere else (0, 9):
            tokens, mask, places = padded(variant, rows, side, variant.block + extra)
            for use_cache in (False, True):
                logits = model(tokens, attention_mask=mask, use_cache=use_cache).logits
                assert_rows_are(logits, places, expected, f"{side}, {extra} more, cache {use_cache}")


@torch.no_grad()
def test_positions_made_by_the_caller_as_generate_makes_them_change_nothing(variant):
    model, rows = variant.model(), rows_of(variant)
    expected = [model(row, use_cache=False).logits[0] for row in rows]
    for side in ("left", "right"):
        tokens, mask, places = padded(variant, rows, side, variant.block)
        for padding_position in (0, 1):
            position_ids = (mask.cumsum(-1) - 1).masked_fill(mask == 0, padding_position)
            for use_cache in (False, True):
                logits = model(tokens, attention_mask=mask, position_ids=position_ids, use_cache=use_cache).logits
                assert_rows_are(logits, places, expected, f"{side}, {padding_position}, cache {use_cache}")


@torch.no_grad()
def test_padding_inside_a_row_is_looked_through(variant):
    model = variant.model()
    tokens = variant.tokens(3, 20)
    mask = (torch.rand(3, 20, generator=torch.Generator().manual_seed(2)) < 0.6).long()
    kept = [mask[row].bool() for row in range(3)]
    expected = [model(tokens[row, kept[row]].unsqueeze(0), use_cache=False).logits[0] for row in range(3)]
    for position_ids in (None, (mask.cumsum(-1) - 1).clamp(min=0)):
        logits = model(tokens, attention_mask=mask, position_ids=position_ids, use_cache=False).logits
        assert_rows_are(logits, kept, expected, "own positions" if position_ids is None else "given positions")


def test_gradients_of_a_padded_batch_are_those_of_the_rows(variant):
    rows, num_items = rows_of(variant), sum(LENGTHS) - len(LENGTHS)
    single = variant.model().train()
    for row in rows:
        single(row, labels=row, num_items_in_batch=num_items).loss.backward()
    gradients = dict(single.named_parameters())
    batched = variant.model().train()
    for side in ("left", "right"):
        tokens, mask, places = padded(variant, rows, side, variant.block + 2)
        labels = tokens.masked_fill(mask == 0, -100)
        for row, place in enumerate(places):
            labels[row, place.start] = -100
        batched.zero_grad()
        batched(tokens, attention_mask=mask, labels=labels, num_items_in_batch=num_items).loss.backward()
        for name, parameter in batched.named_parameters():
            torch.testing.assert_close(
                parameter.grad, gradients[name].grad, atol=1e-5, rtol=1e-4, msg=f"{side}: {name}"
            )


def test_masks_of_another_shape_are_refused_or_obeyed(variant):
    model, tokens = variant.model(), variant.tokens(1, 6)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()[None, None]
    if model.config.model_type == "vanilla_gpt" and model.config.attention == "softmax":
        diagonal = torch.eye(6, dtype=torch.bool)[None, None]
        with torch.no_grad():
            logits = model(tokens, attention_mask=causal).logits
            torch.testing.assert_close(logits, model(tokens).logits, atol=1e-5, rtol=1e-5)
            logits = model(tokens, attention_mask=diagonal, use_cache=False).logits[:, -1]
            alone = model(tokens[:, -1:], position_ids=torch.tensor([[5]]), use_cache=False).logits[:, -1]
            torch.testing.assert_close(logits, alone, atol=1e-5, rtol=1e-5)
    else:
        with pytest.raises(ValueError, match=r"\(batch, tokens\) only.*position_ids that restart"):
            model(tokens, attention_mask=causal)


def test_a_mask_that_does_not_cover_the_tokens_is_refused(variant):
    if variant.name in ("vanilla", "vanilla-rotary"):
        pytest.skip("leaves its masks to the library")
    with pytest.raises(ValueError, match="attention_mask covers 5 tokens, but there are 9"):
        variant.model()(variant.tokens(2, 9), attention_mask=torch.ones(2, 5, dtype=torch.long))
