"""The Perceiver's bottleneck: which tokens carry a latent, who reads what, and the cache for it.

All layouts are one rule with another choice of *anchors*. A latent stands at an anchor token of its example, and

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
* `last`: the last positions, as in Perceiver AR (Hawthorne et al. 2022, section 3). There, of a long input the
  last N positions are latents, which read the whole past once and then only each other. Which positions are
  the last ones must not depend on how much follows, or a cache would be wrong: so an example is cut into
  stretches of N = `num_latents` tokens, every token is a latent of its stretch, and the blocks between see
  nothing outside of it. For the last stretch this is Perceiver AR with its 1 to N latents. Only the
  stretches whose logits are asked for (`logits_to_keep`) are computed at all, the tokens before them cost
  one layer's keys and values. There is nothing to project up.

Cost for T tokens, N latents, L layers. `spread`, `prefix`: O(T N D) into and out of the latents and
O(N^2 D) a block between. `last`: O(N T D) down and O(N^2 D) a block for each stretch that is computed, one for
generation, all T / N for the logits of every position. A decoding step: `spread` touches the down-projection,
the latent blocks and their caches at anchors only, every d-th token, the other steps pay for one block
(the up-projection); `prefix` likewise, within its first N tokens; `last` one row over T tokens, the
others over at most N, which is also all that their caches keep.
"""

from dataclasses import dataclass

import torch
from transformers.cache_utils import DynamicLayer, StaticLayer

from .positions import SequenceLayout

NEVER = torch.iinfo(torch.int64).max  # "stands after every token": no token ever reads such a column
LATENT = -1  # stretch of a column that is a latent, not a raw input


@dataclass
class LatentLayout:
    """The latents due among the new tokens.

    Attributes:
        slot: `(batch, latents)`, which new token (0 = first new one) each latent stands at; padding slots
            point anywhere.
        number: `(batch, latents)`, its place among the latents of its example, or of its stretch where the
            latents are the last positions: which learned query it starts from.
        index: `(batch, latents)`, the anchor's place in the row, or `NEVER` for a padding slot.
        example: `(batch, latents)`, the anchor's example.
        stretch: `(batch, latents)`, its stretch where the latents are the last positions, else `LATENT`.
        first_number: the first of them where every row has the same, one after the other, else None.
    """

    slot: torch.Tensor
    number: torch.Tensor
    index: torch.Tensor
    example: torch.Tensor
    stretch: torch.Tensor
    first_number: int | None

    @property
    def columns(self) -> "Columns":
        return Columns(self.index, self.example, self.stretch, self.number)


def last_latents(tokens: SequenceLayout, config, num_asked: int) -> LatentLayout:
    """Every token is a latent, from the first one of the stretches that the last `num_asked` tokens lie in."""
    length = tokens.index.shape[1]
    asked = max(0, length - num_asked) if num_asked else 0
    if tokens.regular:
        # back to where the stretch begins, or to where the new tokens do: the cache has the rest
        start = max(0, asked - (tokens.past_length + asked) % config.num_latents) if asked else 0
    elif torch.compiler.is_compiling() or not asked:
        start = 0  # where a stretch begins depends on the data
    else:
        stretch = tokens.rank // config.num_latents
        same = (stretch == stretch[:, asked, None]) & (tokens.example == tokens.example[:, asked, None])
        start = int(same.to(torch.int8).argmax(-1).min())
    index = torch.where(tokens.valid, tokens.index, NEVER)[:, start:]
    rank = tokens.rank[:, start:].clamp(min=0)
    slot = (torch.arange(length - start, device=rank.device) + start).expand_as(rank)
    return LatentLayout(
        slot,
        rank % config.num_latents,
        index,
        tokens.example[:, start:],
        rank // config.num_latents,
        first_number=None,
    )


def fold_stretches(hidden_states: torch.Tensor, size: int) -> torch.Tensor:
    """`(B, T, D)` -> `(B * stretches, size, D)`, the last stretch filled up with zeros.

    What is filled up comes after every token of its stretch, so a causal stack never reads it.
    """
    filled = torch.nn.functional.pad(hidden_states, (0, 0, 0, -hidden_states.shape[1] % size))
    return filled.unflatten(1, (-1, size)).flatten(0, 1)


def one_stretch(size: int, num_rows: int, device: torch.device) -> LatentLayout:
    """The latents of folded stretches, one a row."""
    number = torch.arange(size, device=device).expand(num_rows, -1)
    zeros = torch.zeros_like(number)
    return LatentLayout(number, number, number, zeros, zeros, first_number=0)


def latent_layout(tokens: SequenceLayout, config) -> LatentLayout:
    """Choose the anchors among the new tokens, `spread` or `prefix`."""
    distance = config.tokens_per_latent
    length = tokens.index.shape[1]
    if tokens.regular:
        first = -tokens.past_length % distance
        last = length
        if config.latent_layout == "prefix":
            last = min(length, config.num_latents - tokens.past_length)
        slot = torch.arange(first, max(last, first), distance, device=tokens.index.device)
        slot = slot.expand(tokens.index.shape[0], -1)
        first_number = (tokens.past_length + first) // distance
        due = None
    else:
        anchor = tokens.valid & (tokens.rank % distance == 0)
        if config.latent_layout == "prefix":
            anchor &= tokens.rank < config.num_latents
        # the number of anchors depends on the data, which a traced graph cannot: there, a slot a token
        count = length if torch.compiler.is_compiling() else int(anchor.sum(-1).max())
        # anchors first, each group in the order of the row: a key of its own each, as ONNX has no stable sort
        place = torch.arange(length, device=anchor.device)
        slot = torch.where(anchor, place, place + length).argsort(dim=-1)[:, :count]
        due = anchor.gather(1, slot)
        first_number = None
    index = tokens.index.gather(1, slot)
    number = tokens.rank.gather(1, slot) // distance
    if due is not None:
        index = torch.where(due, index, NEVER)
        number = torch.where(due, number, 0)
    stretch = torch.full_like(index, LATENT)
    return LatentLayout(slot, number, index, tokens.example.gather(1, slot), stretch, first_number)


