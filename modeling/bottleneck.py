"""The Perceiver's bottleneck: which tokens carry a latent, who reads what, and the cache for it.

Both layouts are one rule with another choice of *anchors*. A latent stands at an anchor token of its example
and

* the latent reads every token of its example up to its anchor (down-projection),
* a latent reads itself and the earlier latents of its example (the blocks between),
* a token reads the latents anchored at or before it (up-projection).

Anchors, counting the tokens of an example from 0:

* `prefix`: tokens 0, 1, ..., num_latents - 1. This is the published model of the reference task, which cuts
  one lower-triangular mask to (latents x tokens): latent j reads tokens 0..j, and what comes after the
  first `num_latents` tokens never enters the bottleneck.
* `spread`: tokens 0, d, 2d, ... with d = ceil(block / num_latents). The latents cover the whole block. The
  tokens since the last anchor are not in a latent yet, so in the up-projection a token also reads the raw
  inputs of its own stretch of d tokens, up to itself: every earlier token stays within reach.

Cost of a decoding step: the down-projection, the latent blocks and their caches are touched only at anchors,
every d-th token; the other steps pay for one block of the stack (the up-projection).
"""

from dataclasses import dataclass

import torch
from transformers.cache_utils import DynamicLayer, StaticLayer

from .positions import example_indices

NEVER = torch.iinfo(torch.int64).max  # "stands after every token": no token ever reads such a column
LATENT = -1  # stretch of a column that is a latent, not a raw input


@dataclass
class TokenLayout:
    """What masks need to know about the new tokens; every tensor is `(batch, sequence)`.

    Attributes:
        index: place in the row, tokens in the cache counted.
        rank: place in its example, tokens in the cache counted, padding not.
        example: number of its example within the row.
        valid: False for padding.
        past_length: tokens in the cache.
        regular: one whole unpadded example a row, so that anchors are the same for every row.
    """

    index: torch.Tensor
    rank: torch.Tensor
    example: torch.Tensor
    valid: torch.Tensor
    past_length: int
    regular: bool


def token_layout(
    batch_size: int,
    length: int,
    past_length: int,
    attention_mask: torch.Tensor | None,
    position_ids: torch.Tensor | None,
    device: torch.device,
) -> TokenLayout:
    """Lay out `length` new tokens that follow `past_length` cached ones.

    Args:
        attention_mask: `(batch, past_length + length)`, or None for no padding.
        position_ids: `(batch or 1, length)` as given by the caller, or None. Read only without a past, where
            they may pack several examples into a row.
    """
    index = (torch.arange(length, device=device) + past_length).expand(batch_size, length)
    if attention_mask is None:
        valid = torch.ones(batch_size, length, dtype=torch.bool, device=device)
        counted = index + 1
    else:
        everything = attention_mask.to(torch.bool)
        valid = everything[:, -length:]
        counted = everything.long().cumsum(-1)[:, -length:]
    if position_ids is None or past_length:
        example = torch.zeros_like(index)
        rank = counted - 1
    else:
        example = example_indices(position_ids.expand(batch_size, length), valid)
        starts = torch.ones_like(valid)
        starts[:, 1:] = example[:, 1:] != example[:, :-1]
        before = torch.where(starts, counted - valid.long(), 0).cummax(-1).values
        rank = counted - before - 1
    regular = attention_mask is None and (position_ids is None or past_length > 0)
    return TokenLayout(index, rank, example, valid, past_length, regular)


@dataclass
class LatentLayout:
    """The latents due among the new tokens.

    Attributes:
        slot: `(batch, latents)`, which new token (0 = first new one) each latent stands at; padding slots
            point anywhere.
        number: `(batch, latents)`, which learned query it starts from.
        index: `(batch, latents)`, the anchor's place in the row, or `NEVER` for a padding slot.
        example: `(batch, latents)`, the anchor's example.
    """

    slot: torch.Tensor
    number: torch.Tensor
    index: torch.Tensor
    example: torch.Tensor


def latent_layout(tokens: TokenLayout, config) -> LatentLayout:
    """Choose the anchors among the new tokens."""
    distance = config.tokens_per_latent
    length = tokens.index.shape[1]
    if tokens.regular:
        first = -tokens.past_length % distance
        last = length
        if config.latent_layout == "prefix":
            last = min(length, config.num_latents - tokens.past_length)
        slot = torch.arange(first, max(last, first), distance, device=tokens.index.device)
        slot = slot.expand(tokens.index.shape[0], -1)
        due = None
    else:
        anchor = tokens.valid & (tokens.rank % distance == 0)
        if config.latent_layout == "prefix":
            anchor &= tokens.rank < config.num_latents
        # the number of anchors depends on the data, which a traced graph cannot: there, a slot a token
        count = length if torch.compiler.is_compiling() else int(anchor.sum(-1).max())
        slot = (~anchor).to(torch.int8).argsort(dim=-1, stable=True)[:, :count]
        due = anchor.gather(1, slot)
    index = tokens.index.gather(1, slot)
    number = tokens.rank.gather(1, slot) // distance
    if due is not None:
        index = torch.where(due, index, NEVER)
        number = torch.where(due, number, 0)
    return LatentLayout(slot, number, index, tokens.example.gather(1, slot))


