"""Where each token stands: its position, its place in its example, and rotary angles.

Shapes: B batch, T new tokens, P tokens in the cache.
"""

from dataclasses import dataclass

import torch


def resolve_position_ids(
    position_ids: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    past_length: int | torch.Tensor,
    hidden_states: torch.Tensor,
) -> torch.Tensor:
    """Positions of the new tokens, `(batch or 1, sequence)`.

    Given ones are used as they are. Otherwise they count the tokens that the mask lets through, so that
    padding on either side changes nothing, or simply go on from the tokens already in the cache.
    """
    if position_ids is not None:
        return position_ids
    length = hidden_states.shape[1]
    if attention_mask is not None and attention_mask.dim() == 2:
        return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, -length:]
    return (torch.arange(length, device=hidden_states.device) + past_length).unsqueeze(0)


def simplify_places(
    attention_mask: torch.Tensor | None, position_ids: torch.Tensor | None
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Drop a mask that hides nothing and positions that restart nowhere: `generate` always passes both.

    Without them every row stands alike, for which masks and blocks are cheaper. A traced graph cannot look at
    values, so there both are kept.
    """
    if torch.compiler.is_compiling():
        return attention_mask, position_ids
    if attention_mask is not None and bool(attention_mask.all()):
        attention_mask = None
    # under a mask, positions count what it lets through, and do not go on by one
    if attention_mask is None and position_ids is not None and bool((torch.diff(position_ids) == 1).all()):
        position_ids = None
    return attention_mask, position_ids


def check_positions(position_ids: torch.Tensor, max_position_embeddings: int, training: bool) -> None:
    """Refuse positions beyond the model's block.

    Skipped while compiling and when training on an accelerator, where looking at the values would stall the
    device at every step; learned positions are still checked by the device there.

    Raises:
        ValueError: if a position lies beyond the block.
    """
    if torch.compiler.is_compiling() or (training and position_ids.device.type != "cpu"):
        return
    last = int(position_ids.max()) if position_ids.numel() else 0
    if last >= max_position_embeddings:
        raise ValueError(
            f"position {last} lies beyond this model's block of {max_position_embeddings} tokens "
            "(max_position_embeddings). Shorten the prompt, or ask for fewer new tokens: prompt and answer "
            "together must fit."
        )


def example_indices(position_ids: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """Number the examples packed into each row from 0, `(batch, sequence)`.

    A new example begins wherever positions do not go on. Rows may start anywhere; only a step other than +1
    separates examples. Padding (`valid` False) is looked through: whatever positions it was given, it
    neither begins nor ends an example.
    """
    if valid is None:
        steps = torch.diff(position_ids, prepend=position_ids[:, :1] - 1, dim=-1)
        return (steps != 1).cumsum(-1)
    place = torch.arange(position_ids.shape[1], device=position_ids.device).expand_as(position_ids)
    latest = torch.where(valid, place, -1).cummax(-1)[0]
    previous = torch.nn.functional.pad(latest[:, :-1], (1, 0), value=-1)
    goes_on = position_ids == position_ids.gather(1, previous.clamp(min=0)) + 1
    return (valid & (previous >= 0) & ~goes_on).cumsum(-1)


def labelled_places(targets: torch.Tensor, ignored: int = -100, multiple: int = 1) -> torch.Tensor:
    """Where there is something to predict, `(places,)`: indices into the flattened `(batch, sequence)`.

    Args:
        targets: the token that each position is to predict, `ignored` for none.
        multiple: of which the number of places is to be one: the first places without a target fill up, as far as
            there are any.
    """
    labelled = targets.flatten() != ignored
    places = labelled.nonzero().squeeze(1)
    if missing := -len(places) % multiple:
        places = torch.cat([places, (~labelled).nonzero().squeeze(1)[:missing]])
    return places


def at_places(hidden_states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Those of `(batch, sequence, hidden)` that `labelled_places` names, `(places, hidden)`."""
    return hidden_states.flatten(0, 1).index_select(0, places)


@dataclass
class SequenceLayout:
    """The places of the new tokens of a row.

    Attributes:
        index: `(B, T)`, place in the row, tokens in the cache counted.
        rank: `(B, T)`, place in its example, tokens in the cache counted, padding not.
        example: `(B, T)`, number of its example within the row.
        valid: `(B, T)`, False for padding.
        key_rank: `(B or 1, P + T)`, the rank of every token, cached ones first.
        past_length: P.
        regular: one whole unpadded example a row, so that places are the same for every row.
    """

    index: torch.Tensor
    rank: torch.Tensor
    example: torch.Tensor
    valid: torch.Tensor
    key_rank: torch.Tensor
    past_length: int
    regular: bool


def sequence_layout(
    batch_size: int,
    length: int,
    past_length: int,
    attention_mask: torch.Tensor | None,
    position_ids: torch.Tensor | None,
    device: torch.device,
) -> SequenceLayout:
    """Lay out `length` new tokens that follow `past_length` cached ones.

    Args:
        attention_mask: `(B, P + T)`, or None for no padding.
        position_ids: `(B or 1, T)` as given by the caller, or None. Read only without a past, where they may
            pack several examples into a row.
    """
    index = (torch.arange(length, device=device) + past_length).expand(batch_size, length)
    if attention_mask is None:
        valid = torch.ones(batch_size, length, dtype=torch.bool, device=device)
        key_rank = torch.arange(past_length + length, device=device).unsqueeze(0)
        counted = index + 1
    else:
        everything = attention_mask.to(torch.bool)
        valid = everything[:, -length:]
        key_rank = (everything.long().cumsum(-1) - 1).clamp(min=0)
        counted = everything.long().cumsum(-1)[:, -length:]
    if position_ids is None or past_length:
        example = torch.zeros_like(index)
        rank = counted - 1
    else:
        example = example_indices(position_ids.expand(batch_size, length), valid)
        starts = torch.ones_like(valid)
        starts[:, 1:] = example[:, 1:] != example[:, :-1]
        before = torch.where(starts, counted - valid.long(), 0).cummax(-1)[0]
        rank = counted - before - 1
        key_rank = rank.clamp(min=0)
    regular = attention_mask is None and (position_ids is None or past_length > 0)
    # who exports wants one graph for all lengths, in which no number of latents or blocks follows from the length
    regular = regular and not torch.compiler.is_exporting()
    return SequenceLayout(index, rank, example, valid, key_rank, past_length, regular)


Rotary = tuple[torch.Tensor, torch.Tensor]


def rotary_angles(position_ids: torch.Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> Rotary:
    """Cosines and sines for `rotate`, each `(B or 1, 1, T, head_dim)` (Su et al. 2021, section 3.2).

    Number i turns together with number `i + head_dim / 2`, as everywhere in transformers; the wavelengths
    grow from 2 pi to 2 pi theta. Computed in float32: in half precision neighbouring far positions are one.
    """
    exponents = torch.arange(0, head_dim, 2, device=position_ids.device, dtype=torch.float32) / head_dim
    angles = position_ids.unsqueeze(1).unsqueeze(-1).float() * theta**-exponents
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(heads: torch.Tensor, rotary: Rotary | None) -> torch.Tensor:
    """Turn queries or keys `(B, heads, T, head_dim)` to their positions; `None` leaves them alone."""
    if rotary is None:
        return heads
    cosines, sines = rotary
    first, second = heads.chunk(2, dim=-1)
    return heads * cosines + torch.cat([-second, first], dim=-1) * sines