def down_mask(tokens: SequenceLayout, latents: LatentLayout, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """`(batch, 1, latents, past + new tokens)`: a latent reads its example up to its anchor."""
    total = tokens.past_length + tokens.index.shape[1]
    place = torch.arange(total, device=tokens.index.device)
    visible = place <= latents.index.unsqueeze(-1)
    if not tokens.past_length:
        visible = visible & (tokens.example.unsqueeze(1) == latents.example.unsqueeze(-1))
    if attention_mask is not None:
        visible = visible & attention_mask.to(torch.bool).unsqueeze(1)
    return never_empty(visible).unsqueeze(1)


def column_mask(
    query_index: torch.Tensor,
    query_example: torch.Tensor,
    query_stretch: torch.Tensor | None,
    columns: "Columns",
    pattern: torch.Tensor | None = None,
) -> torch.Tensor:
    """`(batch, 1, queries, columns)`: a query reads the columns of its example that do not stand after it.

    Args:
        query_stretch: `(batch, queries)`; columns of another stretch are not read. None: latents are read
            whatever their stretch.
        pattern: `(batch, queries, columns)`, what a query may read beside that, or None.
    """
    visible = columns.index.unsqueeze(1) <= query_index.unsqueeze(-1)
    visible = visible & (columns.index != NEVER).unsqueeze(1)
    visible = visible & (columns.example.unsqueeze(1) == query_example.unsqueeze(-1))
    if query_stretch is not None:
        stretch = columns.stretch.unsqueeze(1)
        visible = visible & ((stretch == LATENT) | (stretch == query_stretch.unsqueeze(-1)))
    if pattern is not None:
        visible = visible & pattern
    return never_empty(visible).unsqueeze(1)


def never_empty(visible: torch.Tensor) -> torch.Tensor:
    """Let a query that may read nothing (padding; its output is never read) see everything: no 0/0."""
    return visible | ~visible.any(-1, keepdim=True)


@dataclass
class Columns:
    """What is known of the keys of a layer; every tensor is `(batch, columns)`.

    Attributes:
        index: place in the row of the token that the column stands at, or `NEVER`.
        example: number of its example.
        stretch: the stretch of a raw input (`tokens_per_latent` tokens) or of one of the last latents
            (`num_latents` tokens), to which readers of another stretch are blind; `LATENT` if all may read it.
        number: the latent's place among the latents of its example or stretch; 0 for a raw input.
    """

    index: torch.Tensor
    example: torch.Tensor
    stretch: torch.Tensor
    number: torch.Tensor

    def __iter__(self):
        return iter((self.index, self.example, self.stretch, self.number))

    def followed_by(self, other: "Columns") -> "Columns":
        return Columns(*(torch.cat(pair, dim=1) for pair in zip(self, other, strict=True)))

    def select(self, rows=slice(None), columns=slice(None)) -> "Columns":
        return Columns(*(tensor[rows][:, columns] for tensor in self))


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
        self.keep_columns((self.columns.index != NEVER).any(0))

    def keep_columns(self, kept: torch.Tensor) -> None:
        self.columns = self.columns.select(columns=kept)
        self.keys = self.keys[:, :, kept]
        self.values = self.values[:, :, kept]


class AllTokensCacheLayer(DynamicLayer):
    """Keys and values of every token, beside layers that cannot be cropped: cutting this one alone would be wrong.

    Registered under `perceiver_all_tokens`.
    """

    _layer_type = "perceiver_all_tokens"
    is_croppable = False

    def crop(self, tokens_to_remove: int) -> None:
        if tokens_to_remove:
            raise ValueError("the latent stack of this model cannot be rolled back, so no token can be taken back")


class StretchCacheLayer(LatentCacheLayer):
    """The same where the latents are the last positions: a stretch that is over is forgotten.

    Registered under `perceiver_last_latents`. What was forgotten cannot come back, so it cannot be cropped.
    """

    _layer_type = "perceiver_last_latents"
    is_croppable = False

    def extend(self, columns: Columns, num_new_tokens: int) -> Columns:
        if self.columns is not None and columns.index.shape[1]:
            beginning = columns.select(columns=slice(0, 1))
            going_on = (self.columns.stretch == beginning.stretch) & (self.columns.index != NEVER)
            # a row of nothing but padding so far says nothing about where its example is
            self.keep_columns((going_on | (beginning.index == NEVER)).any(0))
        return super().extend(columns, num_new_tokens)

    def crop(self, tokens_to_remove: int) -> None:
        if tokens_to_remove:
            raise ValueError(
                "with latent_layout='last' the cache forgets a stretch of latents once it is over, so no token "
                "can be taken back from it"
            )


class StaticLatentCacheLayer(StaticLayer):
    """Says why there is no cache of fixed size for latents, where the library would raise a bare KeyError."""

    _layer_type = "perceiver_latents"

    def __init__(self, *args, **kwargs):
        raise ValueError(
            "PerceiverGPT decodes with a dynamic cache only (a latent is due every few tokens): leave out "
            "cache_implementation, or pass DynamicCache(config=model.config)"
        )


class StaticStretchCacheLayer(StaticLatentCacheLayer):
    """The same for the layout in which the latents are the last positions."""

    _layer_type = "perceiver_last_latents"


class StaticAllTokensCacheLayer(StaticLatentCacheLayer):
    """The same for the first layer of models that cannot be rolled back."""

    _layer_type = "perceiver_all_tokens"
