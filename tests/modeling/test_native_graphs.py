"""Models as graphs: `torch.compile` in one piece, forward and backward, and `torch.export` for any length."""

import shutil
from collections.abc import Callable

import pytest
import torch
from variants import VARIANTS

# Graphs take seconds to make: in the fast suite that of plain rows is made of every variant, and those of
# padded and packed rows and of training steps of one variant for each way of laying tokens out. The slow
# suite makes all.
FAST = ("vanilla-rotary", "vanilla-linformer", "spread-every-3rd", "last-synthesizer_dense")
EXPORTED = ("vanilla", "spread-spare-latents")


def layers(variant) -> dict[str, int]:
    """The first and the last, and for a Perceiver one between: a graph takes as long as it has layers."""
    return {"num_hidden_layers": 2 if variant.name.startswith("vanilla") else 3}


def packed(variant) -> dict[str, torch.Tensor]:
    first = 10
    places = torch.cat([torch.arange(first), torch.arange(variant.block - first)])
    return {"position_ids": places.repeat(2, 1)}


def padded(variant) -> dict[str, torch.Tensor]:
    return {"attention_mask": torch.stack([torch.arange(variant.block) >= start for start in (3, 0)]).long()}


KINDS: dict[str, Callable] = {"plain": lambda variant: {}, "packed": packed, "padded": padded}


def batch(variant, kind: str) -> dict[str, torch.Tensor]:
    return {"input_ids": variant.tokens(2, variant.block), **KINDS[kind](variant)}


def same(actual: torch.Tensor, expected: torch.Tensor, inputs: dict, **tolerances) -> None:
    """Equal wherever there is a token; what stands at padding is never read."""
    seen = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
    torch.testing.assert_close(actual[seen], expected[seen], **tolerances)


@torch.no_grad()
def check_forward(variant, kind: str, backend: str, **options) -> None:
    torch._dynamo.reset()
    model, inputs = variant.model(**layers(variant)), batch(variant, kind)
    compiled = torch.compile(model, backend=backend, fullgraph=True, **options)
    expected = model(**inputs, use_cache=False).logits
    tolerance = 1e-4 if backend == "inductor" else 1e-5
    same(compiled(**inputs, use_cache=False).logits, expected, inputs, atol=tolerance, rtol=tolerance)


def check_training_step(variant, kind: str, backend: str) -> None:
    """Loss and gradients as training asks for them, by one graph forward and one backward, are the plain ones."""
    torch._dynamo.reset()
    inputs = batch(variant, kind)
    labels = inputs["input_ids"].clone()
    if "attention_mask" in inputs:  # the first token would be predicted from what stands at padding
        labels[inputs["attention_mask"].cumsum(-1) <= 1] = -100
    plain, other = variant.model(**layers(variant)).train(), variant.model(**layers(variant)).train()
    compiled = torch.compile(other, backend=backend, fullgraph=True)
    losses = [model(**inputs, labels=labels, loss_only=True, use_cache=False).loss for model in (plain, compiled)]
    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=1e-5)
    for loss in losses:
        loss.backward()
    gradients = dict(plain.named_parameters())
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-5, rtol=1e-4, msg=name)


def named(variants, name: str):
    return next(variant for variant in variants if variant.name == name)


@pytest.mark.parametrize(
    "name", [name if name in FAST[::2] else pytest.param(name, marks=pytest.mark.slow) for name in FAST]
)
def test_a_training_step_on_packed_rows_compiles_into_one_graph(variants, name):
    check_training_step(named(variants, name), "packed", "aot_eager")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_of_every_variant_compiles_into_one_graph(variant, kind):
    check_training_step(variant, kind, "aot_eager")


@pytest.mark.parametrize(
    ("name", "kind"), [(name, ("packed", "padded")[number % 2]) for number, name in enumerate(FAST)]
)
def test_the_forward_pass_compiles_into_one_graph(variants, name, kind):
    check_forward(named(variants, name), kind, "eager")


@pytest.mark.parametrize(
    "kind", [kind if kind == "plain" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_the_forward_pass_of_every_variant_compiles_into_one_graph(variant, kind):
    check_forward(variant, kind, "eager")


@torch.no_grad()
@pytest.mark.slow
def test_one_graph_serves_rows_of_any_length(variant):
    """With `dynamic=True` no length compiles anew: the graphs made for two lengths serve the others."""
    torch._dynamo.reset()
    model = variant.model(**layers(variant))
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    for length in (7, 12):
        compiled(variant.tokens(2, length), attention_mask=torch.ones(2, length).long(), use_cache=False)
    with torch.compiler.set_stance("fail_on_recompile"):
        for length in (6, 9, 17, variant.block):
            tokens, mask = variant.tokens(3, length), torch.ones(3, length).long()
            expected = model(tokens, attention_mask=mask, use_cache=False).logits
            actual = compiled(tokens, attention_mask=mask, use_cache=False).logits
            torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute or two to compile
@needs_compiler
@pytest.mark.parametrize("name", ["vanilla-linformer", "spread-every-3rd"])
def test_inductor_makes_the_same_of_forward_pass_and_training_step(variants, name):
    check_forward(named(variants, name), "plain", "inductor")
    check_training_step(named(variants, name), "packed", "inductor")


@pytest.mark.parametrize("name", [variant.name for variant in VARIANTS if variant.static_cache])
def test_decoding_with_a_static_cache_compiles_into_one_graph(variants, name):
    variant = named(variants, name)
    torch._dynamo.reset()
    model, tokens = variant.model(**layers(variant)), variant.tokens(2, 6)
    options = {
        "do_sample": False,
        "max_new_tokens": 9,
        "pad_token_id": 0,
        "attention_mask": torch.ones(2, 6).long(),
    }
    expected = model.generate(tokens, **options)
    model.forward = torch.compile(model.forward, backend="eager", fullgraph=True)
    static = {"cache_implementation": "static", "disable_compile": True}  # it would take inductor
    assert torch.equal(model.generate(tokens, **options, **static), expected)


@torch.no_grad()
def check_export(variant, with_mask: bool) -> None:
    """A program made from one shape computes every other: one row, one token, blocks begun and whole."""
    model = variant.model(**layers(variant))

    def inputs(rows: int, length: int) -> dict[str, torch.Tensor]:
        tokens = variant.tokens(rows, length)
        if not with_mask:
            return {"input_ids": tokens}
        first = torch.arange(rows).unsqueeze(1) % length  # rows with ever more padding on their left
        return {"input_ids": tokens, "attention_mask": (torch.arange(length) >= first).long()}

    example = inputs(2, 11)
    free = dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    program = torch.export.export(
        model,
        (),
        {**example, "use_cache": False},
        dynamic_shapes={**dict.fromkeys(example, free), "use_cache": None},
        strict=False,
    ).module()
    for shape in [(1, 1), (1, 2), (3, 7), (5, 13), (2, variant.block)]:
        batch = inputs(*shape)
        expected = model(**batch, use_cache=False).logits
        same(program(**batch, use_cache=False).logits, expected, batch, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_program_takes_batches_of_any_size_and_length(variants, name):
    check_export(named(variants, name), with_mask=False)


@pytest.mark.slow
@pytest.mark.parametrize("with_mask", [False, True], ids=["plain", "padded"])
def test_every_variant_can_be_exported_for_any_size_and_length(variant, with_mask):
    check_export(variant, with_mask)
