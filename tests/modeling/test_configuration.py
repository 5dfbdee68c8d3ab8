"""Configurations: what they accept, what they refuse and in which words, and that JSON keeps them."""

import json
import logging

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM

from closedbook.modeling import loading
from closedbook.modeling.configuration_gpt import ATTENTIONS, PerceiverGPTConfig, VanillaGPTConfig

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
        ("attention", None),
        ("position", 1),
        ("attention_block_size", "16"),
        ("num_landmarks", 2.5),
        ("share_landmark_projections", 1),
        ("num_random_blocks", "1"),
        ("random_blocks", "none"),
        ("random_blocks", [[0.5]]),
        ("rope_theta", "large"),
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
    with pytest.raises(
        StrictDataclassError, match="latent_layout must be one of spread, prefix, last, got 'scattered'"
    ):
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


# What is wrong with the default block of 128 tokens, 64 latents and 8 heads of 32 numbers, and what is said of it.
BAD = {
    "unknown attention": (
        {"attention": "softmx"},
        f"attention must be one of {', '.join(ATTENTIONS)}, got 'softmx'",
    ),
    "unknown position": ({"position": "rope"}, "position must be one of learned, rotary, got 'rope'"),
    "rotary dense synthesizer": (
        {"attention": "synthesizer_dense", "position": "rotary"},
        "'synthesizer_dense' has no queries and keys.*use position='learned'",
    ),
    "rotary random synthesizer": (
        {"attention": "synthesizer_random", "position": "rotary"},
        "'synthesizer_random' has no queries and keys.*use position='learned'",
    ),
    "odd heads": (
        {"position": "rotary", "hidden_size": 24, "num_attention_heads": 8},
        r"size of a head must be even, got 3 \(hidden_size 24 / 8 heads\)",
    ),
    "no wavelength": ({"position": "rotary", "rope_theta": 0}, "rope_theta must be positive, got 0"),
    "block that does not fit": (
        {"attention": "linformer", "attention_block_size": 24},
        r"attention_block_size \(24\) must divide the (128|64) positions",
    ),
    "sparse block that does not fit": (
        {"attention": "bigbird", "attention_block_size": 48},
        r"attention_block_size \(48\) must divide the (128|64) positions",
    ),
    "block longer than the sequence": (
        {"attention": "linformer", "attention_block_size": 256},
        r"attention_block_size \(256\) must divide",
    ),
    "no block": ({"attention": "bigbird", "attention_block_size": 0}, r"attention_block_size \(0\) must divide"),
    "negative block": (
        {"attention": "linformer", "attention_block_size": -4},
        r"attention_block_size \(-4\) must divide",
    ),
    "no landmarks": ({"attention": "linformer", "num_landmarks": 0}, "num_landmarks must be at least 1.*got 0"),
    "no window": ({"attention": "bigbird", "num_window_blocks": 0}, "num_window_blocks must be at least 1"),
    "negative global": (
        {"attention": "bigbird", "num_global_blocks": -1},
        "num_global_blocks must not be negative",
    ),
    "negative random": (
        {"attention": "bigbird", "num_random_blocks": -1},
        "num_random_blocks must not be negative",
    ),
    "more random blocks than there are": (
        {"attention": "bigbird", "num_random_blocks": 6},
        r"num_random_blocks is 6, but of the [84] blocks only [51] are neither global .* nor in the window",
    ),
    "draw for other blocks": (
        {"attention": "bigbird", "random_blocks": [[], [0]]},
        "random_blocks holds choices for 2 blocks, there are [84]; leave it out",
    ),
    "draw of a later block": (
        {
            "attention": "bigbird",
            "attention_block_size": 32,
            "num_latents": 128,
            "random_blocks": [[], [2], [], []],
        },
        r"random_blocks\[1\] is \[2\]: block 1 may read blocks 0 to 1",
    ),
}


