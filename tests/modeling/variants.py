"""The table of architectures under test.

A line in `VARIANTS` gives an architecture every law of this folder: a test that takes the argument `variant`
runs once for each. What an architecture claims (reach, attention implementations, caches) stands in the table
too, and the tests hold it to exactly that.
"""

from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from closedbook.modeling.configuration_gpt import (
    ATTENTIONS,
    LATENT_LAYOUTS,
    POSITIONS,
    PerceiverGPTConfig,
    VanillaGPTConfig,
)
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM

BLOCK = 24
VOCABULARY = 20


@dataclass(frozen=True)
class Variant:
    """One architecture, small enough that a forward pass takes milliseconds.

    Attributes:
        fields: what it sets in its configuration beside the sizes that all variants share.
        blind_from: no token reads another token at this place of an example, or later; None for full reach.
        implementations: the attention implementations that it offers on a CPU.
        static_cache: whether it decodes with a cache of fixed size.
        croppable: whether its cache can forget the last tokens again.
        has_attentions: whether it returns attention weights over tokens.
        everywhere: whether the fast suite runs every test on it; the laws run on all variants, the other tests
            of the rest are marked slow.
    """

    name: str
    config_class: type
    model_class: type
    fields: dict = field(default_factory=dict)
    blind_from: int | None = None
    implementations: tuple[str, ...] = ("eager", "sdpa")
    static_cache: bool = False
    croppable: bool = True
    has_attentions: bool = True
    everywhere: bool = True

    block = BLOCK
    vocabulary = VOCABULARY

    def config(self, **fields):
        """Without dropout and without an end token, unless `fields` says otherwise."""
        sizes = {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 3,  # a first, a last, and one between: what no block is but once is in no claim
            "num_attention_heads": 4,
            "max_position_embeddings": BLOCK,
            "embedding_dropout": 0,
            "hidden_dropout": 0,
            "attention_dropout": 0,
            "initializer_range": 0.2,
            "eos_token_id": None,
        }
        return self.config_class(**{**sizes, **self.fields, **fields})

    def model(self, attention: str = "sdpa", seed: int = 0, **fields) -> PreTrainedModel:
        """A random model in evaluation mode.

        Its weights are larger than those of a fresh model, and biases and norms are not at their neutral
        values, so that no path through the network is negligible.
        """
        torch.manual_seed(seed)
        model = self.model_class._from_config(self.config(**fields), attn_implementation=attention)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.dim() == 1 or name.endswith(".w2"):
                    parameter += 0.1 * torch.randn_like(parameter)
        return model.eval()

    def reads(self, place: int) -> set[int]:
        """The places of an example that the logits at `place` depend on."""
        limit = place + 1 if self.blind_from is None else min(place + 1, self.blind_from)
        return {*range(limit), place}

    def tokens(self, *shape: int, seed: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(2, VOCABULARY, shape, generator=generator)


# Blocks and landmarks that are small beside the 24 tokens of vanilla models and the 12 latents of Perceivers.
TOKEN_BLOCKS = {"attention_block_size": 4, "num_landmarks": 3}
LATENT_BLOCKS = {"attention_block_size": 2, "num_landmarks": 3, "num_window_blocks": 1}


def _claims(attention: str) -> dict:
    return {"croppable": attention != "linformer", "has_attentions": attention != "linformer"}


def _vanilla(attention: str = "softmax", position: str = "learned") -> Variant:
    implementations = {
        "softmax": ("eager", "sdpa", "flex_attention"),
        "bigbird": ("eager", "sdpa", "flex_attention"),
    }
    return Variant(
        _name("vanilla", attention, position),
        VanillaGPTConfig,
        VanillaGPTForCausalLM,
        {**TOKEN_BLOCKS, "attention": attention, "position": position},
        implementations=implementations.get(attention, ("eager", "sdpa")),
        static_cache=attention == "softmax",
        everywhere=position == "learned" or attention == "softmax",
        **_claims(attention),
    )


def _perceiver(name: str, fields: dict, **claims) -> Variant:
    claims = {"croppable": fields.get("latent_layout") != "last", **claims}
    return Variant(name, PerceiverGPTConfig, PerceiverGPTForCausalLM, fields, **claims)


def _latent_stack(layout: str, attention: str, position: str) -> Variant:
    claims = _claims(attention)
    claims["croppable"] &= layout != "last"
    return _perceiver(
        _name(layout, attention, position),
        {
            **LATENT_BLOCKS,
            "num_latents": 12,
            "latent_layout": layout,
            "attention": attention,
            "position": position,
        },
        blind_from=12 if layout == "prefix" else None,
        everywhere=(layout, attention, position) in EVERYWHERE,
        **claims,
    )


def _name(family: str, attention: str, position: str) -> str:
    choices = (attention, "softmax"), (position, "learned")
    return "-".join([family, *(choice for choice, default in choices if choice != default)])


def _combinations() -> list[tuple[str, str]]:
    """Every attention with every kind of position that means something to it."""
    return [
        (attention, position)
        for attention in ATTENTIONS
        for position in POSITIONS
        if not (attention.startswith("synthesizer") and position == "rotary")
    ]


# Of the Perceivers of the grid, enough for each value of each axis.
EVERYWHERE = (
    ("spread", "softmax", "rotary"),
    ("spread", "linformer", "learned"),
    ("prefix", "bigbird", "rotary"),
    ("last", "softmax", "learned"),
    ("last", "synthesizer_dense", "learned"),
)

VARIANTS = [
    *(_vanilla(*combination) for combination in _combinations()),
    *(_latent_stack(layout, *combination) for layout in LATENT_LAYOUTS for combination in _combinations()),
    _perceiver("spread-every-token", {"num_latents": 24}, everywhere=False),
    _perceiver("spread-four-layers", {"num_latents": 12, "num_hidden_layers": 4}, everywhere=False),
    _perceiver("spread-every-3rd", {"num_latents": 8}),
    _perceiver("spread-every-5th", {"num_latents": 5}),  # 5 does not divide the block of 24
    _perceiver("spread-spare-latents", {"num_latents": 7}),  # every 4th: 6 of the 7 are used
    _perceiver("spread-one-latent", {"num_latents": 1}),
    _perceiver("spread-no-inner-block", {"num_latents": 8, "num_hidden_layers": 2}, everywhere=False),
    _perceiver("prefix-8", {"num_latents": 8, "latent_layout": "prefix"}, blind_from=8),
    _perceiver("prefix-whole-block", {"num_latents": 24, "latent_layout": "prefix"}, everywhere=False),
    _perceiver("last-5", {"num_latents": 5, "latent_layout": "last"}),
    _perceiver("last-one", {"num_latents": 1, "latent_layout": "last"}, everywhere=False),
    _perceiver("last-whole-block", {"num_latents": 24, "latent_layout": "last"}, everywhere=False),
]
