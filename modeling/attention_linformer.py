"""Causal Linformer: the past compressed to landmarks, the own block read exactly.

Linformer (Wang et al. 2020) multiplies the keys and values of a sequence of n tokens by a learned matrix of
k rows and n columns, so that k landmarks stand for n tokens. As published that reads the future. Made causal by
blocks of c tokens: for a token in block b the landmarks are made of the blocks before b only,

    landmarks(b) = 1/b * sum over blocks j < b of E_j K_j,        E_j: the k x c columns of block j,

so that they are a running mean whatever the length, and the tokens of the own block, up to itself, are read
as they are. One softmax over both.

A row of T tokens costs O(T (k + c) D), linear in T; packed or padded rows add O((T / c)^2 k D) for their sums,
which is less up to T = c^2. A decoding step costs O((k + c) D), and the cache is a state of constant size,
2 (k + c) D numbers a row and layer, which cannot be rolled back.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init
from transformers.cache_utils import DynamicLayer, StaticLayer

from .positions import Rotary, rotate
from .token_mixer import TokenMixer, as_mask


@dataclass
class BlockLayout:
    """Where the new tokens of a row stand in blocks of c tokens; made once a forward pass for all layers.

    Every example begins a block, so packed rows have partly filled blocks in their middle.

    Attributes:
        slot: `(B, T)`, block within the row times c plus place in the block; `blocks * c` for padding.
        contiguous: the slots of the first token and after the last one where all rows stand alike without
            gaps, else None.
        number: `(B or 1, blocks)`, which block of its example it is.
        filled: `(B, blocks * c)`, which slots hold a token, those of the cache included.
        before: `(B, blocks, blocks)`, whether the second is an earlier block of the same example, or None where
            every row is one example, so that a running sum will do.
        continued: `(B or 1, blocks)`, whether the block belongs to the example that the cache has begun.
        offset: `(B,)`, tokens of the first block that are in the cache.
        last: `(B,)`, the block of the last token, or -1 for a row of nothing but padding.
        last_fill: `(B,)`, tokens in that block.
    """

    slot: torch.Tensor
    contiguous: tuple[int, int] | None
    number: torch.Tensor
    filled: torch.Tensor
    before: torch.Tensor | None
    continued: torch.Tensor
    offset: torch.Tensor
    last: torch.Tensor
    last_fill: torch.Tensor


def block_layout(config, rank: torch.Tensor, valid: torch.Tensor, first_rank: int | None = None) -> BlockLayout:
    """Lay tokens out in blocks of `config.attention_block_size`.

    Args:
        rank: `(B, T)`, place of each token in its example, cached ones counted.
        valid: `(B, T)`, False for padding.
        first_rank: the rank of the first token where every row holds one whole stretch of one example from
            there; spares looking at the values.
    """
    size = config.attention_block_size
    batch_size, length = rank.shape
    place = rank.clamp(min=0) % size
    contiguous = None
    if first_rank is not None:
        contiguous = (first_rank % size, first_rank % size + length)
        count = -(-contiguous[1] // size)
        block = (rank - first_rank + contiguous[0]) // size
        number = first_rank // size + torch.arange(count, device=rank.device).unsqueeze(0)
    else:
        after_token = valid.long().cumsum(-1) > valid.long()
        block = (valid & ((place == 0) | ~after_token)).long().cumsum(-1) - 1
        # the number of blocks depends on the data, which a traced graph cannot: there, a block a token
        count = length if torch.compiler.is_compiling() else max(1, int(block.max()) + 1)
        # one place more than there are takes what belongs nowhere
        number = rank.new_zeros(batch_size, count + 1)
        number = number.scatter(1, torch.where(valid, block, count), rank.clamp(min=0) // size)[:, :count]
    slot = torch.where(valid, block * size + place, count * size)
    arrived = torch.zeros(batch_size, count * size + 1, dtype=torch.bool, device=rank.device)
    arrived = arrived.scatter(1, slot, True)[:, :-1]
    last = torch.where(valid, block, -1).amax(-1)
    first_token = valid.to(torch.int8).argmax(-1, keepdim=True)
    offset = torch.where(last >= 0, place.gather(1, first_token).squeeze(1), 0)
    last_fill = arrived.unflatten(1, (count, size)).sum(-1).gather(1, last.clamp(min=0).unsqueeze(1)).squeeze(1)
    example = (number == 0).long().cumsum(-1)
    before = None
    if first_rank is None:
        before = (example.unsqueeze(1) == example.unsqueeze(2)).tril(-1)
    return BlockLayout(
        slot=slot,
        contiguous=contiguous,
        number=number,
        filled=arrived | (torch.arange(count * size, device=rank.device) < offset.unsqueeze(1)),
        before=before,
        continued=example == 0,
        offset=offset,
        last=last,
        last_fill=last_fill + torch.where(last == 0, offset, 0),
    )


class LandmarkCacheLayer(DynamicLayer):
    """The state of causal Linformer: unfinished sums over whole blocks, and the tokens of the last block.

    `keys` and `values` are `(B, heads, k + c, head_dim)`: k sums, then the c slots of the block that is being
    filled. Registered under `linformer_landmarks`, the kind that the configurations' `layer_types` names.
    """

    _layer_type = "linformer_landmarks"
    is_croppable = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.num_tokens = 0

    def store(self, keys: torch.Tensor, values: torch.Tensor, num_new_tokens: int) -> None:
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values
        self.num_tokens += num_new_tokens

    def get_seq_length(self) -> int:
        return self.num_tokens

    def reset(self) -> None:
        super().reset()
        self.num_tokens = 0
        self.is_initialized = False

    def crop(self, tokens_to_remove: int) -> None:
        if tokens_to_remove:
            raise ValueError("the past of linformer attention is a sum, from which no token can be taken back")


class StaticLandmarkCacheLayer(StaticLayer):
    """Says why there is no other cache of fixed size, where the library would raise a bare KeyError."""

    _layer_type = "linformer_landmarks"

    def __init__(self, *args, **kwargs):
        raise ValueError(
            "linformer attention decodes with a dynamic cache only, whose size is constant anyway: leave out "
            "cache_implementation, or pass DynamicCache(config=model.config)"
        )


class LinformerAttention(TokenMixer):
    """Softmax over k landmarks of the past and the tokens of the own block.

    There are no weights over tokens to return.
    """

    lay_out = staticmethod(block_layout)

    def __init__(self, config, layer_idx: int, num_positions: int):
        super().__init__(config, layer_idx, num_positions)
        self.add_projections("q_proj", "k_proj", "v_proj")
        self.block_size = config.attention_block_size
        self.num_landmarks = config.num_landmarks
        projections = 1 if config.share_landmark_projections else config.num_attention_heads
        # for each block: (projections, c, k)
        shape = (num_positions // self.block_size, projections, self.block_size, self.num_landmarks)
        self.key_landmarks = nn.Parameter(torch.empty(shape))
        self.value_landmarks = nn.Parameter(torch.empty(shape))

    @torch.no_grad()
    def init_own_weights(self) -> None:
        """Landmarks of the size of keys: a sum of c keys with weights of variance 1 / c."""
        for projection in (self.key_landmarks, self.value_landmarks):
            init.normal_(projection, std=self.block_size**-0.5)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: BlockLayout,
        past_key_values=None,
        key_value_states: torch.Tensor | None = None,
        rank: torch.Tensor | None = None,
        key_rank: torch.Tensor | None = None,
        rotary: Rotary | None = None,
        key_rotary: Rotary | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, None]:
        layout, length = attention_mask, hidden_states.shape[1]
        if length == 0:  # a decoding step at which no latent is due
            return hidden_states, None
        query = rotate(self.split_heads(self.q_proj(hidden_states)), rotary)
        key = rotate(self.split_heads(self.k_proj(hidden_states)), rotary)
        value = self.split_heads(self.v_proj(hidden_states))
        cache = None if past_key_values is None else past_key_values.layers[self.layer_idx]
        if length == 1 and cache is not None and cache.is_initialized:
            return self.merge_heads(self._step(query, key, value, layout, cache, **kwargs)), None
        keys, sums, key_state = self._compress(key, self.key_landmarks, layout, cache, "keys")
        key = torch.cat([sums, keys], dim=3)
        values, sums, value_state = self._compress(value, self.value_landmarks, layout, cache, "values")
        value = torch.cat([sums, values], dim=3)
        if cache is not None:
            cache.store(key_state, value_state, length)
        mixed, _ = self.attend(
            *(self._blocks_as_rows(blocks) for blocks in (self._into_blocks(query, layout), key, value)),
            self._mask(layout, query.dtype),
            **kwargs,
        )
        mixed = mixed.view(hidden_states.shape[0], -1, *mixed.shape[2:])  # (B, blocks * c, heads, head_dim)
        return self.merge_heads(self._out_of_blocks(mixed, layout)), None

    def _step(self, query, key, value, layout: BlockLayout, cache, **kwargs) -> torch.Tensor:
        """One more token: what `forward` does with blocks, without making any. `(B, 1, heads, d)`."""
        place, number = layout.offset[:, None, None, None], layout.number[:, :1, None, None]
        slots = torch.arange(self.block_size, device=query.device)
        old = {"keys": cache.keys, "values": cache.values}
        read, kept = {}, {}
        for name, new, projection in (
            ("keys", key, self.key_landmarks),
            ("values", value, self.value_landmarks),
        ):
            sums, block = old[name].split([self.num_landmarks, self.block_size], dim=2)
            block = torch.where(slots[:, None] == place, new, block)
            sums = torch.where(number == 0, 0, sums)  # an example that begins here has no past
            read[name] = torch.cat([sums / number.clamp(min=1).to(sums.dtype), block], dim=2)
            full = (layout.last_fill == self.block_size)[:, None, None, None]
            if torch.compiler.is_compiling() or bool(full.any()):
                columns = projection[layout.number[:, 0]]  # (B or 1, heads or 1, c, k)
                sums = torch.where(full, sums + torch.einsum("bhcd,bhck->bhkd", block, columns), sums)
            state = torch.cat([sums, block], dim=2)
            kept[name] = torch.where((layout.last >= 0)[:, None, None, None], state, old[name])
        cache.store(kept["keys"], kept["values"], 1)
        past = (number > 0).expand(query.shape[0], -1, -1, self.num_landmarks)
        visible = torch.cat([past, slots <= place], dim=-1)
        mixed, _ = self.attend(
            query, read["keys"], read["values"], as_mask(visible, self.config, query.dtype), **kwargs
        )
        return mixed

    def _into_blocks(self, heads: torch.Tensor, layout: BlockLayout) -> torch.Tensor:
        """`(B, heads, T, d)` -> `(B, heads, blocks, c, d)`; empty slots hold zeros."""
        if layout.contiguous is not None:
            start, end = layout.contiguous
            blocks = nn.functional.pad(heads, (0, 0, start, -end % self.block_size))
            return blocks.unflatten(2, (-1, self.block_size))
        batch_size, num_heads, _, size = heads.shape
        blocks = heads.new_zeros(batch_size, num_heads, layout.filled.shape[1] + 1, size)
        place = layout.slot[:, None, :, None].expand(-1, num_heads, -1, size)
        blocks = blocks.scatter(2, place, heads)[:, :, :-1]
        return blocks.unflatten(2, (-1, self.block_size))

    def _out_of_blocks(self, mixed: torch.Tensor, layout: BlockLayout) -> torch.Tensor:
        """`(B, blocks * c, heads, d)` -> `(B, T, heads, d)`."""
        if layout.contiguous is not None:
            return mixed[:, slice(*layout.contiguous)]
        place = layout.slot.clamp(max=mixed.shape[1] - 1)[..., None, None]
        return mixed.gather(1, place.expand(-1, -1, *mixed.shape[2:]))

    def _compress(self, heads, projection, layout: BlockLayout, cache, name: str):
        """The tokens in their blocks `(B, heads, blocks, c, d)`, the landmarks that each block reads
        `(B, heads, blocks, k, d)`, and the cache's next state."""
        blocks = self._into_blocks(heads, layout)
        started = None
        if cache is not None and cache.is_initialized:
            state = getattr(cache, name)
            started, waiting = state[:, :, : self.num_landmarks], state[:, :, self.num_landmarks :]
            own = torch.arange(self.block_size, device=heads.device) < layout.offset.unsqueeze(1)
            first = torch.where(own[:, None, :, None], waiting, blocks[:, :, 0])
            blocks = torch.cat([first.unsqueeze(2), blocks[:, :, 1:]], dim=2)
        columns = projection[layout.number]  # (B or 1, blocks, heads or 1, c, k)
        sums = torch.einsum("bhncd,bnhck->bhnkd", blocks, columns)
        if layout.before is None:
            up_to = sums.cumsum(2)
            before = nn.functional.pad(up_to[:, :, :-1], (0, 0, 0, 0, 1, 0))
        else:
            before = torch.einsum("bnm,bhmkd->bhnkd", layout.before.to(sums.dtype), sums)
        if started is not None:
            before = before + layout.continued[:, None, :, None, None] * started.unsqueeze(2)
        state = None if cache is None else self._state(blocks, before, before + sums, layout, cache, name)
        num_passed = layout.number.clamp(min=1)[:, None, :, None, None]
        return blocks, before / num_passed.to(before.dtype), state

    def _state(self, blocks, before, up_to, layout: BlockLayout, cache, name: str) -> torch.Tensor:
        """The cache's next `keys` or `values`: a whole last block moves into the sums."""
        last = layout.last.clamp(min=0)[:, None, None, None, None]

        def at_last(tensor):
            return tensor.gather(2, last.expand(-1, tensor.shape[1], -1, *tensor.shape[3:])).squeeze(2)

        whole = (layout.last_fill == self.block_size)[:, None, None, None]
        state = torch.cat([torch.where(whole, at_last(up_to), at_last(before)), at_last(blocks)], dim=2)
        if not cache.is_initialized:
            return state
        return torch.where((layout.last >= 0)[:, None, None, None], state, getattr(cache, name))

    def _mask(self, layout: BlockLayout, dtype: torch.dtype) -> torch.Tensor:
        """`(B * blocks, 1, c, k + c)`: landmarks where there is a past, and the own block up to oneself."""
        size = self.block_size
        own = layout.filled.unflatten(1, (-1, 1, size))
        causal = torch.ones(size, size, dtype=torch.bool, device=own.device).tril()
        own = own & causal
        # an empty slot asks too; it may as well read itself, so that no softmax is over nothing
        own = own | torch.eye(size, dtype=torch.bool, device=own.device)
        past = (layout.number > 0)[:, :, None, None].expand(own.shape[0], -1, size, self.num_landmarks)
        visible = torch.cat([past, own], dim=-1).flatten(0, 1).unsqueeze(1)
        return as_mask(visible, self.config, dtype)

    def _blocks_as_rows(self, blocks: torch.Tensor) -> torch.Tensor:
        """`(B, heads, blocks, n, d)` -> `(B * blocks, heads, n, d)`."""
        return blocks.transpose(1, 2).flatten(0, 1)
