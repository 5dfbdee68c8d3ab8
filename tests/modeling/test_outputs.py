"""What a model returns, from what it may be given, and in which precision."""

import pytest
import torch


@torch.no_grad()
def test_logits_to_keep_are_the_last_ones_or_those_asked_for(variant):
    model, tokens = variant.model(), variant.tokens(2, 11)
    logits = model(tokens).logits
    assert logits.shape == (2, 11, variant.vocabulary)
    # by processor, a product of fewer rows is summed in another order: 1.3e-6 seen for logits of the order of 1
    for count in (1, 3, 11):
        kept = model(tokens, logits_to_keep=count).logits
        torch.testing.assert_close(kept, logits[:, -count:], atol=1e-5, rtol=0)
    places = torch.tensor([0, 4, 7])
    kept = model(tokens, logits_to_keep=places).logits
    torch.testing.assert_close(kept, logits[:, places], atol=1e-5, rtol=0)


@torch.no_grad()
def test_embeddings_give_the_logits_of_their_tokens(variant):
    model, tokens = variant.model(), variant.tokens(2, 11)
    embeddings = model.get_input_embeddings()(tokens)
    assert torch.equal(model(inputs_embeds=embeddings).logits, model(tokens).logits)
    for wrong in ({}, {"input_ids": tokens, "inputs_embeds": embeddings}):
        with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
            model(**wrong)


def shapes_of_weights(variant, model, length: int) -> list[tuple[int, int]]:
    """Of each layer that has weights over tokens or latents."""
    config, layers = model.config, model.config.num_hidden_layers
    if config.model_type == "vanilla_gpt" or config.latent_layout == "last":
        outer, inner = [(length, length)], [(length, length)] * (layers - 1)
    else:
        limit = length if variant.blind_from is None else variant.blind_from
        count = len(range(0, min(length, limit), config.tokens_per_latent))
        raw = 0 if config.latent_layout == "prefix" else length
        outer, inner = [(count, length), (length, count + raw)], [(count, count)] * (layers - 2)
    if not variant.has_attentions:  # landmarks are no tokens
        return outer if config.model_type == "perceiver_gpt" else []
    return [outer[0], *inner, *outer[1:]]


@torch.no_grad()
def test_attention_weights_sum_to_one_and_look_at_nothing_later(variant):
    model, length = variant.model("eager"), 11
    weights = model(variant.tokens(2, length), output_attentions=True).attentions
    shapes = shapes_of_weights(variant, model, length)
    assert [tuple(layer.shape) for layer in weights] == [(2, 4, *shape) for shape in shapes]
    for layer in weights:
        torch.testing.assert_close(layer.sum(-1), torch.ones(layer.shape[:-1]))
        if layer.shape[-2] == layer.shape[-1]:
            assert not layer.triu(1).any()
    if getattr(model.config, "has_up_block", False):
        anchors = range(0, weights[0].shape[-2] * model.config.tokens_per_latent, model.config.tokens_per_latent)
        for number, anchor in enumerate(anchors):
            assert not weights[0][:, :, number, anchor + 1 :].any()
            assert not weights[-1][:, :, :anchor, number].any()


@torch.no_grad()
def test_hidden_states_go_from_the_embeddings_to_the_normalised_end(variant):
    model, tokens = variant.model(), variant.tokens(2, 11)
    outputs = model(tokens, output_hidden_states=True)
    states = outputs.hidden_states
    assert len(states) == model.config.num_hidden_layers + 1
    embedded = model.get_input_embeddings()(tokens)
    if model.model.embeddings.positions is not None:
        embedded = embedded + model.model.embeddings.positions.weight[:11]
    torch.testing.assert_close(states[0], embedded)
    torch.testing.assert_close(model.lm_head(states[-1]), outputs.logits)


@torch.no_grad()
def test_outputs_can_be_a_tuple(variant):
    model, tokens = variant.model(), variant.tokens(2, 5)
    outputs = model(tokens, labels=tokens, return_dict=False, use_cache=False)
    assert outputs[0].dim() == 0 and outputs[1].shape == (2, 5, variant.vocabulary)


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_half_precision_stays_finite_and_close(variant, attention):
    model, tokens = variant.model(attention), variant.tokens(4, variant.block)
    mask = torch.stack([(torch.arange(variant.block) >= start).long() for start in (0, 1, 9, 23)])
    expected = model(tokens, attention_mask=mask).logits[mask.bool()]
    with torch.autocast("cpu", torch.bfloat16):
        autocast = model(tokens, attention_mask=mask).logits
    half = model.to(torch.bfloat16)(tokens, attention_mask=mask).logits
    for logits in (autocast, half):
        assert logits.isfinite().all()
        difference = logits[mask.bool()].float() - expected
        assert difference.std() < 0.05 * expected.std()


@torch.no_grad()
def test_hidden_states_and_weights_are_the_same_with_a_cache_and_without(variant):
    model, tokens = variant.model("eager"), variant.tokens(2, 11)
    asked = {"output_hidden_states": True, "output_attentions": True}
    cached, plain = (model(tokens, use_cache=use_cache, **asked) for use_cache in (True, False))
    for name in ("hidden_states", "attentions"):
        assert len(getattr(cached, name)) == len(getattr(plain, name))
        for one, other in zip(getattr(cached, name), getattr(plain, name), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