def down_mask(tokens: TokenLayout, latents: LatentLayout, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """`(batch, 1, latents, past + new tokens)`: a latent reads its example up to its anchor."""
    total = tokens.past_length + tokens.index.shape[1]
    place = torch.arange(total, device=tokens.index.device)
    visible = place <= latents.index.unsqueeze(-1)
    if not tokens.past_length:
        visible = visible & (tokens.example.unsqueeze(1) == latents.example.unsqueeze(-1))
    if attention_mask is not None:
        visible = visible & attention_mask.to(torch.bool).unsqueeze(1)
    return _never_empty(visible).unsqueeze(1)


def column_mask(
    query_index: torch.Tensor,
    query_example: torch.Tensor,
    query_stretch: torch.Tensor | None,
    columns: "Columns",
) -> torch.Tensor:
    """`(batch, 1, queries, columns)`: a query reads the columns of its example that do not stand after it.

    Raw inputs are read only from within the query's own stretch; `query_stretch=None` reads latents alone.
    """
    visible = columns.index.unsqueeze(1) <= query_index.unsqueeze(-1)
    visible = visible & (columns.index != NEVER).unsqueeze(1)
    visible = visible & (columns.example.unsqueeze(1) == query_example.unsqueeze(-1))
    if query_stretch is not None:
        stretch = columns.stretch.unsqueeze(1)
        visible = visible & ((stretch == LATENT) | (stretch == query_stretch.unsqueeze(-1)))
    return _never_empty(visible).unsqueeze(1)


def _never_empty(visible: torch.Tensor) -> torch.Tensor:
    """Let a query that may read nothing (padding; its output is never read) see everything: no 0/0."""
    return visible | ~visible.any(-1, keepdim=True)


def as_attention_mask(visible: torch.Tensor, implementation: str, dtype: torch.dtype) -> torch.Tensor:
    """The boolean mask in the form that the implementation reads: boolean for SDPA, additive for eager."""
    if implementation == "sdpa":
        return visible
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(
        ~visible, torch.finfo(dtype).min
    )


@dataclass
class Columns:
    """What is known of the keys of a layer; every tensor is `(batch, columns)`.

    Attributes:
        index: place in the row of the token that the column stands at, or `NEVER`.
        example: number of its example.
        stretch: the stretch of `tokens_per_latent` tokens of a raw input, or `LATENT`.
    """

    index: torch.Tensor
    example: torch.Tensor
    stretch: torch.Tensor

    def followed_by(self, other: "Columns") -> "Columns":
        return Columns(
            torch.cat([self.index, other.index], dim=1),
            torch.cat([self.example, other.example], dim=1),
            torch.cat([self.stretch, other.stretch], dim=1),
        )

    def select(self, rows: torch.Tensor) -> "Columns":
        return Columns(self.index[rows], self.example[rows], self.stretch[rows])


class LatentCacheLayer(DynamicLayer):
    """Keys and values of a layer whose columns are not one a token.

    Rows of a left-padded batch reach their anchors at different steps, so each column carries the place of
    its token, row by row. `get_seq_length` counts tokens, as everywhere in transformers. Registered under
    `perceiver_latents`, the kind that `PerceiverGPTConfig.layer_types` names.
    """

    _layer_type = "perceiver_latents"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.columns: Columns | None = None
        self.num_tokens = 0

    def extend(self, columns: Columns, num_new_tokens: int) -> Columns:
        """Announce the columns that the next `update` brings; returns all of them."""
        self.columns = columns if self.columns is None else self.columns.followed_by(columns)
        self.num_tokens += num_new_tokens
        return self.columns

    def get_seq_length(self) -> int:
        return self.num_tokens

    def reset(self) -> None:
        super().reset()
        self.columns = None
        self.num_tokens = 0

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        self.batch_select_indices(beam_idx.to(self.keys.device))

    def batch_repeat_interleave(self, repeats: int) -> None:
        rows = torch.arange(self.keys.shape[0], device=self.keys.device).repeat_interleave(repeats)
        self.batch_select_indices(rows)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        super().batch_select_indices(indices)
        self.columns = self.columns.select(indices)

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last tokens (a negative number, as transformers has it) and the columns at them."""
        if tokens_to_remove > 0:
            raise ValueError("crop takes the number of tokens to remove as a negative number")
        if tokens_to_remove == 0 or self.columns is None:
            return
        self.num_tokens = max(0, self.num_tokens + tokens_to_remove)
        self.columns.index = torch.where(self.columns.index < self.num_tokens, self.columns.index, NEVER)
        kept = (self.columns.index != NEVER).any(0)
        self.columns = Columns(
            self.columns.index[:, kept], self.columns.example[:, kept], self.columns.stretch[:, kept]
        )
        self.keys = self.keys[:, :, kept]
        self.values = self.values[:, :, kept]


class StaticLatentCacheLayer(StaticLayer):
    """Says why there is no cache of fixed size for latents, where the library would raise a bare KeyError."""

    _layer_type = "perceiver_latents"

    def __init__(self, *args, **kwargs):
        raise ValueError(
            "PerceiverGPT decodes with a dynamic cache only (a latent is due every few tokens): leave out "
            "cache_implementation, or pass DynamicCache(config=model.config)"
        )
