"""Law 1: no look-ahead, and exactly the reach that each architecture claims."""

import pytest
import torch

IMPLEMENTATIONS = ["eager", "sdpa"]


def read_places(model, rows: int, position_ids=None, **kwargs) -> torch.Tensor:
    """`(length, length)`, the size of the gradient of some logit at place i by the embedding at place j."""
    length = rows
    torch.manual_seed(3)
    embeddings = model.get_input_embeddings()(torch.randint(2, model.config.vocab_size, (1, length)))
    embeddings = embeddings.detach().expand(length, -1, -1).clone().requires_grad_()
    if position_ids is not None:
        position_ids = position_ids.expand(length, -1)
    logits = model(inputs_embeds=embeddings, position_ids=position_ids, **kwargs).logits
    direction = torch.randn(logits.shape[-1])
    every = torch.arange(length)
    (logits[every, every] @ direction).sum().backward()  # row i of the batch looks at its place i only
    return embeddings.grad.abs().amax(-1)


@pytest.mark.parametrize("use_cache", [False, True], ids=["plain", "cache"])
def test_changing_a_token_changes_no_logit_before_it(variant, use_cache):
    model = variant.model()
    tokens = variant.tokens(1, variant.block).repeat(variant.block + 1, 1)
    for place in range(variant.block):
        tokens[place, place] = 2 + (tokens[place, place] - 1) % (variant.vocabulary - 2)
    with torch.no_grad():
        logits = model(tokens, use_cache=use_cache).logits
    for place in range(variant.block):
        torch.testing.assert_close(logits[place, :place], logits[-1, :place], atol=1e-5, rtol=0)


def test_changing_a_token_changes_exactly_the_logits_that_read_it(variant):
    model = variant.model()
    tokens = variant.tokens(1, variant.block).repeat(variant.block + 1, 1)
    for place in range(variant.block):
        tokens[place, place] = 2 + (tokens[place, place] - 1) % (variant.vocabulary - 2)
    with torch.no_grad():
        logits = model(tokens, use_cache=False).logits
    change = (logits[:-1] - logits[-1]).abs().amax(-1)
    for changed in range(variant.block):
        for place in range(variant.block):
            if changed in variant.reads(place):
                assert change[changed, place] > 1e-5, f"logits at {place} do not feel token {changed}"
            else:
                assert change[changed, place] < 1e-5, f"logits at {place} feel token {changed}"


@pytest.mark.parametrize("attention", IMPLEMENTATIONS)
def test_the_gradient_reaches_exactly_the_embeddings_that_the_layout_reads(variant, attention):
    gradient = read_places(variant.model(attention), variant.block)
    for place in range(variant.block):
        read = set(gradient[place].nonzero().flatten().tolist())
        assert read == variant.reads(place), f"at place {place}"


@pytest.mark.parametrize("attention", IMPLEMENTATIONS)
def test_the_gradient_never_leaves_an_example_of_a_packed_row(variant, attention):
    lengths = [1, 9, 4, 13, 1, 1]
    position_ids = torch.cat([torch.arange(length) for length in lengths]).unsqueeze(0)
    starts = torch.tensor(lengths).cumsum(0) - torch.tensor(lengths)
    gradient = read_places(variant.model(attention), sum(lengths), position_ids)
    for start, length in zip(starts.tolist(), lengths, strict=True):
        for place in range(length):
            read = set(gradient[start + place].nonzero().flatten().tolist())
            assert read == {start + other for other in variant.reads(place)}


def test_short_examples_have_the_same_reach_as_long_ones(variant):
    for length in (1, 2, 7):
        gradient = read_places(variant.model(), length)
        for place in range(length):
            assert set(gradient[place].nonzero().flatten().tolist()) == variant.reads(place)
