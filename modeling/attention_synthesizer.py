"""Synthesizers: attention weights without a product of queries and keys (Tay et al. 2020, section 3).

Both learn something for every position of the block, so a longer block means more parameters. For the block's
very last position no column is learned, as only that position itself could read it; its score is 0. That is
also how the 2021 edition of the reference task counts (3,076,988 parameters).

A row of T tokens costs O(T^2 D) in time, as softmax does; a decoding step O(T D). The cache holds the values
only, D numbers a token (and one more a token, by which it counts).
"""

import torch
from torch import nn
from transformers import initialization as init

from .positions import Rotary
from .token_mixer import TokenMixer, weigh


class SynthesizerAttention(TokenMixer):
    """What both kinds share: their columns, and a cache of values alone."""

    @property
    def num_columns(self) -> int:
        return max(1, self.num_positions - 1)

    def cached_values(self, hidden_states: torch.Tensor, past_key_values) -> torch.Tensor:
        """Values of all tokens, `(B, heads, keys, head_dim)`."""
        value = self.split_heads(self.v_proj(hidden_states))
        if past_key_values is not None:
            # the library counts cached tokens by their keys, and there are none here: a number a token will do
            _, value = past_key_values.update(value[:, :1, :, :1], value, self.layer_idx)
        return value

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
        value = self.cached_values(hidden_states, past_key_values)
        if hidden_states.shape[1] == 0:
            return hidden_states, None
        mixed, weights = self.mix(hidden_states, value, attention_mask, rank, key_rank, **kwargs)
        return self.merge_heads(mixed), weights


class DenseSynthesizerAttention(SynthesizerAttention):
    """A token's scores for all positions come from the token alone: `w2 relu(w1 x) + b2`.

    `w1` maps into heads; `w2` and `b2` are shared by them, as in the 2021 edition of the reference task. Read as
    a dot product, `w2` holds a learned key for every position, and `b2` is one more number of that key: so the
    attention kernels, masks and packed rows serve it unchanged.
    """

    def __init__(self, config, layer_idx: int, num_positions: int):
        super().__init__(config, layer_idx, num_positions)
        self.add_projections("w1_proj", "v_proj")
        self.w2 = nn.Parameter(torch.empty(self.head_dim, self.num_columns))
        self.b2 = nn.Parameter(torch.empty(self.num_columns))

    @torch.no_grad()
    def init_own_weights(self) -> None:
        """Nearly uniform weights over the past at first, as in the reference task."""
        init.uniform_(self.w2, -0.001, 0.001)
        init.zeros_(self.b2)

    def mix(self, hidden_states, value, attention_mask, rank, key_rank, **kwargs):
        query = self.split_heads(nn.functional.relu(self.w1_proj(hidden_states)))
        query = nn.functional.pad(query, (0, 1), value=1.0)
        learned = torch.cat([self.w2, self.b2.unsqueeze(0)]).T
        learned = nn.functional.pad(learned, (0, 0, 0, max(0, self.num_positions - self.num_columns)))
        key = learned[key_rank].unsqueeze(1).to(query.dtype)  # (B or 1, 1, keys, head_dim + 1)
        key = key.expand(query.shape[0], query.shape[1], -1, -1)
        if self.config._attn_implementation == "sdpa":
            # fused kernels want queries and values of one size: a column of zeros, cut off again
            value = nn.functional.pad(value, (0, 1))
        mixed, weights = self.attend(query, key, value, attention_mask, scaling=1.0, **kwargs)
        return mixed[..., : self.head_dim], weights


class RandomSynthesizerAttention(SynthesizerAttention):
    """Scores that depend on nothing but the two positions: a learned matrix for each head.

    There is no product for a fused kernel to speed up: `eager` and `sdpa` run the same lines.
    """

    def __init__(self, config, layer_idx: int, num_positions: int):
        super().__init__(config, layer_idx, num_positions)
        self.add_projections("v_proj")
        heads = config.num_attention_heads
        self.position_scores = nn.Parameter(torch.empty(heads, num_positions, self.num_columns))

    @torch.no_grad()
    def init_own_weights(self) -> None:
        """Standard normal scores, so that heads differ from the first step on (Tay et al. 2020 draw them so)."""
        init.normal_(self.position_scores, std=1.0)

    def mix(self, hidden_states, value, attention_mask, rank, key_rank, **kwargs):
        rank, column = rank.clamp(min=0), key_rank.clamp(max=self.num_columns - 1)  # padding stands nowhere
        if rank.shape[0] == 1 and key_rank.shape[0] == 1:
            scores = self.position_scores.index_select(1, rank[0]).index_select(2, column[0]).unsqueeze(0)
        else:
            scores = self.position_scores[:, rank.unsqueeze(-1), column.unsqueeze(-2)]
            scores = scores.transpose(0, 1)  # (B, heads, queries, keys)
        unlearned = (key_rank >= self.num_columns)[:, None, None]
        scores = scores.masked_fill(unlearned, 0)
        return weigh(self, as_scores(scores, attention_mask, value), value, self.dropout)


def as_scores(scores: torch.Tensor, attention_mask: torch.Tensor | None, value: torch.Tensor) -> torch.Tensor:
    """Mask the scores by either form of mask; none means plainly causal, or one last query that reads all."""
    scores = scores.to(value.dtype).expand(value.shape[0], -1, -1, -1)
    num_queries, num_keys = scores.shape[-2:]
    if attention_mask is None:
        if num_queries == 1:
            return scores
        later = torch.ones(num_queries, num_keys, dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill(later, torch.finfo(scores.dtype).min)
    if attention_mask.dtype == torch.bool:
        return scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    return scores + attention_mask
