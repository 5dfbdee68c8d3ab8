"""What the token mixers of a stack need to know of a sequence, prepared once a forward pass for all layers.

For the vanilla family the sequence are the tokens, for the Perceiver's inner blocks its latents; the mixers do
not see the difference.
"""

import torch
from transformers.masking_utils import and_masks, create_causal_mask, packed_sequence_mask_function

from .attention import TOKEN_MIXERS
from .bottleneck import NEVER, Columns, LatentLayout, column_mask, never_empty
from .positions import SequenceLayout, example_indices, sequence_layout, simplify_places
from .token_mixer import as_mask


def check_attention_mask(config, attention_mask: torch.Tensor | None, num_tokens: int) -> None:
    """Refuse masks that say nothing about where an example begins, where a mixer has to know.

    Args:
        num_tokens: cached and new ones.

    Raises:
        ValueError: for a mask that is not `(batch, num_tokens)`.
    """
    if attention_mask is not None and attention_mask.dim() != 2:
        raise ValueError(
            f"{config.model_type} with attention {config.attention!r} reads attention masks of shape (batch, "
            "tokens) only: its own masks follow the places of tokens in their examples. For packed rows pass "
            "position_ids that restart."
        )
    if attention_mask is not None and attention_mask.shape[1] != num_tokens:
        raise ValueError(
            f"attention_mask covers {attention_mask.shape[1]} tokens, but there are {num_tokens}, those in the "
            "cache included"
        )


def prepare_cache(config, past_key_values) -> None:
    """Give an empty default cache the layers that this architecture needs; refuse one that cannot have them.

    Raises:
        ValueError: for a cache of fixed size, or one that was made for another architecture.
    """
    if past_key_values.is_compileable:
        raise ValueError(
            f"{config.model_type} with attention {config.attention!r} decodes with a dynamic cache only: leave "
            "out cache_implementation, or pass DynamicCache(config=model.config)"
        )
    if not past_key_values.layers:
        past_key_values.layers = type(past_key_values)(config=config).layers
        past_key_values.layer_class_to_replicate = None
    kinds = [layer._layer_type or "full_attention" for layer in past_key_values.layers]
    if kinds != config.layer_types:
        raise ValueError("this cache was made for another architecture; pass DynamicCache(config=model.config)")


def lay_out_tokens(config, inputs_embeds, attention_mask, position_ids, past_length: int):
    """The places of the new tokens, and of the mask and the positions what is left to say beside them.

    Args:
        inputs_embeds: `(B, T, D)`.
        attention_mask: `(B, past_length + T)`, or None.
        position_ids: as the caller gave them, or None.

    Raises:
        ValueError: for a mask of another shape.
    """
    batch_size, length = inputs_embeds.shape[:2]
    check_attention_mask(config, attention_mask, past_length + length)
    attention_mask, position_ids = simplify_places(attention_mask, position_ids)
    tokens = sequence_layout(batch_size, length, past_length, attention_mask, position_ids, inputs_embeds.device)
    return tokens, attention_mask, position_ids


def mix_tokens(config, inputs_embeds, attention_mask, position_ids, past_key_values) -> dict:
    """Arguments for the mixers of a stack over tokens.

    Args:
        inputs_embeds: `(B, T, D)`.
        attention_mask: `(B, tokens)`, cached ones included, or None.
        position_ids: as the caller gave them, or None.
    """
    mixer = TOKEN_MIXERS[config.attention]
    if not mixer.uses_places:
        mask = causal_mask(config, inputs_embeds, attention_mask, position_ids, past_key_values)
        return {"attention_mask": mask}
    past_length = 0 if past_key_values is None else past_key_values.get_seq_length()
    tokens, attention_mask, position_ids = lay_out_tokens(
        config, inputs_embeds, attention_mask, position_ids, past_length
    )
    if mixer.lay_out is not None:
        first_rank = past_length if tokens.regular else None
        return {"attention_mask": mixer.lay_out(config, tokens.rank, tokens.valid, first_rank)}
    if mixer.pattern is None:
        mask = causal_mask(config, inputs_embeds, attention_mask, position_ids, past_key_values)
    elif config._attn_implementation in ("eager", "sdpa"):
        mask = _patterned_mask(config, mixer.pattern, tokens, attention_mask, inputs_embeds.dtype)
    else:
        pattern = _over_indices(mixer.pattern, config, tokens.key_rank)
        mask = causal_mask(config, inputs_embeds, attention_mask, position_ids, past_key_values, pattern)
    rank = tokens.rank[:1] if tokens.regular else tokens.rank
    return {"attention_mask": mask, "rank": rank, "key_rank": tokens.key_rank}


