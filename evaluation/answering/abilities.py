"""What a model can do while it decodes: the one place that everything that pads, caches or shares asks.

Texts are read in batches, padded to one length, with a cache, after a beginning that they share: for speed, and
only where nothing but speed changes. Which models allow that?

- Some do by what they are (`KNOWN`, held to it by tests), apart from what their configuration says of windows.
- Some cannot by what they are: a recurrent layer takes up padding into its state.
- All others are tried, on the first prompts they are asked with and again on longer ones: together against one at
  a time (`ability_checks.py`). What changes an answer is not done with that model, and one line says so.
"""

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields
from weakref import WeakKeyDictionary

from transformers import DynamicCache, PreTrainedModel

from closedbook.evaluation.answering.ability_checks import Trial

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Abilities:
    """What may be done with a model without changing what it answers.

    Attributes:
        caches: Keys and values are kept; if not, every step reads the whole text again.
        shares: What was read can be gone on from by several tokens at once.
        pads_between: Padding may stand between what was read and what follows.
        pads_before: Padding may stand before the text.
        pads_after: Padding may stand after the text.
        positions: Positions may be given, counted from 0 without padding; if not, the model counts by itself.
        together: Several texts may be read at once, if only of the same length.
    """

    caches: bool
    shares: bool
    pads_between: bool
    pads_before: bool
    pads_after: bool = True
    positions: bool = True
    together: bool = True


# Types of models of which nothing has to be tried: every token reads all tokens before it, or those in a window
# that the layers of the cache tell of. The tests hold each of them to what one text at a time gives.
KNOWN = frozenset(
    (
        "vanilla_gpt",
        "perceiver_gpt",
        "bloom",
        "cohere",
        "cohere2",
        "gemma",
        "gemma2",
        "gemma3_text",
        "gpt2",
        "gpt_neox",
        "gptj",
        "granite",
        "llama",
        "mistral",
        "nemotron",
        "olmo",
        "olmo2",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen3",
        "smollm3",
        "stablelm",
        "starcoder2",
    )
)
# The attention implementations that the tests run with them.
KNOWN_ATTENTIONS = ("eager", "sdpa", "flex_attention")
# How configurations call a window that their cache may say nothing of.
WINDOWS = ("sliding_window", "window_size", "attention_window", "attention_window_size", "attention_chunk_size")

# Of each model: which weights and kernels were tried, up to how many tokens, and what came out.
_tried: WeakKeyDictionary[PreTrainedModel, tuple[tuple, int, Abilities]] = WeakKeyDictionary()


def abilities(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], budgets: Sequence[int], padding: int
) -> Abilities:
    """What may be done with this model; what is not known is tried once, on two of these prompts.

    Args:
        model: A causal language model; its mode is as it was afterwards.
        prompts: Token ids, at least one each.
        budgets: How many new tokens each may spend.
        padding: The id of the token that stands for padding.

    Raises:
        ValueError: If the model answers otherwise as soon as it is told that there is no padding, or its logits
            are not numbers: nothing can be decoded then.
    """
    able = structure(model)
    if not prompts or is_known(model):
        return able
    longest = max(map(len, prompts)) + max(budgets)
    kind = (model.dtype, str(model.device), getattr(model.config, "_attn_implementation", None))
    before = _tried.get(model)
    if before is not None and before[0] == kind:
        if longest <= before[1]:
            return before[2]
        able = before[2]
    was_training = model.training
    model.eval()
    try:
        found = _try(able, Trial(model, prompts, max(budgets), padding))
    finally:
        model.train(was_training)
    _tried[model] = (kind, longest, found)
    given_up = [field.name for field in fields(Abilities) if not getattr(found, field.name)]
    if given_up and (before is None or before[2] != found):
        logger.warning(_line(model, found))
    return found


def structure(model: PreTrainedModel) -> Abilities:
    """The most that a model may be able to, by its signature and the layers of its cache.

    - Without an argument `past_key_values` there is no cache to share.
    - A recurrent layer takes up padding into its state, and many start anew where several tokens follow at once.
    - Padding in the middle takes places in a sliding window, and shifts the tokens after it where positions can
      not be given (relative distances counted along the row). Without padding both are right.
    """
    accepted = inspect.signature(model.forward).parameters
    caches = "past_key_values" in accepted
    try:
        cache = DynamicCache(config=model.config)
    except (AttributeError, KeyError, TypeError, ValueError):  # a configuration that the library cannot read
        cache = DynamicCache()
    recurrent = any(cache.is_linear)
    shares = caches and not recurrent
    windowed = any(cache.is_sliding)
    if not is_known(model):
        config = model.config.get_text_config()
        windowed = windowed or any(getattr(config, name, None) for name in WINDOWS)
    return Abilities(
        caches=caches,
        shares=shares,
        pads_between=shares and "position_ids" in accepted and not windowed,
        pads_before=not recurrent,
    )


def is_known(model: PreTrainedModel) -> bool:
    """Whether the model is of a type that the tests hold to its abilities, run as they run it.

    A window that stands in the configuration of a type that has none makes the library's cache forget what the
    model itself still reads: such a model is tried like any other.
    """
    ours = type(model).__module__.startswith(("transformers.models.", "closedbook.modeling."))
    config = model.config
    stray = getattr(config, "sliding_window", None) and not hasattr(type(config), "sliding_window")
    return (
        ours
        and config.model_type in KNOWN
        and not stray
        and getattr(config, "_attn_implementation", None) in KNOWN_ATTENTIONS
    )


def _try(able: Abilities, trial: Trial) -> Abilities:
    """What of `able` stands the trial."""
    positions = able.positions and trial.stands(trial.whole)
    trial.positions = positions
    if not positions:
        trial.check(trial.whole)
    together = able.together and trial.stands(trial.together)
    trial.caches = caches = together and able.caches and trial.stands(trial.cached)
    pads_before = together and able.pads_before and trial.stands(trial.padded_before)
    pads_after = together and able.pads_after and trial.stands(trial.padded_after)
    shares = caches and able.shares and trial.stands(trial.shared)
    pads_between = shares and able.pads_between and trial.stands(trial.padded_between)
    return Abilities(caches, shares, pads_between, pads_before, pads_after, positions, together)


def _line(model: PreTrainedModel, found: Abilities) -> str:
    """What is not done with a model, and how it is decoded instead."""
    lost = {
        "together": "several texts at once",
        "caches": "a key-value cache",
        "shares": "a beginning that prompts share, read once",
        "pads_before": "padding before a text",
        "pads_after": "padding after a text",
        "pads_between": "padding after a shared beginning",
        "positions": "positions given from outside",
    }
    named = "; ".join(words for name, words in lost.items() if not getattr(found, name))
    if not found.together:
        how = "each text is read by itself"
    elif not found.caches:
        how = "every step reads the whole text again"
    else:
        how = "prompts are put together by length, so that there is no padding"
    return (
        f"{type(model).__name__} is decoded slowly, so that its answers stay those of one text at a time: {how}. "
        f"Found on one batch to change them, or not to work: {named}."
    )
