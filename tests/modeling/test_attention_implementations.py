"""Law 5: eager, SDPA and flex attention agree; what an architecture cannot do it refuses."""

import pytest
import torch

from closedbook.modeling import token_mixer

EVERY = ("eager", "sdpa", "flex_attention", "flash_attention_2")


def batches(variant) -> dict[str, dict]:
    tokens = variant.tokens(3, variant.block)
    mask = torch.stack([(torch.arange(variant.block) >= start).long() for start in (0, 5, 19)])
    packed = torch.cat([torch.arange(7), torch.arange(13), torch.arange(4)]).expand(3, -1)
    return {
        "plain": {"input_ids": tokens},
        "left-padded": {"input_ids": tokens, "attention_mask": mask},
        "packed": {"input_ids": tokens, "position_ids": packed},
    }


def refused(variant) -> list[str]:
    """Flash attention serves plain softmax over tokens, on machines that have it."""
    config = variant.config()
    flash = config.model_type == "vanilla_gpt" and config.attention == "softmax"
    offered = {*variant.implementations, *(["flash_attention_2"] if flash else [])}
    return [attention for attention in EVERY if attention not in offered]


def test_eager_and_sdpa_agree_forward_and_backward(variant):
    eager, sdpa = variant.model("eager").train(), variant.model("sdpa").train()
    gradients = dict(sdpa.named_parameters())
    for kind, batch in batches(variant).items():
        mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"]))
        labels = batch["input_ids"].masked_fill(mask.cumsum(-1) <= 1, -100)  # nothing is predicted from padding
        outputs = [model(**batch, labels=labels, use_cache=False) for model in (eager, sdpa)]
        seen = mask.bool()
        torch.testing.assert_close(outputs[0].logits[seen], outputs[1].logits[seen], atol=1e-5, rtol=1e-5)
        for model, output in zip((eager, sdpa), outputs, strict=True):
            model.zero_grad()
            output.loss.backward()
        for name, parameter in eager.named_parameters():
            torch.testing.assert_close(
                parameter.grad, gradients[name].grad, atol=1e-5, rtol=1e-4, msg=f"{kind}: {name}"
            )


def test_bfloat16_on_a_processor_is_as_exact_as_operations_one_by_one(variant, monkeypatch):
    """Its attention has a backward pass of its own; both are held to float32, masks and rows without a key too."""
    model = variant.model("eager").train()

    def learn(batch, labels, narrow) -> dict[str, torch.Tensor]:
        model.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=narrow):
            model(**batch, labels=labels, use_cache=False).loss.backward()
        return {name: weight.grad.clone() for name, weight in model.named_parameters()}

    for kind, batch in batches(variant).items():
        labels = batch["input_ids"].masked_fill(batch.get("attention_mask", 1) == torch.tensor(0), -100)
        exact = learn(batch, labels, narrow=False)
        own = learn(batch, labels, narrow=True)
        with monkeypatch.context() as patch:
            patch.setattr(token_mixer, "_is_narrow", lambda *tensors: False)
            plain = learn(batch, labels, narrow=True)
        errors = [sum((found[name] - exact[name]).norm() ** 2 for name in exact) ** 0.5 for found in (own, plain)]
        size = sum(gradient.norm() ** 2 for gradient in exact.values()) ** 0.5
        assert errors[0] <= 1.3 * errors[1] + 1e-3 * size, kind
        assert errors[0] < 0.05 * size, kind


def attention_of_bfloat16(monkeypatch):
    """Inputs, and a function that attends with them in training: in bfloat16 as it is and would be, in float32."""
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 7, 4) for _ in range(3)]
    mask = torch.full((2, 1, 7, 7), torch.finfo(torch.float32).min).triu(1)
    mask[1, :, 3] = torch.finfo(torch.float32).min  # a row without a key
    module = torch.nn.Module().train()

    def attend(how, *given, dropout=0.0, mask=mask):
        with monkeypatch.context() as patch, torch.autocast("cpu", dtype=torch.bfloat16, enabled=how != "float32"):
            if how == "one by one":
                patch.setattr(token_mixer, "_is_narrow", lambda *_: False)
            return token_mixer.eager_attention_forward(module, *given, mask, 0.5, dropout=dropout)

    return inputs, attend


