"""The table of architectures under test.

A line in `VARIANTS` gives an architecture every law of this folder: a test that takes the argument `variant`
runs once for each. What an architecture claims (reach, attention implementations, static caches) stands in
the table too, and the tests hold it to exactly that.
"""

from dataclasses import dataclass, field

import pytest
import torch
from transformers import PreTrainedModel

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
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
    """

    name: str
    config_class: type
    model_class: type
    fields: dict = field(default_factory=dict)
    blind_from: int | None = None
    implementations: tuple[str, ...] = ("eager", "sdpa")
    static_cache: bool = False

    block = BLOCK
    vocabulary = VOCABULARY

    def config(self, **fields):
        """Without dropout and without an end token, unless `fields` says otherwise."""
        sizes = {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 4,
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
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter += 0.1 * torch.randn_like(parameter)
        return model.eval()

    def reads(self, place: int) -> set[int]:
        """The places of an example that the logits at `place` depend on."""
        limit = place + 1 if self.blind_from is None else min(place + 1, self.blind_from)
        return {*range(limit), place}

    def tokens(self, *shape: int, seed: int = 1) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(2, VOCABULARY, shape, generator=generator)


def _vanilla(name: str, **claims) -> Variant:
    return Variant(name, VanillaGPTConfig, VanillaGPTForCausalLM, **claims)


def _perceiver(name: str, fields: dict, **claims) -> Variant:
    return Variant(name, PerceiverGPTConfig, PerceiverGPTForCausalLM, fields, **claims)


VARIANTS = [
    _vanilla("vanilla", implementations=("eager", "sdpa", "flex_attention"), static_cache=True),
    _perceiver("spread-every-token", {"num_latents": 24}),
    _perceiver("spread-every-2nd", {"num_latents": 12, "num_hidden_layers": 3}),
    _perceiver("spread-every-3rd", {"num_latents": 8}),
    _perceiver("spread-every-5th", {"num_latents": 5}),  # 5 does not divide the block of 24
    _perceiver("spread-spare-latents", {"num_latents": 7}),  # every 4th: 6 of the 7 are used
    _perceiver("spread-one-latent", {"num_latents": 1, "num_hidden_layers": 3}),
    _perceiver("spread-no-inner-block", {"num_latents": 8, "num_hidden_layers": 2}),
    _perceiver("prefix-8", {"num_latents": 8, "latent_layout": "prefix"}, blind_from=8),
    _perceiver("prefix-whole-block", {"num_latents": 24, "latent_layout": "prefix"}),
]


def pytest_generate_tests(metafunc):
    if "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)


@pytest.fixture(scope="session")
def variants() -> list[Variant]:
    """The whole table at once, for tests that start a process."""
    return VARIANTS
