"""Weights of another variant are refused with what to do about it; heads come and go as everywhere."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM

from closedbook.modeling.modeling_gpt import (
    PerceiverGPTForCausalLM,
    PerceiverGPTModel,
    VanillaGPTForCausalLM,
    VanillaGPTModel,
)

# Saved as the first, asked for as the second.
OTHERS = {
    "attention": ("vanilla", {"attention": "linformer", "attention_block_size": 4, "num_landmarks": 3}),
    "attention of the same weights": ("vanilla", {"attention": "bigbird", "attention_block_size": 4}),
    "attention back to softmax": ("vanilla-synthesizer_dense", {"attention": "softmax"}),
    "position": ("vanilla", {"position": "rotary"}),
    "position back to learned": ("vanilla-rotary", {"position": "learned"}),
    "latent_layout": ("spread", {"latent_layout": "prefix"}),
    "latent_layout without up block": ("prefix", {"latent_layout": "last"}),
    "attention of the latents": ("spread", {"attention": "synthesizer_random"}),
}


@pytest.fixture(scope="module")
def table(variants) -> dict:
    """The variants by name, and the plain Perceivers of every layout."""
    return {variant.name: variant for variant in variants}


@pytest.fixture(scope="module")
def saved(table, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    for name in (
        "vanilla",
        "vanilla-rotary",
        "vanilla-synthesizer_dense",
        "vanilla-synthesizer_random",
        "vanilla-linformer",
        "spread",
        "prefix",
        "last",
        "spread-linformer",
    ):
        table[name].model().save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_another_variant_asked_for_by_its_fields_or_by_a_configuration_is_refused(saved, table, name):
    source, fields = OTHERS[name]
    variant, kind = table[source], next(iter(fields))
    message = rf"{source} was made with {kind} .*cannot be loaded as '{fields[kind]}'.*load_state_dict"
    for load in (AutoModelForCausalLM.from_pretrained, variant.model_class.from_pretrained):
        with pytest.raises(ValueError, match=message):
            load(saved / source, **fields)
        with pytest.raises(ValueError, match=message):
            load(saved / source, config=variant.config(**fields))


@pytest.mark.parametrize(
    ("source", "model_class"),
    [
        ("vanilla", PerceiverGPTForCausalLM),
        ("vanilla", PerceiverGPTModel),
        ("spread", VanillaGPTForCausalLM),
        ("last", VanillaGPTModel),
    ],
)
def test_another_family_is_refused_with_the_class_that_takes_it(saved, source, model_class):
    with pytest.raises(ValueError, match=rf"{source} holds a model of type .* AutoModelForCausalLM"):
        model_class.from_pretrained(saved / source)


def test_an_architecture_changed_in_the_config_file_is_refused(saved, tmp_path):
    for field, value in {"attention": "synthesizer_dense", "position": "learned"}.items():
        source = "vanilla-rotary" if field == "position" else "vanilla"
        folder = shutil.copytree(saved / source, tmp_path / field)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, field: value}))
        with pytest.raises(ValueError, match=rf"weights in .*{field} do not fit its configuration.*missing"):
            AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize(
    ("source", "weights"),
    [
        ("vanilla", "vanilla-synthesizer_dense"),  # weights are missing
        ("vanilla-synthesizer_dense", "vanilla"),
        ("vanilla-synthesizer_dense", "vanilla-synthesizer_random"),
        ("vanilla-linformer", "vanilla"),
        ("vanilla", "vanilla-rotary"),
        ("vanilla", "spread"),
        ("spread", "vanilla"),
        ("spread", "last"),
        ("vanilla", "vanilla-linformer"),  # nothing is missing, but there is more
        ("vanilla-rotary", "vanilla"),
        ("spread", "spread-linformer"),
    ],
)
def test_a_weights_file_of_another_variant_is_refused(saved, tmp_path, source, weights):
    folder = shutil.copytree(saved / source, tmp_path / "swapped")
    shutil.copy(saved / weights / "model.safetensors", folder)
    for load in (AutoModelForCausalLM.from_pretrained, AutoModel.from_pretrained):
        with pytest.raises(ValueError, match="do not fit its configuration.*another variant or size"):
            load(folder)


def test_a_checkpoint_with_fewer_layers_is_refused(saved, table):
    for name in ("vanilla", "vanilla-rotary", "spread", "last"):
        layers = table[name].config().num_hidden_layers + 1
        with pytest.raises(ValueError, match="missing.*another variant or size"):
            table[name].model_class.from_pretrained(saved / name, num_hidden_layers=layers)


@pytest.mark.parametrize("fields", [{"vocab_size": 30}, {"hidden_size": 64}, {"max_position_embeddings": 32}])
@pytest.mark.parametrize("name", ["vanilla", "vanilla-synthesizer_random", "vanilla-linformer", "spread"])
def test_a_checkpoint_of_another_size_is_an_error(saved, table, name, fields):
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        table[name].model_class.from_pretrained(saved / name, **fields)


@torch.no_grad()
def test_rotary_weights_serve_a_longer_block(saved, table):
    variant = table["vanilla-rotary"]
    longer = variant.model_class.from_pretrained(saved / variant.name, max_position_embeddings=48)
    tokens = variant.tokens(1, 24)
    torch.testing.assert_close(longer(tokens).logits, variant.model()(tokens).logits)
    assert longer(variant.tokens(1, 48)).logits.shape == (1, 48, variant.vocabulary)


@torch.no_grad()
def test_a_stack_without_head_gets_a_new_one(variant, tmp_path):
    base = variant.model().model
    base.save_pretrained(tmp_path)
    model, info = variant.model_class.from_pretrained(tmp_path, output_loading_info=True)
    assert set(info["missing_keys"]) == {"lm_head.weight"} and not info["unexpected_keys"]
    tokens = variant.tokens(2, 9)
    assert torch.equal(model.model(tokens).last_hidden_state, base(tokens).last_hidden_state)
    assert model.lm_head.weight.std() > 0
    assert AutoModelForCausalLM.from_pretrained(tmp_path)(tokens).logits.shape == (2, 9, variant.vocabulary)


@torch.no_grad()
def test_a_stack_loads_without_the_head_it_was_saved_with(variant, tmp_path):
    model = variant.model()
    model.save_pretrained(tmp_path)
    tokens = variant.tokens(2, 9)
    for base in (AutoModel.from_pretrained(tmp_path), type(model.model).from_pretrained(tmp_path)):
        assert type(base) is type(model.model)
        assert torch.equal(base(tokens).last_hidden_state, model.model(tokens).last_hidden_state)


def test_tensors_given_by_hand_are_the_callers_business(saved, table):
    model = table["vanilla"].model()
    state = {name: tensor for name, tensor in model.state_dict().items() if "layers.3" not in name}
    loaded = VanillaGPTForCausalLM.from_pretrained(None, config=model.config, state_dict=state)
    assert torch.equal(loaded.lm_head.weight, model.lm_head.weight)


def test_weights_without_a_configuration_load_with_a_given_one(variant, tmp_path):
    model = variant.model()
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    loaded = variant.model_class.from_pretrained(tmp_path, config=model.config)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


def test_a_head_of_ones_own_starts_new_on_a_pretrained_stack(variant, tmp_path):
    model = variant.model()
    model.save_pretrained(tmp_path)
    stack_class = type(model.model)

    class Scorer(stack_class.__mro__[1]):
        def __init__(self, config):
            super().__init__(config)
            self.model = stack_class(config)
            self.score = torch.nn.Linear(config.hidden_size, 1)
            self.post_init()

    loaded = Scorer.from_pretrained(tmp_path)
    expected = model.model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.model.state_dict().items())
