"""Scaled dot-product attention (Vaswani et al. 2017), of a sequence to itself or to another one.

Position t reads every position up to t. Time and memory of a row of T tokens: O(T^2 D) and, where the
implementation keeps the weights, O(T^2); a decoding step O(T D), with 2 D cached numbers a token.
"""

import torch

from .positions import Rotary, rotate
from .token_mixer import TokenMixer, multiplied_in


class SoftmaxAttention(TokenMixer):
    """Multi-head attention. With rotary positions, keys are turned before they are cached."""

    implementations = None
    uses_places = False

    def __init__(self, config, layer_idx: int, num_positions: int):
        super().__init__(config, layer_idx, num_positions)
        self.add_projections("q_proj", "k_proj", "v_proj")

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values=None,
        key_value_states: torch.Tensor | None = None,
        rank: torch.Tensor | None = None,
        key_rank: torch.Tensor | None = None,
        rotary: Rotary | None = None,
        key_rotary: Rotary | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        hidden_states = multiplied_in(hidden_states)
        source = hidden_states if key_value_states is None else multiplied_in(key_value_states)
        key = rotate(self.split_heads(self.k_proj(source)), rotary if key_value_states is None else key_rotary)
        value = self.split_heads(self.v_proj(source))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        if hidden_states.shape[1] == 0:  # a decoding step at which no latent is due: only the cache grows
            return hidden_states, None
        query = rotate(self.split_heads(self.q_proj(hidden_states)), rotary)
        mixed, weights = self.attend(query, key, value, attention_mask, **kwargs)
        return self.merge_heads(mixed), weights
