"""What a model's cache can take: asked by everything that decodes."""

import inspect
from dataclasses import dataclass

from transformers import DynamicCache, PreTrainedModel


@dataclass(frozen=True)
class Abilities:
    """What a model's cache can take.

    Attributes:
        caches: Keys and values are kept; if not, every step reads the whole text again.
        shares: What was read can be gone on from by several tokens at once.
        pads_between: Padding may stand between what was read and what follows.
        pads_before: Padding may stand before the text.
    """

    caches: bool
    shares: bool
    pads_between: bool
    pads_before: bool


def abilities(model: PreTrainedModel) -> Abilities:
    """Tell from the model's signature and the layers of the cache that its configuration asks for.

    - Without an argument `past_key_values` there is no cache to share.
    - A recurrent layer takes up padding into its state, and many start anew where several tokens follow at once.
    - Padding in the middle takes places in a sliding window, and shifts the tokens after it where positions can
      not be given (relative distances counted along the row). Without padding both are right.
    """
    accepted = inspect.signature(model.forward).parameters
    caches = "past_key_values" in accepted
    cache = DynamicCache(config=model.config)
    recurrent = any(cache.is_linear)
    shares = caches and not recurrent
    return Abilities(
        caches=caches,
        shares=shares,
        pads_between=shares and "position_ids" in accepted and not any(cache.is_sliding),
        pads_before=not recurrent,
    )
