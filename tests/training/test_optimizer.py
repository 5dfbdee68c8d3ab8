"""Muon for the matrices and AdamW for the rest, behind the face of one optimizer."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.training.optimizer import MuonWithAdamW, orthogonalised, share_out, sort_parameters

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


# Five iterations carry the rounding of 8 bits along, and batches round in another order than one matrix does.
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 2e-3}


@pytest.mark.parametrize("precision", list(CLOSE), ids=str)
def test_steps_equal_those_of_the_two_optimizers_run_apart(precision, monkeypatch):
    model, apart = vanilla(), vanilla()
    matrices, tables, vectors = sort_parameters(apart)
    muon = torch.optim.Muon(matrices, lr=0.01, weight_decay=0.2, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(
        [{"params": tables, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}],
        lr=0.01,
        betas=(0.8, 0.9),
    )
    if precision is torch.float32:  # torch's has no flag for it
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
    ours = MuonWithAdamW(model, 0.01, weight_decay=0.2, betas=(0.8, 0.9), precision=precision)
    for seed in range(3):
        walk(model, ours, [seed])
        set_gradients(apart, seed)
        muon.step()
        adamw.step()
    for (name, weight), (_, again) in zip(model.named_parameters(), apart.named_parameters(), strict=True):
        close = CLOSE[precision] if id(again) in {id(matrix) for matrix in matrices} else 1e-6
        torch.testing.assert_close(weight, again, rtol=0, atol=close, msg=lambda m, n=name: f"{n}: {m}")


def spectra():
    """Wide matrices of all kinds of spectra, by name."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    left, _, right = torch.linalg.svd(normal(32, 128), full_matrices=False)
    few = normal(32, 3) @ normal(3, 128)
    return {
        "full": normal(32, 128),
        "rank 1": normal(32, 1) @ normal(1, 128),
        "rank 3": few,
        "rank 3 and noise": few + 1e-4 * normal(32, 128),
        "falling to 1e-4": left @ torch.logspace(0, -4, 32).diag() @ right,
        "falling to 1e-8": left @ torch.logspace(0, -8, 32).diag() @ right,
        "tiny": 1e-12 * normal(32, 128),
        "zero": torch.zeros(32, 128),
    }


@pytest.mark.parametrize("name", list(spectra()))
def test_the_products_of_wide_matrices_lead_where_the_matrices_themselves_do(name):
    wide = spectra()[name]
    for matrix in (wide, wide.T, wide[:, :63]):  # the last one is too short for them
        (exact,) = orthogonalised([matrix.double()], torch.float64)
        (found,) = orthogonalised([matrix], torch.float32)
        assert (found - exact).norm() <= 1e-3 * exact.norm() + 1e-9


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6),
    seed=st.integers(0, 2**20),
)
def test_a_batch_orthogonalises_each_matrix_as_by_itself(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    matrices = [torch.randn(shape, generator=generator) for shape in shapes]
    together = orthogonalised(matrices, torch.float64)
    for matrix, found in zip(matrices, together, strict=True):
        assert found.shape == matrix.shape and found.dtype == torch.float64
        torch.testing.assert_close(found, orthogonalised([matrix], torch.float64)[0])
        # another way to the same: the iteration acts on singular values alone
        left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
        values = values / values.norm()
        for _ in range(5):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        torch.testing.assert_close(found, left @ values.diag() @ right, atol=1e-6, rtol=1e-6)


def test_a_gradient_of_zero_moves_nothing_and_a_parameter_without_one_is_left_alone():
    assert torch.equal(orthogonalised([torch.zeros(3, 5)], torch.float32)[0], torch.zeros(3, 5))
    model = vanilla()
    optimizer = MuonWithAdamW(model, 0.01, weight_decay=0.0)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    optimizer.step()
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


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
    matrix = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
    plain, transposed = (orthogonalised([given], torch.float32)[0] for given in (matrix, matrix.T.contiguous()))
    torch.testing.assert_close(plain, transposed.T)


def test_a_model_without_a_matrix_for_muon_is_refused_and_the_other_optimizer_named():
    model = stock_model()
    for parameter in sort_parameters(model)[0]:
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="no weight matrix .* in GPT2LMHeadModel: use --optimizer adamw"):
        MuonWithAdamW(model, 0.01)


def test_matrices_are_shared_out_evenly_and_each_to_one_process():
    shapes = [(256, 256)] * 16 + [(256, 1024), (1024, 256)] * 4
    for number in (1, 2, 3, 8):
        owners = share_out(shapes, number)
        work = [
            sum(min(s) ** 2 * max(s) for s, o in zip(shapes, owners, strict=True) if o == n) for n in range(number)
        ]
        assert len(owners) == len(shapes) and set(owners) == set(range(number))
        assert max(work) <= 1.25 * sum(work) / number
    assert share_out([(2, 2)], 4) == [0]
