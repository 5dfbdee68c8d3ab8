"""What every token mixer of this package offers, and what it may rely on.

A mixer is called with

* the input of its queries, `(B, queries, D)`, and optionally another sequence `(B, keys, D)` to read from;
* `attention_mask`: what the stack prepared for this kind of mixer once for all layers, usually a mask in the
  form that the configured implementation wants;
* optionally a cache, and the places of its tokens: `rank` `(B or 1, queries)` and `key_rank`
  `(B or 1, keys)`, cached ones first, count the tokens of an example from 0; `rotary` and `key_rotary` are
  angles from `rotary_angles`.

It returns the mixed values `(B, queries, D)` and the weights `(B, heads, queries, keys)`, or `None` where there
are none to show. It must never read a later token, nor another example of a packed row; whatever it knows of
places it must take from the ranks, so that padding and packing change nothing.
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
    if _is_narrow(module, query, attention_mask) and not dropout:
        query, key, value = (multiplied_in(one) for one in (query, key, value))
        return _NarrowAttention.apply(query, key, value, attention_mask, scaling)
    return _one_by_one(module, query, key, value, attention_mask, scaling, dropout)


def _one_by_one(module, query, key, value, attention_mask, scaling, dropout):
    # scaled before the product, where there are fewer numbers: passes over all scores are what costs here
    scores = torch.matmul(query * scaling, key.transpose(2, 3))
    if attention_mask is not None:
        scores = scores + attention_mask
    return weigh(module, scores, value, dropout)


def _is_narrow(module: nn.Module, query: torch.Tensor, mask: torch.Tensor | None) -> bool:
    """Whether `_NarrowAttention` serves: training under autocast on a processor, by the usual backward pass.

    Not where a graph is traced, a mask is learned, or a transform of torch.func looks into the operations.
    """
    return (
        module.training
        and query.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") is torch.bfloat16
        and query.dtype is not torch.float64
        and not (mask is not None and mask.requires_grad)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and torch.autograd.forward_ad._current_level < 0
    )


class _NarrowAttention(torch.autograd.Function):
    """The same in bfloat16, in half as many passes over the scores as operations one by one take.

    There are `heads * length` scores a token, and a processor is through with products of bfloat16 long before
    it has read and written them: so scores stay in bfloat16 (where softmax sums in float32 all the same, and
    rounds as if it had been given float32), they are masked in place, and the backward pass is written out. Where
    that is to be differentiated again, it is the one of the operations one by one.
    """

    @staticmethod
    def forward(ctx, query, key, value, mask, scaling):
        batch, heads, length, _ = query.shape
        shape = (batch, heads, length, key.shape[2])
        queries = torch.mul(query, scaling, out=query.new_empty(query.shape)).flatten(0, 1)
        keys, values = key.flatten(0, 1), value.flatten(0, 1)
        weights = torch.bmm(queries, keys.mT)
        if mask is not None:
            lowest = torch.finfo(weights.dtype).min  # float32's would become infinite, and rows without a key NaN
            weights.view(shape).add_(mask.clamp(min=lowest).to(weights.dtype))
        weights = torch.softmax(weights, dim=-1).view(shape)
        mixed = torch.bmm(weights.flatten(0, 1), values).unflatten(0, (batch, heads)).transpose(1, 2).contiguous()
        ctx.save_for_backward(query, key, value, mask, queries, keys, values, weights)
        ctx.scaling = scaling
        ctx.set_materialize_grads(False)  # zeros in the size of all scores: weights are seldom asked for
        return mixed, weights

    @staticmethod
    def backward(ctx, of_mixed, of_weights):
        *inputs, mask, queries, keys, values, weights = ctx.saved_tensors
        if of_mixed is None and of_weights is None:
            return (None,) * 5
        if torch.is_grad_enabled():  # what this returns is to be differentiated in its turn
            outputs = _one_by_one(nn.Module().eval(), *inputs, mask, ctx.scaling, 0.0)
            given = [pair for pair in zip(outputs, (of_mixed, of_weights), strict=True) if pair[1] is not None]
            outputs, gradients = zip(*given, strict=True)
            asked = [one for one in inputs if one.requires_grad]
            found = iter(torch.autograd.grad(outputs, asked, gradients, create_graph=True, allow_unused=True))
            return *(next(found) if one.requires_grad else None for one in inputs), None, None
        heads, weights = inputs[0].shape[:2], weights.flatten(0, 1)
        of_values = None
        of_weights = None if of_weights is None else of_weights.flatten(0, 1)
        if of_mixed is not None:
            of_mixed = of_mixed.transpose(1, 2).flatten(0, 1)
            of_values = torch.bmm(weights.mT, of_mixed).unflatten(0, heads)
            through_mixed = torch.bmm(of_mixed, values.mT)
            of_weights = through_mixed if of_weights is None else of_weights + through_mixed
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_queries = torch.bmm(of_scores, keys).mul_(ctx.scaling).unflatten(0, heads)
        of_keys = torch.bmm(of_scores.mT, queries).unflatten(0, heads)
        return of_queries, of_keys, of_values, None, None


def multiplied_in(hidden_states: torch.Tensor) -> torch.Tensor:
    """What several linear maps read, in the precision in which autocast would have each of them cast it."""
    kind = hidden_states.device.type
    autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    if not autocast or hidden_states.dtype is torch.float64:  # which autocast leaves alone
        return hidden_states
    return hidden_states.to(torch.get_autocast_dtype(kind))


def weigh(
    module: nn.Module, scores: torch.Tensor, value: torch.Tensor, dropout: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masked scores `(batch, heads, queries, keys)` to mixed values and weights, with dropout."""
    # at least float32: half-precision softmax loses the tail that exact recall needs
    precision = torch.promote_types(scores.dtype, torch.float32)
    weights = nn.functional.softmax(scores, dim=-1, dtype=precision).to(value.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def as_mask(visible: torch.Tensor, config, dtype: torch.dtype) -> torch.Tensor:
    """The boolean mask in the form that the implementation reads: boolean for SDPA, additive for eager."""
    if config._attn_implementation == "sdpa":
        return visible
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(
        ~visible, torch.finfo(dtype).min
    )


class TokenMixer(nn.Module):
    """Sizes, heads and the way through transformers' attention interface.

    Attributes:
        implementations: those of the attention interface that serve it; None for all.
        uses_places: whether it has to know the places of tokens in their examples, so that a mask alone will
            not do.
        pattern: None, or a static function (config, query_rank, key_rank) -> bool, broadcast, that narrows what a
            token may read of what comes before it.
        lay_out: None, or a static function (config, rank, valid, first_rank) that makes what the mixer gets in
            place of a mask; see `attention_linformer.block_layout`.

    Args:
        config: sizes, dropout and the chosen implementation (`eager`, `sdpa`, ...).
        layer_idx: which layer of a cache is this module's.
        num_positions: longest sequence it will mix, for mixers that learn something for each position.
    """

    implementations: tuple[str, ...] | None = ("eager", "sdpa")
    uses_places = True
    pattern = None
    lay_out = None

    def __init__(self, config, layer_idx: int, num_positions: int):
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.num_positions = num_positions
        self.head_dim = config.head_dim
        self.scaling = config.head_dim**-0.5
        self.is_causal = True
        self.num_key_value_groups = 1

    def init_own_weights(self) -> None:
        """Initialise parameters that are not those of a linear layer; by default there are none."""

    def add_projections(self, *names: str) -> None:
        """Linear maps of the full width, then the one back into the residual stream."""
        for name in (*names, "o_proj"):
            setattr(self, name, nn.Linear(self.config.hidden_size, self.config.hidden_size))
        self.o_proj.adds_to_residual_stream = True  # initialised smaller, see GPTPreTrainedModel

    @property
    def dropout(self) -> float:
        return self.config.attention_dropout if self.training else 0.0

    def attend(self, query, key, value, attention_mask, scaling: float | None = None, **kwargs):
        """Scaled dot products by the configured implementation; `(batch, queries, heads, head_dim)`, weights."""
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        return attention(
            self,
            query,
            key,
            value,
            attention_mask,
            scaling=self.scaling if scaling is None else scaling,
            dropout=self.dropout,
            **kwargs,
        )

    def split_heads(self, projected: torch.Tensor) -> torch.Tensor:
        """`(batch, length, hidden)` -> `(batch, heads, length, head_dim)`."""
        # counted, not configured: with tensor parallelism a device holds a share of the heads
        shape = (*projected.shape[:-1], projected.shape[-1] // self.head_dim, self.head_dim)
        return projected.view(shape).transpose(1, 2)

    def merge_heads(self, mixed: torch.Tensor) -> torch.Tensor:
        """`(batch, length, heads, head_dim)` -> `(batch, length, hidden)`, projected back."""
        return self.o_proj(mixed.flatten(2))
