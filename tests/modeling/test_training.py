"""Sizes, initial weights, loss, accumulation and gradient checkpointing."""

import math

import pytest
import torch
from torch import nn

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM

# Law 7: the reference configuration, and the two published widths of the bottleneck
REFERENCE = {
    "vanilla": (VanillaGPTForCausalLM, VanillaGPTConfig, {}, 3_323_392),
    "perceiver, 64 latents": (PerceiverGPTForCausalLM, PerceiverGPTConfig, {}, 3_339_776),
    "perceiver, 32 latents": (PerceiverGPTForCausalLM, PerceiverGPTConfig, {"num_latents": 32}, 3_331_584),
    "published layout": (PerceiverGPTForCausalLM, PerceiverGPTConfig, {"latent_layout": "prefix"}, 3_339_776),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_the_reference_configuration_has_exactly_the_published_number_of_parameters(name):
    model_class, config_class, fields, expected = REFERENCE[name]
    with torch.device("meta"):
        model = model_class(config_class(**fields))
    assert model.num_parameters() == expected
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_fresh_weights_have_the_documented_spread(variant):
    torch.manual_seed(0)
    layers = variant.config().num_hidden_layers
    model = variant.model_class(variant.config(hidden_size=64, vocab_size=100, initializer_range=0.03))
    residual = 0
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            expected = 0.03
            if name.endswith(("o_proj", "down_proj")):
                expected, residual = 0.03 / math.sqrt(2 * layers), residual + 1
            assert module.weight.std().item() == pytest.approx(expected, rel=0.08), name
            assert module.weight.mean().item() == pytest.approx(0, abs=expected / 10), name
            if getattr(module, "bias", None) is not None:
                assert not module.bias.any(), name
        elif isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all() and not module.bias.any(), name
    assert residual == 2 * layers
    if "num_latents" in variant.fields:
        latents = model.model.down_block.latents
        assert latents.shape == (variant.fields["num_latents"], 64)
        assert latents.std().item() == pytest.approx(0.03, rel=0.3)


def test_the_head_has_no_bias_and_is_not_tied(variant):
    model = variant.model()
    assert model.lm_head.bias is None
    assert model.lm_head.weight.data_ptr() != model.get_input_embeddings().weight.data_ptr()


def test_the_loss_is_the_mean_cross_entropy_of_the_next_tokens_that_have_a_label(variant):
    model, tokens = variant.model(), variant.tokens(3, 15)
    labels = tokens.masked_fill(torch.rand(3, 15, generator=torch.Generator().manual_seed(0)) < 0.4, -100)
    with torch.no_grad():
        outputs = model(tokens, labels=labels)
    log_probabilities = outputs.logits.double().log_softmax(-1)
    terms = [
        -log_probabilities[row, place - 1, labels[row, place]].item()
        for row in range(3)
        for place in range(1, 15)
        if labels[row, place] != -100
    ]
    assert outputs.loss.item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    with torch.no_grad():
        summed = model(tokens, labels=labels, num_items_in_batch=7).loss
    assert summed.item() == pytest.approx(sum(terms) / 7, rel=1e-5)


def test_accumulated_batches_give_the_gradient_of_one_batch(variant):
    tokens = variant.tokens(4, 12)
    labels = tokens.clone()
    labels[0, 3:] = labels[1, :9] = labels[2, 1:] = -100  # very unevenly spread
    num_items = int((labels[:, 1:] != -100).sum())
    whole, halves = variant.model().train(), variant.model().train()
    expected = whole(tokens, labels=labels, num_items_in_batch=num_items).loss
    expected.backward()
    total = 0.0
    for half in (slice(0, 2), slice(2, 4)):
        loss = halves(tokens[half], labels=labels[half], num_items_in_batch=num_items).loss
        loss.backward()
        total += loss.item()
    assert total == pytest.approx(expected.item(), rel=1e-5)
    with torch.no_grad():
        assert expected.item() == pytest.approx(whole(tokens, labels=labels).loss.item(), rel=1e-5)
    gradients = dict(whole.named_parameters())
    for name, parameter in halves.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-6, rtol=1e-4, msg=name)


@pytest.mark.parametrize("how", [{"use_cache": False}, {}], ids=["plain", "default"])
@pytest.mark.parametrize("packed", [False, True], ids=["one-example", "packed"])
def test_gradient_checkpointing_changes_no_gradient(variant, how, packed):
    tokens = variant.tokens(2, 15)
    position_ids = torch.cat([torch.arange(6), torch.arange(9)]).expand(2, -1) if packed else None
    gradients = []
    for checkpointing in (False, True):
        model = variant.model(embedding_dropout=0.1, hidden_dropout=0.2, attention_dropout=0.2).train()
        if checkpointing:
            model.activation_checkpointing_enable()
            assert model.is_activation_checkpointing
        torch.manual_seed(5)  # the same dropout
        model(tokens, position_ids=position_ids, labels=tokens, **how).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-5, msg=name)


def test_every_parameter_learns(variant):
    model, tokens = variant.model().train(), variant.tokens(8, variant.block)
    model(tokens, labels=tokens).loss.backward()
    for name, parameter in model.named_parameters():
        if name.endswith("k_proj.bias"):
            continue  # a constant in every key shifts all scores alike: softmax does not see it
        if (
            variant.name == "spread-one-latent"
            and "up_block" not in name
            and ("q_proj" in name or "k_proj" in name)
        ):
            continue  # a lone latent reads the first token and itself, whatever it asks
        if name.endswith("down_block.latents"):
            # nothing is predicted at the last place, so a latent that stands there learns nothing
            used = len(range(0, variant.block - 1, model.config.tokens_per_latent))
            used = min(used, model.config.num_latents)
            assert parameter.grad[:used].abs().amax(-1).all(), name
            assert not parameter.grad[used:].any()
        else:
            assert parameter.grad.abs().max() > 1e-8, name


def test_dropout_acts_in_training_only(variant):
    rates = {"embedding_dropout": 0.3, "hidden_dropout": 0.3, "attention_dropout": 0.3}
    tokens = variant.tokens(1, 9)
    with torch.no_grad():
        model = variant.model(**rates)
        assert torch.equal(model(tokens).logits, variant.model()(tokens).logits)
        for name in rates:
            model = variant.model(**{name: 0.3}).train()
            assert not torch.equal(model(tokens).logits, model(tokens).logits), name
