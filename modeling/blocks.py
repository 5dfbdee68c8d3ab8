"""The layers that both families are built from.

Shapes: B batch, T tokens, N latents, D hidden.
"""

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import TOKEN_MIXERS
from .configuration_gpt import read_wiring
from .positions import at_places


class GPTEmbeddings(nn.Module):
    """Characters and, where positions are learned, those: `(B, T, D) -> (B, T, D)`."""

    def __init__(self, config):
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = None
        if config.position == "learned":
            self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.dropout = nn.Dropout(config.embedding_dropout)

    def forward(self, inputs_embeds: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
        if self.positions is not None:
            inputs_embeds = inputs_embeds + self.positions(position_ids)
        return self.dropout(inputs_embeds)


class GPTFeedForward(nn.Module):
    """Two linear maps with a non-linearity between, `(B, T, D) -> (B, T, D)`."""

    def __init__(self, config):
        super().__init__()
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size)
        self.down_proj.adds_to_residual_stream = True  # initialised smaller, see GPTPreTrainedModel

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.activation(self.up_proj(hidden_states)))


class GPTBlock(GradientCheckpointingLayer):
    """Pre-norm block: `x + attention(norm(x))`, then `x + feed_forward(norm(x))`.

    Args:
        attention: name of its token mixer.
    """

    def __init__(self, config, layer_idx: int, attention: str):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.self_attn = TOKEN_MIXERS[attention](config, layer_idx, config.stack_length)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = GPTFeedForward(config)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask=None,
        past_key_values=None,
        places: torch.Tensor | None = None,
        **kwargs,
    ):
        """With `places` only what stands there is returned, see `add_feed_forward`."""
        mixed, _ = self.self_attn(
            self.attention_norm(hidden_states), attention_mask, past_key_values=past_key_values, **kwargs
        )
        return self.add_feed_forward(hidden_states + self.dropout(mixed), places=places)

    def add_feed_forward(
        self, hidden_states: torch.Tensor, residual: bool = True, places: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What is written to each position by itself, `(B, T, D)`.

        Args:
            places: where it is wanted, as `labelled_places` says it, None for everywhere. Nothing else is
                computed, and `(places, D)` returned: for the last block, whose other positions nobody reads.
        """
        if places is not None:
            hidden_states = at_places(hidden_states, places)
        changed = self.dropout(self.mlp(self.feed_forward_norm(hidden_states)))
        return hidden_states + changed if residual else changed


class PerceiverDownBlock(GPTBlock):
    """Reads the sequence `(B, T, D)` into latents `(B, N, D)`.

    The queries are learned vectors, one a latent; where the latents are the last positions themselves, their
    inputs. In the published layout the norm is applied to the queries and the raw inputs are read, if the
    configuration has no other `wiring`; the other layouts normalise both, which keeps keys at the scale of the
    other blocks from the first step on.
    """

    def __init__(self, config, layer_idx: int):
        super().__init__(config, layer_idx, "softmax")
        own = "C+attn(ln(C),ln(x)),h+mlp; x+attn(x,y),mlp"
        self.wiring = read_wiring(own if config.latent_layout != "prefix" else config.wiring or "residual")[0]
        self.latents = None
        if config.latent_layout != "last":
            self.latents = nn.Parameter(torch.empty(config.num_latents, config.hidden_size))

    def forward(
        self,
        inputs: torch.Tensor,
        number: torch.Tensor,
        slot: torch.Tensor,
        attention_mask=None,
        past_key_values=None,
        **kwargs,
    ):
        """`number`, `slot`: `(B, N)`, which latent each is, and at which new token it stands."""
        wiring = self.wiring
        queries = inputs[:, -number.shape[1] :] if self.latents is None else self.latents[number]
        mixed, _ = self.self_attn(
            self.attention_norm(queries) if wiring.norm_queries else queries,
            attention_mask,
            past_key_values=past_key_values,
            key_value_states=self.attention_norm(inputs) if wiring.norm_keys else inputs,
            **kwargs,
        )
        mixed = self.dropout(mixed)
        if wiring.residual == "x":
            mixed = _at(slot, inputs) + mixed
        elif wiring.residual is not None:
            mixed = queries + mixed
        return self.add_feed_forward(mixed, wiring.mlp_residual)


class PerceiverUpBlock(GPTBlock):
    """Reads the latents `(B, N, D)` back into every position `(B, T, D)`.

    The published layout asks with the raw inputs and reads latents alone, if the configuration has no other
    `wiring`; the default layout asks with the normalised inputs and reads the inputs of the own stretch as well.
    """

    def __init__(self, config, layer_idx: int):
        super().__init__(config, layer_idx, "softmax")
        self.reads_inputs = config.latent_layout != "prefix"
        own = "C+attn(C,x),mlp; x+attn(ln(x),ln(y)),h+mlp"
        self.wiring = read_wiring(own if self.reads_inputs else config.wiring or "residual")[1]

    def forward(
        self,
        inputs: torch.Tensor,
        latents: torch.Tensor,
        slot: torch.Tensor,
        attention_mask=None,
        past_key_values=None,
        places: torch.Tensor | None = None,
        **kwargs,
    ):
        """`slot`: `(B, N)`, at which new token each latent stands, no two at one. `places`: see
        `add_feed_forward`."""
        wiring = self.wiring
        queries = self.attention_norm(inputs) if wiring.norm_queries else inputs
        source = self.attention_norm(latents) if wiring.norm_keys else latents
        if self.reads_inputs:
            source = torch.cat([source, queries], dim=1)
        mixed, _ = self.self_attn(
            queries, attention_mask, past_key_values=past_key_values, key_value_states=source, **kwargs
        )
        mixed = self.dropout(mixed)
        if wiring.residual == "x":
            mixed = inputs + mixed
        elif wiring.residual == "y":
            slots = slot.unsqueeze(-1).expand(-1, -1, latents.shape[-1])
            mixed = torch.zeros_like(inputs).scatter(1, slots, latents) + mixed
        return self.add_feed_forward(mixed, wiring.mlp_residual, places)


def _at(slot: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
    """The rows `(B, N, D)` of `(B, T, D)` at the places `slot` `(B, N)`."""
    return hidden_states.gather(1, slot.unsqueeze(-1).expand(-1, -1, hidden_states.shape[-1]))
