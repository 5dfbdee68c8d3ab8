"""Sizes, initial weights, loss, accumulation and gradient checkpointing."""

import math

import pytest
import torch
from torch import nn

from closedbook.modeling.attention_linformer import LinformerAttention
from closedbook.modeling.attention_synthesizer import DenseSynthesizerAttention, RandomSynthesizerAttention
from closedbook.modeling.positions import labelled_places


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
        elif isinstance(module, LinformerAttention):
            for landmarks in (module.key_landmarks, module.value_landmarks):
                assert landmarks.std().item() == pytest.approx(module.block_size**-0.5, rel=0.35), name
        elif isinstance(module, RandomSynthesizerAttention):
            assert module.position_scores.std().item() == pytest.approx(1, rel=0.1), name
        elif isinstance(module, DenseSynthesizerAttention):
            assert 0.0009 < module.w2.abs().max() <= 0.001 and not module.b2.any(), name
    assert residual == 2 * layers
    if getattr(model.config, "has_up_block", False):
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


def test_the_loss_alone_has_the_value_and_the_gradients_of_the_loss_beside_logits(variant):
    tokens = variant.tokens(3, 2 * variant.block)
    positions = torch.arange(2 * variant.block) % variant.block  # two examples a row
    positions = (positions - 7).where(positions >= 7, positions).expand(3, -1)
    labels = tokens.masked_fill(torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0)) < 0.6, -100)
    labels[1] = -100  # a row without anything to learn
    found = {}
    for loss_only in (False, True):
        model = variant.model().train()
        if loss_only and variant.name in ("vanilla", "spread-every-3rd"):  # both kinds of last blocks
            model.gradient_checkpointing_enable()
        outputs = model(
            tokens,
            position_ids=positions,
            labels=labels,
            num_items_in_batch=9,
            loss_only=loss_only,
            use_cache=False,
        )
        outputs.loss.backward()
        assert (outputs.logits is None) == loss_only
        found[loss_only] = outputs.loss.item(), {name: p.grad for name, p in model.named_parameters()}
    (expected, gradients), (loss, again) = found[False], found[True]
    assert loss == pytest.approx(expected, rel=1e-5)
    for name, gradient in gradients.items():
        if gradient is None:
            assert again[name] is None, name
            continue
        torch.testing.assert_close(again[name], gradient, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_the_loss_alone_takes_labels_and_knows_those_already_shifted(variant):
    model, tokens = variant.model(), variant.tokens(2, 9)
    with pytest.raises(ValueError, match="labels"):
        model(tokens, loss_only=True)
    shifted = torch.nn.functional.pad(tokens, (0, 1), value=-100)[:, 1:]
    with torch.no_grad():
        expected = model(tokens, labels=tokens).loss
        assert model(tokens, labels=tokens, loss_only=True).loss.item() == pytest.approx(expected.item(), rel=1e-5)
        given = model(tokens, labels=tokens, shift_labels=shifted, loss_only=True).loss
    assert given.item() == pytest.approx(expected.item(), rel=1e-5)


def test_places_with_a_target_are_filled_up_by_others_as_far_as_there_are_any():
    targets = torch.tensor([[5, -100, 7, -100], [-100, 3, -100, -100]])
    assert labelled_places(targets).tolist() == [0, 2, 5]
    assert labelled_places(targets, multiple=4).tolist() == [0, 2, 5, 1]
    assert labelled_places(targets, multiple=16).tolist() == [0, 2, 5, 1, 3, 4, 6, 7]
    assert labelled_places(targets[:0], multiple=4).tolist() == []


def test_the_last_block_works_for_labelled_positions_alone(variant):
    model, tokens = variant.model(), variant.tokens(2, 12)
    labels = torch.full_like(tokens, -100)
    labels[0, 5] = labels[1, 7] = labels[1, 11] = 3
    seen = []
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    if getattr(model.config, "latent_layout", None) != "last":  # there the last block is over folded stretches
        blocks = [m for name, m in model.named_modules() if name.endswith(".mlp")]
        blocks[-1].register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    with torch.no_grad():
        model(tokens, labels=labels, loss_only=True)
    assert set(seen) == {(3, model.config.hidden_size)}


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
        alone = {"spread-one-latent": ("layers", "down_block"), "last-one": ("layers",)}.get(variant.name, ())
        if any(block in name for block in alone) and ("q_proj" in name or "k_proj" in name):
            continue  # a lone latent reads itself, or the first token, whatever it asks
        if name.endswith("down_block.latents"):
            # nothing is predicted at the last place, so a latent that stands there learns nothing
            used = len(range(0, variant.block - 1, model.config.tokens_per_latent))
            used = min(used, model.config.num_latents)
            assert parameter.grad[:used].abs().amax(-1).all(), name
            assert not parameter.grad[used:].any()
        elif name.endswith("_landmarks"):
            # the last block is never past, so nobody reads its landmarks; of every other block all are read
            learning = parameter.grad.abs().flatten(1).min(-1).values > 0
            assert learning[:-1].all() and not learning[-1] and not parameter.grad[-1].any(), name
        elif name.endswith("position_scores") and variant.name.startswith("vanilla"):
            # a score is read where it is not of a later place and has others beside it; of the last place
            # nothing is predicted, so its row lives through the layers above, of which it is no input
            rows, columns = parameter.shape[1:]
            read = torch.ones(rows, columns, dtype=torch.bool).tril()
            read[0] = read[-1] = False
            assert torch.equal(parameter.grad.bool(), read.expand_as(parameter)), name
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


def test_every_weight_is_used_in_every_step(variant):
    """Processes that average gradients need not look which weights had none (`ddp_find_unused_parameters`)."""
    model = variant.model()
    ids = variant.tokens(2, 12)
    model(ids, labels=ids).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
