"""Muon for the matrices and AdamW for the rest, behind the face of one optimizer."""

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.training.optimizer import MuonWithAdamW, sort_parameters

SIZES = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
}
NO_DROPOUT = {"embedding_dropout": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0}


def vanilla(**fields):
    torch.manual_seed(0)
    return VanillaGPTForCausalLM(VanillaGPTConfig(**SIZES, **NO_DROPOUT, **fields))


def perceiver(**fields):
    torch.manual_seed(0)
    return PerceiverGPTForCausalLM(PerceiverGPTConfig(**SIZES, **NO_DROPOUT, num_latents=6, **fields))


def set_gradients(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def walk(model, optimizer, seeds, scheduler=None):
    for seed in seeds:
        set_gradients(model, seed)
        optimizer.step()
        if scheduler:
            scheduler.step()


def assert_equal(model, other):
    for (name, weight), (_, again) in zip(model.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(weight, again), name


@pytest.mark.parametrize("build", [vanilla, perceiver])
@pytest.mark.parametrize("fields", [{}, {"tie_word_embeddings": True}], ids=["untied", "tied"])
def test_every_parameter_is_in_exactly_one_group(build, fields):
    model = build(**fields)
    sorted_ids = [id(parameter) for group in sort_parameters(model) for parameter in group]
    assert len(sorted_ids) == len(set(sorted_ids))
    assert set(sorted_ids) == {id(parameter) for parameter in model.parameters()}


@pytest.mark.parametrize("build", [vanilla, perceiver])
def test_matrices_tables_and_vectors_are_told_apart_by_what_they_do(build):
    model = build()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    matrices, tables, vectors = ({names[id(item)] for item in group} for group in sort_parameters(model))
    expected = {"model.embeddings.tokens.weight", "model.embeddings.positions.weight", "lm_head.weight"}
    if build is perceiver:
        expected.add("model.down_block.latents")
    assert tables == expected
    assert all("proj" in name and name.endswith("weight") for name in matrices)
    assert len(matrices) == SIZES["num_hidden_layers"] * 6
    assert all(name.endswith("bias") or "norm" in name for name in vectors)


def test_frozen_parameters_are_left_out():
    model = vanilla()
    model.lm_head.weight.requires_grad_(False)
    model.model.layers[0].mlp.up_proj.weight.requires_grad_(False)
    kept = {id(parameter) for group in sort_parameters(model) for parameter in group}
    assert kept == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


def test_steps_equal_those_of_the_two_optimizers_run_apart():
    model, apart = vanilla(), vanilla()
    matrices, tables, vectors = sort_parameters(apart)
    muon = torch.optim.Muon(matrices, lr=0.01, weight_decay=0.2, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(
        [{"params": tables, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}],
        lr=0.01,
        betas=(0.8, 0.9),
    )
    ours = MuonWithAdamW(model, 0.01, weight_decay=0.2, betas=(0.8, 0.9))
    for seed in range(3):
        walk(model, ours, [seed])
        set_gradients(apart, seed)
        muon.step()
        adamw.step()
    for (name, weight), (_, again) in zip(model.named_parameters(), apart.named_parameters(), strict=True):
        torch.testing.assert_close(weight, again, rtol=1e-6, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")


def test_weight_decay_shrinks_matrices_and_tables_but_no_vector():
    model = vanilla()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    MuonWithAdamW(model, 0.1, weight_decay=0.5).step()
    for name, parameter in model.named_parameters():
        expected = 1.0 if parameter.ndim < 2 else 0.95
        torch.testing.assert_close(parameter, torch.full_like(parameter, expected), msg=name)


@pytest.mark.parametrize("build", [vanilla, perceiver])
def test_a_reloaded_state_goes_on_bit_for_bit(build, tmp_path):
    model = build()
    optimizer = MuonWithAdamW(model, 0.01)
    walk(model, optimizer, [0, 1])
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    again = build()
    again.load_state_dict(model.state_dict())
    reloaded = MuonWithAdamW(again, 0.5)  # the rate comes from the state
    reloaded.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    walk(model, optimizer, [2, 3])
    walk(again, reloaded, [2, 3])
    assert_equal(model, again)


def test_a_scheduler_steers_both_optimizers():
    model = vanilla()
    optimizer = MuonWithAdamW(model, 0.01, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 if step == 0 else 0.0)
    walk(model, optimizer, [0], scheduler)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0, 0.0]
    before = [parameter.clone() for parameter in model.parameters()]
    walk(model, optimizer, [1])
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_a_scheduler_still_steers_after_a_reload():
    model = vanilla()
    optimizer = MuonWithAdamW(model, 0.01, weight_decay=0.0)
    walk(model, optimizer, [0])
    optimizer.load_state_dict(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [parameter.clone() for parameter in model.parameters()]
    walk(model, optimizer, [1])
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_a_closure_is_called_with_gradients_on_and_its_loss_returned():
    model = vanilla()
    optimizer = MuonWithAdamW(model, 0.01)
    ids = torch.arange(2, 12).unsqueeze(0)

    def closure():
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(5)]
    assert losses[-1] < losses[0]


def test_a_model_without_a_head_is_sorted_too():
    assert isinstance(vanilla().model.embeddings.tokens, nn.Embedding)
    matrices, tables, vectors = sort_parameters(vanilla().model)
    assert (len(tables), len(matrices)) == (2, SIZES["num_hidden_layers"] * 6)
    assert all(vector.ndim == 1 for vector in vectors)


def stock_model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2))


def test_the_matrices_of_a_stock_gpt2_are_found_although_they_stand_transposed():
    model = stock_model()
    matrices, tables, vectors = sort_parameters(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert len(matrices) == 2 * 4 and all("c_" in names[id(parameter)] for parameter in matrices)
    assert {names[id(parameter)] for parameter in tables} == {"transformer.wte.weight", "transformer.wpe.weight"}
    assert all(parameter.ndim == 1 for parameter in vectors)


def test_muon_takes_the_transposed_step_for_a_transposed_matrix():
    weight, gradient = torch.randn(6, 10, generator=torch.Generator().manual_seed(1)), torch.ones(6, 10).tril()
    plain, transposed = (nn.Parameter(w.clone().contiguous()) for w in (weight, weight.T))
    plain.grad, transposed.grad = gradient.clone(), gradient.T.clone().contiguous()
    for parameter in (plain, transposed):
        torch.optim.Muon([parameter], lr=0.1, adjust_lr_fn="match_rms_adamw").step()
    assert not torch.equal(plain, weight)
    torch.testing.assert_close(plain, transposed.T, atol=2e-3, rtol=0)  # its iterations run in bfloat16


def test_a_model_without_a_matrix_for_muon_is_refused_and_the_other_optimizer_named():
    model = stock_model()
    for parameter in sort_parameters(model)[0]:
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="no weight matrix .* in GPT2LMHeadModel: use --optimizer adamw"):
        MuonWithAdamW(model, 0.01)
