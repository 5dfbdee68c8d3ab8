"""Scaled dot-product attention through transformers' attention interface.

The contract of a token mixer in this package: called with the queries' input `(batch, queries, hidden)`, a
mask in the form that the configured implementation wants, optionally a cache and optionally another
sequence `(batch, keys, hidden)` to read from; returns the mixed values `(batch, queries, hidden)` and the
attention weights `(batch, heads, queries, keys)`, or `None` where the implementation does not keep them.
"""

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The definition, spelled out: `softmax(q k^T * scaling + mask) v`, with weights kept.

    `query`, `key`, `value`: `(batch, heads, length, head_dim)`; `attention_mask`: additive,
    `(batch, 1, queries, keys)`. Returns `(batch, queries, heads, head_dim)` and the weights.
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    # float32 whatever the inputs are: half-precision softmax loses the tail that exact recall needs
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class SoftmaxAttention(nn.Module):
    """Multi-head attention, of a sequence to itself or to another one.

    Args:
        config: sizes, dropout and the chosen implementation (`eager`, `sdpa`, ...).
        layer_idx: which layer of a cache is this module's.
    """

    def __init__(self, config, layer_idx: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.scaling = config.head_dim**-0.5
        self.is_causal = True
        self.num_key_value_groups = 1
        self.q_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.k_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.o_proj.adds_to_residual_stream = True  # initialised smaller, see GPTPreTrainedModel

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values=None,
        key_value_states: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        source = hidden_states if key_value_states is None else key_value_states
        key = self._split_heads(self.k_proj(source))
        value = self._split_heads(self.v_proj(source))
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        if hidden_states.shape[1] == 0:  # a decoding step at which no latent is due: only the cache grows
            return hidden_states, None
        query = self._split_heads(self.q_proj(hidden_states))
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        mixed, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            scaling=self.scaling,
            dropout=self.config.attention_dropout if self.training else 0.0,
            **kwargs,
        )
        return self.o_proj(mixed.reshape(*hidden_states.shape[:-1], -1).contiguous()), weights

    def _split_heads(self, projected: torch.Tensor) -> torch.Tensor:
        """`(batch, length, hidden)` -> `(batch, heads, length, head_dim)`."""
        return projected.view(*projected.shape[:-1], self.config.num_attention_heads, self.head_dim).transpose(
            1, 2
        )
