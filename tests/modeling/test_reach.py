"""Law 1: no look-ahead, and exactly the reach that each architecture claims.

In float64, where nothing and very little are far apart: what is not read leaves no trace beyond rounding
(`LEAK`), and what is read leaves one that is a thousand times larger at least (`TRACE`).
"""

import pytest
import torch

IMPLEMENTATIONS = ["eager", "sdpa"]
LEAK, TRACE = 1e-12, 1e-9


def double(variant, attention: str = "sdpa"):
    return variant.model(attention).double()


def read_places(model, rows: int, position_ids=None, **kwargs) -> torch.Tensor:
    """`(length, length)`, the size of the gradient of some logit at place i by the embedding at place j."""
    length = rows
    torch.manual_seed(3)
    embeddings = model.get_input_embeddings()(torch.randint(2, model.config.vocab_size, (1, length)))
    embeddings = embeddings.detach().expand(length, -1, -1).clone().requires_grad_()
    if position_ids is not None:
        position_ids = position_ids.expand(length, -1)
    logits = model(inputs_embeds=embeddings, position_ids=position_ids, **kwargs).logits
    direction = torch.randn(logits.shape[-1], dtype=logits.dtype)
    every = torch.arange(length)
    (logits[every, every] @ direction).sum().backward()  # row i of the batch looks at its place i only
    return embeddings.grad.abs().amax(-1)


def assert_reads(trace: torch.Tensor, expected: set[int], place: int) -> None:
    """`trace`: for every token, how much the logits at `place` feel it."""
    read = torch.tensor([other in expected for other in range(len(trace))])
    missed = (read & (trace <= TRACE)).nonzero().flatten().tolist()
    assert not missed, f"the logits at {place} do not feel the tokens {missed}"
    leaked = (~read & (trace > LEAK)).nonzero().flatten().tolist()
    assert not leaked, f"the logits at {place} feel the tokens {leaked}"


@torch.no_grad()
@pytest.mark.parametrize("use_cache", [False, True], ids=["plain", "cache"])
def test_changing_a_token_changes_exactly_the_logits_that_read_it(variant, use_cache):
    model = double(variant)
    tokens = variant.tokens(1, variant.block).repeat(variant.block + 1, 1)
    for place in range(variant.block):
        tokens[place, place] = 2 + (tokens[place, place] - 1) % (variant.vocabulary - 2)
    logits = model(tokens, use_cache=use_cache).logits
    change = (logits[:-1] - logits[-1]).abs().amax(-1)  # (changed token, place)
    for place in range(variant.block):
        assert_reads(change[:, place], variant.reads(place), place)


@pytest.mark.parametrize("attention", IMPLEMENTATIONS)
def test_the_gradient_reaches_exactly_the_embeddings_that_the_layout_reads(variant, attention):
    model = double(variant, attention)
    for length in (1, 2, 7, variant.block):
        gradient = read_places(model, length)
        for place in range(length):
            assert_reads(gradient[place], variant.reads(place), place)


@pytest.mark.parametrize("attention", IMPLEMENTATIONS)
def test_the_gradient_never_leaves_an_example_of_a_packed_row(variant, attention):
    lengths = [1, 9, 4, 13, 1, 1]
    position_ids = torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0)
    starts = torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)
    gradient = read_places(double(variant, attention), sum(lengths), position_ids)
    for start, length in zip(starts.tolist(), lengths, strict=True):
        for place in range(length):
            expected = {start + other for other in variant.reads(place)}
            assert_reads(gradient[start + place], expected, start + place)