def _patterned_mask(config, pattern, tokens: SequenceLayout, attention_mask, dtype) -> torch.Tensor:
    """`(B or 1, 1, T, keys)`: what comes before in the same example and lies in the pattern.

    The library builds such masks through `vmap`, which costs more than a decoding step.
    """
    rows = slice(0, 1) if tokens.regular else slice(None)
    rank, index = tokens.rank[rows].unsqueeze(-1), tokens.index[rows].unsqueeze(-1)
    key_index = torch.arange(tokens.past_length + tokens.index.shape[1], device=index.device)
    visible = (key_index <= index) & pattern(config, rank, tokens.key_rank.unsqueeze(1))
    if not tokens.regular and not tokens.past_length:
        visible = visible & (tokens.example.unsqueeze(1) == tokens.example.unsqueeze(-1))
    if attention_mask is not None:
        visible = visible & attention_mask.bool().unsqueeze(1)
    return as_mask(never_empty(visible).unsqueeze(1), config, dtype)


def _over_indices(pattern, config, key_rank: torch.Tensor):
    """A pattern over ranks as the library's mask builders want it: over batch, head, query and key index.

    Args:
        key_rank: `(B or 1, keys)`, the rank of every token of the row, those in the cache included.
    """
    one_row = key_rank.shape[0] == 1

    def may_read(batch, head, query, key):
        if one_row:
            return pattern(config, key_rank[0, query], key_rank[0, key])
        return pattern(config, key_rank[batch, query], key_rank[batch, key])

    return may_read


def causal_mask(config, inputs_embeds, attention_mask, position_ids, past_key_values, pattern=None):
    """The library's causal mask, made to see packed examples in every case.

    By itself it looks for them only without a cache and without a mask; both come by default, and then
    examples silently read each other.

    Args:
        pattern: a function (batch, head, query, key) that narrows what may be read, or None.
    """
    empty_cache = past_key_values is not None and (
        not past_key_values.is_compileable and past_key_values.get_seq_length() == 0
    )
    if empty_cache:
        past_key_values = None
    unseen = attention_mask is not None or pattern is not None
    if position_ids is not None and unseen and past_key_values is None:
        if "flash" in config._attn_implementation:
            _refuse_packed_with_mask(attention_mask, position_ids)
        elif attention_mask is None or attention_mask.dim() == 2:
            rows = position_ids.expand(inputs_embeds.shape[0], -1)
            valid = None if attention_mask is None else attention_mask.bool()
            same_example = packed_sequence_mask_function(example_indices(rows, valid))
            pattern = same_example if pattern is None else and_masks(pattern, same_example)
            position_ids = None  # with these the library would call the pattern with places in the example
    return create_causal_mask(
        config=config,
        inputs_embeds=inputs_embeds,
        attention_mask=attention_mask,
        past_key_values=past_key_values,
        position_ids=position_ids,
        and_mask_function=pattern,
    )


def _refuse_packed_with_mask(attention_mask, position_ids):
    """Flash attention drops mask functions without a word, so say it here."""
    steps_on = torch.diff(position_ids, dim=-1) == 1
    both_tokens = attention_mask[:, 1:].bool() & attention_mask[:, :-1].bool()
    if bool((both_tokens & ~steps_on).any()):
        raise ValueError(
            "packed rows with an attention_mask need attn_implementation 'sdpa', 'eager' or "
            "'flex_attention'; with flash attention pass one packed row and no attention_mask"
        )


def mix_latents(config, latents: LatentLayout, columns: Columns | None, dtype: torch.dtype) -> dict:
    """Arguments for the mixers of a stack over latents.

    Args:
        columns: all latents that can be read, the cached ones included; linformer has no columns.
        dtype: of the hidden states.
    """
    mixer = TOKEN_MIXERS[config.attention]
    if mixer.lay_out is not None:
        laid_out = mixer.lay_out(config, latents.number, latents.index != NEVER, latents.first_number)
        return {"attention_mask": laid_out}
    own_stretch = None if config.has_up_block else latents.stretch
    pattern = None
    if mixer.pattern is not None:
        pattern = mixer.pattern(config, latents.number.unsqueeze(-1), columns.number.unsqueeze(1))
    visible = column_mask(latents.index, latents.example, own_stretch, columns, pattern)
    mask = as_mask(visible, config, dtype)
    return {"attention_mask": mask, "rank": latents.number, "key_rank": columns.number}