def test_what_is_looked_at_and_learned_through_weights_is_the_same(monkeypatch):
    """Weights are shown, carry gradients, and those can be differentiated again, as without a pass of its own."""
    inputs, attend = attention_of_bfloat16(monkeypatch)
    found = {}
    for how in ("own", "one by one", "float32"):
        given = [one.clone().requires_grad_() for one in inputs]
        mixed, weights = attend(how, *given)
        loss = (mixed.float() ** 2).sum() + weights[..., 0].float().sum()
        first = torch.autograd.grad(loss, given, create_graph=True)
        again = torch.autograd.grad(sum((one.float() ** 2).sum() for one in first), given)
        once = torch.autograd.grad(attend(how, *given)[1][..., 2].float().sum(), given[:2])
        found[how] = [mixed, weights, *first, *again, *once]
    for number, exact in enumerate(found["float32"]):
        own, plain = ((found[how][number].float() - exact).norm() / exact.norm() for how in ("own", "one by one"))
        assert own < max(1.5 * plain, 0.01), number
    assert (attend("own", *inputs, dropout=0.9)[0] == 0).any()  # where weights are dropped, one by one


def test_where_its_own_backward_pass_does_not_serve_operations_run_one_by_one(monkeypatch):
    inputs, attend = attention_of_bfloat16(monkeypatch)
    mask = torch.zeros(2, 1, 7, 7, requires_grad=True)
    attend("own", *inputs, mask=mask)[0].float().sum().backward()
    assert mask.grad is not None
    gradient = torch.func.grad(lambda query: attend("own", query, *inputs[1:])[0].float().sum())(inputs[0])
    assert gradient.shape == inputs[0].shape
    rows = torch.func.vmap(lambda query: attend("own", query, *inputs[1:])[0])(torch.stack([inputs[0]] * 2))
    assert rows.shape == (2, 2, 7, 3, 4)
    torch.func.jvp(lambda query: attend("own", query, *inputs[1:])[0], (inputs[0],), (inputs[0],))
    assert attend("own", *(one[:0] for one in inputs), mask=None)[0].shape == (0, 7, 3, 4)


def test_a_model_without_memory_or_in_double_precision_runs(variant):
    """Shapes are asked of models on the device `meta`, and autocast leaves float64 alone."""
    tokens = variant.tokens(2, variant.block)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = variant.model().double()(tokens).logits
    assert logits.shape[:2] == tokens.shape
    with torch.device("meta"):
        model = variant.model_class(variant.config())
    assert model(tokens.to("meta"), use_cache=False).logits.shape == logits.shape


@torch.no_grad()
def test_flex_attention_agrees_where_it_is_offered(variant):
    if "flex_attention" not in variant.implementations:
        pytest.skip("does not offer flex attention; the refusal is tested below")
    eager, flex = variant.model("eager"), variant.model("flex_attention")
    for batch in batches(variant).values():
        seen = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
        expected = eager(**batch, use_cache=False).logits
        for use_cache in (False, True):
            with torch.compiler.set_stance("force_eager"):  # the same masks, without seconds of compiling
                logits = flex(**batch, use_cache=use_cache).logits
            torch.testing.assert_close(logits[seen], expected[seen], atol=1e-5, rtol=1e-5)


def test_what_is_not_offered_is_refused_and_the_rest_is_taken(variant):
    for attention in variant.implementations:
        assert variant.model(attention).config._attn_implementation == attention
    model = variant.model()
    for attention in refused(variant):
        with pytest.raises(ValueError, match="does not support"):
            variant.model(attention)
        with pytest.raises(ValueError, match="does not support"):
            model.set_attn_implementation(attention)
        assert model.config._attn_implementation == "sdpa"


@torch.no_grad()
def test_the_implementation_of_a_loaded_model_can_be_changed(variant, tmp_path):
    variant.model().save_pretrained(tmp_path)
    tokens, logits = variant.tokens(2, 9), {}
    for attention in ("eager", "sdpa"):
        model = variant.model_class.from_pretrained(tmp_path, attn_implementation=attention)
        assert model.config._attn_implementation == attention
        logits[attention] = model(tokens).logits
    torch.testing.assert_close(logits["eager"], logits["sdpa"], atol=1e-5, rtol=1e-5)
    model.set_attn_implementation("eager")
    assert torch.equal(model(tokens).logits, logits["eager"])