@BOTH
@pytest.mark.parametrize("name", BAD)
def test_a_mixer_that_cannot_be_is_refused_before_any_tensor_is_made(config_class, name):
    fields, message = BAD[name]
    if config_class is VanillaGPTConfig:
        fields = {field: value for field, value in fields.items() if field != "num_latents"}
    with pytest.raises(StrictDataclassError, match=message):
        config_class(**fields)


def test_fields_of_another_attention_need_not_fit():
    assert VanillaGPTConfig(attention_block_size=7, num_landmarks=0, num_random_blocks=99).random_blocks is None
    config = PerceiverGPTConfig(position="rotary", num_latents=7)
    assert config.stack_length == 7


@BOTH
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_landmark": 3}, r"no field num_landmark \(did you mean num_landmarks\?\)"),
        ({"atention": "softmax"}, r"no field atention \(did you mean attention\?\)"),
        ({"num_heads": 4, "zzz": 1}, r"no field num_heads \(did you mean num_attention_heads\?\)$"),
        ({"Hidden_Size": 4}, r"no field Hidden_Size \(did you mean hidden_size\?\)"),
        ({"hidden-size": 4}, r"no field hidden-size \(did you mean hidden_size\?\)"),
        ({"block_size": 64}, r"no field block_size \(did you mean attention_block_size\?\)"),
        ({"layer_norm_epsilon": 1e-6}, r"no field layer_norm_epsilon \(did you mean layer_norm_eps\?\)"),
        ({"n_layer": 7}, r"no field n_layer \(did you mean num_hidden_layers\?\)"),
    ],
)
def test_an_unknown_field_is_refused_with_the_one_that_was_probably_meant(config_class, given, message):
    with pytest.raises(ValueError, match=f"{config_class.__name__} has {message}"):
        config_class(**given)


@BOTH
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"atention": "softmax"}, r"has no field atention \(did you mean attention\?\)"),
        ({"num_landmark": 3}, r"has no field num_landmark \(did you mean num_landmarks\?\)"),
        ({"hidden_size": "32"}, "field 'hidden_size'.*expected int, got str"),
        ({"attention_block_size": 2.5}, "field 'attention_block_size'.*expected int, got float"),
        ({"random_blocks": {"0": []}}, "field 'random_blocks'.*expected a list, got dict"),
        ({"hidden_dropout": None}, "field 'hidden_dropout'"),
        ({"attention": "linformr"}, "attention must be one of softmax"),
    ],
)
def test_a_config_file_with_a_mistake_is_refused_before_any_tensor_is_made(
    config_class, tmp_path, monkeypatch, changed, message
):
    config_class().save_pretrained(tmp_path)  # no weights: the configuration must fail before they are missed
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    def refuse(*args, **kwargs):
        raise AssertionError("a tensor was made")

    monkeypatch.setattr(torch.nn.Module, "__init__", refuse)
    for load in (AutoConfig.from_pretrained, config_class.from_pretrained, AutoModelForCausalLM.from_pretrained):
        with pytest.raises((ValueError, StrictDataclassError), match=f"(?s){message}"):
            load(tmp_path)


def test_fields_of_a_perceiver_are_unknown_to_a_vanilla_gpt():
    with pytest.raises(ValueError, match="VanillaGPTConfig has no field num_latents"):
        VanillaGPTConfig(num_latents=8)


def test_what_the_library_writes_into_a_config_file_is_no_unknown_field(tmp_path):
    config = VanillaGPTConfig(
        attention="bigbird", id2label={0: "a", 1: "b"}, architectures=["VanillaGPTForCausalLM"]
    )
    config.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "torch_dtype": "bfloat16", "temperature": 0.5}))
    assert AutoConfig.from_pretrained(tmp_path).dtype == torch.bfloat16


@BOTH
def test_an_unknown_activation_is_refused_with_the_known_ones(config_class):
    with pytest.raises(StrictDataclassError, match=r"hidden_act must be one of .*gelu.*, got 'foo'"):
        config_class(hidden_act="foo")


