"""Configurations: what they accept, what they refuse and in which words, and that JSON keeps them."""

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig

BOTH = pytest.mark.parametrize("config_class", [VanillaGPTConfig, PerceiverGPTConfig])


def test_json_keeps_a_configuration(variant, tmp_path):
    config = variant.config(hidden_dropout=0.25, hidden_act="relu", eos_token_id=1)
    config.save_pretrained(tmp_path)
    for loaded in (AutoConfig.from_pretrained(tmp_path), type(config).from_pretrained(tmp_path)):
        assert type(loaded) is type(config)
        assert {**loaded.to_dict(), "_name_or_path": ""} == config.to_dict()
    again = type(config).from_dict(config.to_dict())
    assert again.to_dict() == config.to_dict()


@BOTH
def test_the_defaults_are_the_reference_configuration(config_class):
    config = config_class()
    sizes = (config.vocab_size, config.hidden_size, config.num_hidden_layers, config.num_attention_heads)
    assert sizes == (256, 256, 4, 8)
    assert (config.max_position_embeddings, config.intermediate_size, config.hidden_act) == (128, 1024, "gelu")
    assert {config.embedding_dropout, config.hidden_dropout, config.attention_dropout} == {0.1}
    assert not config.tie_word_embeddings
    assert (config.pad_token_id, config.eos_token_id) == (0, 1)


@BOTH
@pytest.mark.parametrize(
    "name",
    [
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "max_position_embeddings",
    ],
)
@pytest.mark.parametrize("value", [0, -3])
def test_sizes_below_one_are_refused_by_name(config_class, name, value):
    with pytest.raises(StrictDataclassError, match=rf"{name}.*\D{value}\b"):
        config_class(**{name: value})


@BOTH
def test_heads_that_do_not_divide_the_width_are_refused(config_class):
    with pytest.raises(StrictDataclassError, match=r"hidden_size \(30\).*multiple of num_attention_heads \(4\)"):
        config_class(hidden_size=30, num_attention_heads=4)


@BOTH
@pytest.mark.parametrize("name", ["embedding_dropout", "hidden_dropout", "attention_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1, 1.0, 7])
def test_rates_outside_of_zero_to_one_are_refused(config_class, name, value):
    with pytest.raises(StrictDataclassError, match=rf"{name} must be in \[0, 1\)"):
        config_class(**{name: value})


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", "64"),
        ("hidden_size", 64.0),
        ("num_hidden_layers", True),
        ("hidden_dropout", "0.1"),
        ("hidden_act", 3),
        ("use_cache", "yes"),
        ("max_position_embeddings", None),
    ],
)
def test_values_of_a_wrong_type_are_refused_by_name(config_class, name, value):
    with pytest.raises(StrictDataclassError, match=name):
        config_class(**{name: value})


@pytest.mark.parametrize("value", [0, -1, 129])
def test_the_number_of_latents_lies_between_one_and_the_block(value):
    with pytest.raises(StrictDataclassError, match=rf"between 1 and max_position_embeddings \(128\), got {value}"):
        PerceiverGPTConfig(num_latents=value)


@pytest.mark.parametrize(("name", "value"), [("num_latents", 6.5), ("num_latents", "8"), ("latent_layout", None)])
def test_latents_of_a_wrong_type_are_refused_by_name(name, value):
    with pytest.raises(StrictDataclassError, match=name):
        PerceiverGPTConfig(**{name: value})


def test_an_unknown_layout_is_refused_with_the_known_ones():
    with pytest.raises(StrictDataclassError, match="latent_layout must be one of spread, prefix, got 'scattered'"):
        PerceiverGPTConfig(latent_layout="scattered")


def test_a_perceiver_of_one_layer_is_refused():
    with pytest.raises(StrictDataclassError, match="num_hidden_layers of at least 2"):
        PerceiverGPTConfig(num_hidden_layers=1)
    assert VanillaGPTConfig(num_hidden_layers=1).num_hidden_layers == 1


def test_a_value_spoiled_after_construction_is_refused_when_saving(variant, tmp_path):
    config = variant.config()
    config.num_attention_heads = 5
    with pytest.raises(StrictDataclassError, match="num_attention_heads"):
        config.save_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("block", "latents", "distance"),
    [(128, 64, 2), (128, 128, 1), (128, 1, 128), (128, 100, 2), (24, 5, 5), (1, 1, 1)],
)
def test_spread_latents_stand_at_equal_distances_that_cover_the_block(block, latents, distance):
    config = PerceiverGPTConfig(max_position_embeddings=block, num_latents=latents)
    assert config.tokens_per_latent == distance
    assert len(range(0, block, distance)) <= latents
    prefix = PerceiverGPTConfig(max_position_embeddings=block, num_latents=latents, latent_layout="prefix")
    assert prefix.tokens_per_latent == 1
