"""Reads the prefixes of a batch and goes on from them: the one place where a model is run to decode."""

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Cache, PreTrainedModel


@dataclass(frozen=True)
class PromptBatch:
    """Prompts that are decoded together.

    Attributes:
        rows: Their places in the list of questions.
        input_ids: `(B, W)`, left-padded to the longest.
        attention_mask: `(B, W)`, 0 for padding.
        budget: Number of new tokens that each may spend, end mark included.
        cache: Keys and values of what stands before `input_ids` in every row, on which decoding goes on and
            which it uses up. The mask `(B, P + W)` then covers those P tokens, too. None: nothing does.
        caches, positions, together: How the model may be run, as `abilities.Abilities` says.
    """

    rows: list[int]
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    budget: int
    cache: Cache | None = None
    caches: bool = True
    positions: bool = True
    together: bool = True


class PrefixReader:
    """Reads R distinct prefixes, one a row, and goes on from them.

    Attributes:
        tokens: `(R, t)`, the new tokens of each prefix so far.

    Raises:
        ValueError: By `start` and `advance`, if a cache is asked for and the model has none, or the model's
            output is not a number.
    """

    def __init__(self, model: PreTrainedModel, batch: PromptBatch, use_cache: bool):
        self._model, self._use_cache, self._together = model, use_cache and batch.caches, batch.together
        self._prompts, self._mask = batch.input_ids, batch.attention_mask
        accepted = inspect.signature(model.forward).parameters
        self._gives_positions = batch.positions and "position_ids" in accepted  # some models count by themselves
        self._keeps_logits = "logits_to_keep" in accepted
        self._cache = batch.cache
        self.tokens = batch.input_ids[:, :0]
        self._questions = torch.arange(len(batch.rows), device=batch.input_ids.device)
        self._numbers = batch.rows

    def start(self) -> torch.Tensor:
        """Log-probabilities of the first token after each prompt, `(B, V)`."""
        return self._read(self._prompts)

    def advance(self, parents: torch.Tensor, next_tokens: torch.Tensor) -> torch.Tensor:
        """Go on with the prefixes `parents` `(R,)`, each followed by its token; `(R, V)` log-probabilities."""
        # copying the cache is a large part of a step's time, so not where rows stay as they are
        if len(parents) != len(self.tokens) or not torch.equal(parents, torch.arange(len(parents)).to(parents)):
            self._prompts, self._mask, self.tokens, self._questions = (
                rows.index_select(0, parents) for rows in (self._prompts, self._mask, self.tokens, self._questions)
            )
            if self._cache is not None:
                self._cache.reorder_cache(parents)
        next_tokens = next_tokens.unsqueeze(1)
        self.tokens = torch.cat([self.tokens, next_tokens], dim=1)
        self._mask = torch.cat([self._mask, torch.ones_like(next_tokens)], dim=1)
        return self._read(next_tokens if self._use_cache else torch.cat([self._prompts, self.tokens], dim=1))

    def _read(self, input_ids: torch.Tensor) -> torch.Tensor:
        if self._together:
            logits = self._logits(input_ids, self._mask)
        else:
            rows = [row[mask.bool()].unsqueeze(0) for row, mask in zip(input_ids, self._mask, strict=True)]
            logits = torch.cat([self._logits(row, torch.ones_like(row)) for row in rows])
        log_probabilities = logits.float().log_softmax(-1)
        # one logit that is not a number makes all of its row so
        broken = log_probabilities[:, 0].isnan()
        if broken.any():
            row = self._numbers[int(self._questions[broken][0])]
            raise ValueError(
                f"question {row}: {type(self._model).__name__} gave logits that are not numbers at new token "
                f"{self.tokens.shape[1] + 1}. Check that its weights are finite, and load it in float32 or "
                f"bfloat16 if float16 overflows (it runs in {self._model.dtype})."
            )
        return log_probabilities

    def _logits(self, input_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Of the next token, `(R, V)`."""
        arguments = {"input_ids": input_ids, "attention_mask": mask, "use_cache": self._use_cache}
        if self._gives_positions:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            arguments["position_ids"] = positions[:, -input_ids.shape[1] :]
        if self._keeps_logits:
            arguments["logits_to_keep"] = 1
        if self._cache is not None:
            arguments["past_key_values"] = self._cache
        outputs = self._model(**arguments)
        if self._use_cache:
            self._cache = getattr(outputs, "past_key_values", None)
            if self._cache is None:
                raise ValueError(
                    f"{type(self._model).__name__} returned no key-value cache; pass use_cache=False to read the "
                    "whole text again at every step."
                )
        return outputs.logits[:, -1]


def read_prefix(model: PreTrainedModel, tokens: Sequence[int]) -> Cache:
    """Keys and values of the tokens, in a cache of one row.

    Raises:
        ValueError: If the model returns no cache.
    """
    arguments = {"input_ids": torch.tensor([list(tokens)], device=model.device), "use_cache": True}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        arguments["logits_to_keep"] = 1  # with a large vocabulary logits cost more than layers do
    cache = model(**arguments).past_key_values
    if not isinstance(cache, Cache):
        raise ValueError(
            f"{type(model).__name__} returned {type(cache).__name__} for a key-value cache, which cannot be "
            "shared; pass share_prefix=False."
        )
    return cache


def repeat_cache(cache: Cache, num_rows: int, device: torch.device) -> Cache:
    """A copy of a cache of one row, with that row `num_rows` times."""
    cache = copy.deepcopy(cache)
    cache.reorder_cache(torch.zeros(num_rows, dtype=torch.long, device=device))
    return cache
