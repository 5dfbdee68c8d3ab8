"""Where each token stands: its position, and in a packed row the example to which it belongs."""

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


def check_positions(position_ids: torch.Tensor, max_position_embeddings: int, training: bool) -> None:
    """Refuse positions beyond the model's block.

    Skipped while compiling and when training on an accelerator, where looking at the values would stall the
    device at every step; the embedding's own device check still catches them there.

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
    latest = torch.where(valid, place, -1).cummax(-1).values
    previous = torch.nn.functional.pad(latest[:, :-1], (1, 0), value=-1)
    goes_on = position_ids == position_ids.gather(1, previous.clamp(min=0)) + 1
    return (valid & (previous >= 0) & ~goes_on).cumsum(-1)
