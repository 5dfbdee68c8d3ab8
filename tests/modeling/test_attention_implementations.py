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
    """Its attention has a backward pass of its own. Both are held to float32, masks and rows without a key included."""
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


def test_narrow_attention_shows_its_weights_and_leaves_dropout_alone():
    """What `output_attentions` shows is what was used; where weights are dropped, operations run one by one."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4, dtype=torch.bfloat16) for _ in range(3))
    mask = torch.full((2, 1, 7, 7), torch.finfo(torch.float32).min).triu(1)
    mask[1, :, 3] = torch.finfo(torch.float32).min  # a row without a key
    module = torch.nn.Module().train()
    mixed, weights = token_mixer.eager_attention_forward(module, query, key, value, mask, 0.5)
    wide = [one.float() for one in (query, key, value)]
    expected, seen = token_mixer.eager_attention_forward(module, *wide, mask, 0.5)
    torch.testing.assert_close(weights.float(), seen, atol=0.01, rtol=0.02)
    torch.testing.assert_close(mixed.float(), expected, atol=0.02, rtol=0.02)
    torch.manual_seed(0)
    dropped, _ = token_mixer.eager_attention_forward(module, query, key, value, mask, 0.5, dropout=0.9)
    assert (dropped == 0).any()


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
