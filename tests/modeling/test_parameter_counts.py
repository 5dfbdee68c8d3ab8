"""Law 7: the reference configurations have exactly the published numbers of parameters, the others those that
follow by counting."""

import pytest
import torch

from closedbook.modeling.configuration_gpt import (
    ATTENTIONS,
    LATENT_LAYOUTS,
    POSITIONS,
    PerceiverGPTConfig,
    VanillaGPTConfig,
)
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM

VOCABULARY, WIDTH, LAYERS, HEADS, BLOCK, LATENTS = 256, 256, 4, 8, 128, 64  # the defaults
LANDMARKS = 32
LINEAR = WIDTH * WIDTH + WIDTH  # a map of the full width, with its biases
NORM = 2 * WIDTH
FEED_FORWARD = 2 * 4 * WIDTH * WIDTH + 4 * WIDTH + WIDTH
PER_HEAD = {"attention": "linformer", "share_landmark_projections": False}

PUBLISHED = {
    "vanilla": (VanillaGPTConfig, {}, 3_323_392),
    "rotary": (VanillaGPTConfig, {"position": "rotary"}, 3_290_624),
    "synthesizer, 2021 edition": (VanillaGPTConfig, {"attention": "synthesizer_dense"}, 3_076_988),
    "perceiver, 64 latents": (PerceiverGPTConfig, {}, 3_339_776),
    "perceiver, 32 latents": (PerceiverGPTConfig, {"num_latents": 32}, 3_331_584),
    "perceiver, published layout": (PerceiverGPTConfig, {"latent_layout": "prefix"}, 3_339_776),
    "perceiver, published layout, 32": (
        PerceiverGPTConfig,
        {"latent_layout": "prefix", "num_latents": 32},
        3_331_584,
    ),
}
# By the arithmetic below, spelled out once more as numbers.
DERIVED = {
    "synthesizer_random": (VanillaGPTConfig, {"attention": "synthesizer_random"}, 3_317_248),
    "linformer": (VanillaGPTConfig, {"attention": "linformer"}, 3_356_160),
    "linformer, per head": (VanillaGPTConfig, PER_HEAD, 3_585_536),
    "bigbird": (VanillaGPTConfig, {"attention": "bigbird"}, 3_323_392),
    "perceiver AR": (PerceiverGPTConfig, {"latent_layout": "last"}, 3_323_392),
}


def mixer(attention: str, positions: int, projections: int = 1) -> int:
    """Parameters of a mixer of `positions` places; `projections`: landmark projections, 1 or one a head."""
    head_size = WIDTH // HEADS
    return {
        "softmax": 4 * LINEAR,  # queries, keys, values, output
        "bigbird": 4 * LINEAR,
        "linformer": 4 * LINEAR + 2 * projections * positions * LANDMARKS,
        # w1, values and output; w2 and b2 for all positions but the last
        "synthesizer_dense": 3 * LINEAR + (head_size + 1) * (positions - 1),
        # values and output; a matrix a head without the last column
        "synthesizer_random": 2 * LINEAR + HEADS * positions * (positions - 1),
    }[attention]


def expected(attention="softmax", position="learned", layout=None, projections: int = 1) -> int:
    embeddings = VOCABULARY * WIDTH + (BLOCK * WIDTH if position == "learned" else 0)
    around = NORM + WIDTH * VOCABULARY  # the final norm and the head
    rest_of_block = 2 * NORM + FEED_FORWARD
    if layout is None:
        mixers = LAYERS * mixer(attention, BLOCK, projections)
        latents = 0
    else:
        outer = 1 if layout == "last" else 2
        mixers = outer * mixer("softmax", BLOCK) + (LAYERS - outer) * mixer(attention, LATENTS, projections)
        latents = 0 if layout == "last" else LATENTS * WIDTH
    return embeddings + around + LAYERS * rest_of_block + mixers + latents


def counted(config) -> int:
    model_class = VanillaGPTForCausalLM if config.model_type == "vanilla_gpt" else PerceiverGPTForCausalLM
    with torch.device("meta"):
        model = model_class(config)
    assert model.num_parameters() == sum(parameter.numel() for parameter in model.parameters())
    return model.num_parameters()


@pytest.mark.parametrize("name", [*PUBLISHED, *DERIVED])
def test_the_reference_configuration_has_exactly_this_many_parameters(name):
    config_class, fields, number = {**PUBLISHED, **DERIVED}[name]
    assert counted(config_class(**fields)) == number


@pytest.mark.parametrize("layout", [None, *LATENT_LAYOUTS])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_every_architecture_has_the_parameters_that_its_parts_add_up_to(attention, layout):
    config_class = VanillaGPTConfig if layout is None else PerceiverGPTConfig
    fields = {"attention": attention} if layout is None else {"attention": attention, "latent_layout": layout}
    for position in POSITIONS:
        if position == "rotary" and attention.startswith("synthesizer"):
            continue
        for shared in (True, False) if attention == "linformer" else (True,):
            config = config_class(position=position, share_landmark_projections=shared, **fields)
            assert counted(config) == expected(attention, position, layout, 1 if shared else HEADS)