@pytest.mark.parametrize("theta", [0, -1.0, float("nan"), float("inf")])
def test_a_base_of_rotary_wavelengths_that_is_no_positive_number_is_refused(theta):
    with pytest.raises(StrictDataclassError, match="rope_theta must be positive"):
        VanillaGPTConfig(position="rotary", rope_theta=theta)


def test_a_saved_draw_is_not_silently_kept_when_fewer_blocks_are_asked_for():
    drawn = VanillaGPTConfig(attention="bigbird", num_random_blocks=2).random_blocks
    with pytest.raises(StrictDataclassError, match="num_random_blocks is 1"):
        VanillaGPTConfig(attention="bigbird", num_random_blocks=1, random_blocks=drawn)


# What Unsloth, PEFT, conversion scripts, llama-like templates, people, and later versions of this package write.
FOREIGN = {
    "unsloth_fixed": True,
    "pretraining_tp": 1,
    "sliding_window": None,
    "base_model_name_or_path": "somebody/small-gpt",
    "attention_bias": True,
    "mlp_bias": False,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-6,
    "initializer_factor": 1.0,
    "rope_parameters": {"rope_type": "default"},
    "my_note": "trained on a train",
    "seed": 3,
    "number_of_the_beast": [6, 6, {"6": None}],
    "field_of_the_year_2030": {"on": True},
}


@BOTH
@pytest.mark.parametrize("name", [*FOREIGN, "all of them"])
def test_fields_of_other_tools_are_kept_with_a_warning(config_class, name, tmp_path, caplog):
    foreign = FOREIGN if name == "all of them" else {name: FOREIGN[name]}
    config_class(hidden_size=64).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **foreign}))
    logging.getLogger("transformers").addHandler(caplog.handler)
    loading.logger.warning_once.cache_clear()
    try:
        loaded = AutoConfig.from_pretrained(tmp_path)
    finally:
        logging.getLogger("transformers").removeHandler(caplog.handler)
    assert loaded.hidden_size == 64
    told = [record.getMessage() for record in caplog.records if "without effect" in record.getMessage()]
    assert len(told) == 1 and all(field in told[0] for field in foreign)
    assert {field: getattr(loaded, field) for field in foreign} == foreign
    loaded.save_pretrained(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert {field: again[field] for field in foreign} == foreign


@BOTH
@pytest.mark.parametrize("value", [None, {"rope_type": "linear", "factor": 2.0}])
def test_the_old_name_of_scaled_positions_is_kept_under_the_new_one(config_class, value):
    with pytest.warns(FutureWarning, match="rope_parameters"):
        config = config_class(rope_scaling=value)
    assert config.to_dict()["rope_parameters"] == config.rope_scaling
    assert (config.rope_scaling is None) == (value is None)


@BOTH
@pytest.mark.parametrize(
    "given",
    [
        {"head_dim": 32},
        {"head_dim": None},
        {"stack_length": None},
        {"n_head": 8, "n_embd": 256, "n_layer": 4, "n_positions": 128},
    ],
)
def test_what_only_repeats_the_configuration_is_taken(config_class, given):
    assert config_class(**given).to_dict() == config_class().to_dict()


@BOTH
@pytest.mark.parametrize(("given", "right"), [({"head_dim": 64}, 32), ({"layer_types": ["mamba"] * 4}, r"\[")])
def test_what_contradicts_the_configuration_is_refused(config_class, given, right):
    with pytest.raises(ValueError, match=f"(?s){next(iter(given))} is .*make it {right}.*leave it out"):
        config_class(**given)


def test_a_folder_that_another_tool_has_touched_loads_without_the_package(tmp_path):
    VanillaGPTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2).save_pretrained(
        tmp_path / "plain"
    )
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path / "plain"))
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **FOREIGN, "head_dim": 8}))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model", trust_remote_code=True)
    assert loaded.config.my_note == FOREIGN["my_note"]
    ids = torch.arange(5).unsqueeze(0)
    torch.testing.assert_close(loaded(ids).logits, model.eval()(ids).logits, rtol=0, atol=0)
