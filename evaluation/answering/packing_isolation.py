"""How the examples of a packed row are kept apart for a given model: measured on it, not known by its name.

Three ways, the first that works is taken (`data/packing.py` makes the batches):

- `positions`: `position_ids` that restart at every example are all that a model needs (most of the library's).
- `mask`: the model takes restarting positions for its embeddings only, or not at all (OPT, MPT); a block-diagonal
  causal mask keeps examples apart.
- `alone`: neither does, as where layers are recurrent or windows go missing under such a mask. One example a row.

Two things are measured on random tokens. What stands in one example must not change the logits of another: that
is exact in any arithmetic, as a masked weight is exactly zero. And packed logits must be those of separate
examples, up to rounding, which is measured, too: a causal model reads the beginning of a text alike, however the
text goes on.
The cost, some eight rows forward, is about that of a training step of three rows.
"""

import logging
from collections.abc import Callable
from itertools import accumulate, cycle, pairwise
from typing import Any

import torch
from transformers import PreTrainedModel

from closedbook.data.packing import ISOLATIONS, Isolation, isolate

logger = logging.getLogger(__name__)

NOT_CAUSAL = 0.25  # of the logits' own spread: no rounding moves them so far, half precision included
_WARNINGS = {
    "mask": "a block mask keeps them apart",
    "alone": "neither does a block mask keep them apart: each row holds one example, padded, which takes longer",
}


def packing_isolation(model: PreTrainedModel, longest: int = 24, row_length: int = 0) -> Isolation:
    """How examples have to be packed for this model; says so in one line where positions are not enough.

    Args:
        model: a causal language model with the weights, kernels and precision that it is to be trained with; its
            mode and settings are as they were afterwards. It had better stand on the CPU still: a way that asks
            for positions which a model does not have ends a process on a GPU. One of this package, also in an
            adapter of `peft`, is never run: tests hold it to `positions`.
        longest: tokens of the longest example. A window of attention shows its effect beyond its length only.
        row_length: tokens of a row; 0 for as many as two and a third of those examples have.

    Raises:
        ValueError: if the model does not even read padded examples as it reads each by itself, or fails.
    """
    base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    if type(base).__module__.startswith("closedbook.modeling."):
        return "positions"
    name = type(base).__name__
    row_length = row_length or 2 * longest + max(1, longest // 3)
    was_training, caching = model.training, _caches(model)
    model.eval()
    try:
        switch_cache(model, False)
        trial = _Trial(model, min(longest, max(1, row_length - 2)), row_length)
        trial.measure()
        for isolation in ISOLATIONS:
            if _stands(trial, isolation):
                if isolation != "positions":
                    logger.warning(
                        "%s lets packed examples read each other, or misplaces them, when it is told of them by "
                        "positions that restart: %s",
                        *(name, _WARNINGS[isolation]),
                    )
                return isolation
    finally:
        model.train(was_training)
        for config, value in caching:
            config.use_cache = value
    raise ValueError(
        f"{name} reads an example otherwise in company than by itself, even padded in a row of its own: it cannot "
        "be trained in batches here. Take another model"
    )


def switch_cache(model: torch.nn.Module, on: bool) -> None:
    """Say in every configuration of a model whether it keeps keys and values.

    Packed rows leak through a cache, of which the library's masks assume that it holds one example. Its Trainer
    switches off the outermost configuration alone, which models of several parts do not look at.
    """
    for config, _ in _caches(model):
        config.use_cache = on


def _caches(model: torch.nn.Module) -> list[tuple[Any, bool]]:
    """The distinct configurations of a model that speak of a cache, and what they say."""
    configs: list[Any] = [getattr(module, "config", None) for module in model.modules()]
    found = {id(config): config for config in configs if isinstance(getattr(config, "use_cache", None), bool)}
    return [(config, config.use_cache) for config in found.values()]


def _stands(trial: "_Trial", isolation: Isolation) -> bool:
    """Whether a way holds; an error is a no, as models are given what they may not be written for."""
    try:
        return trial.alone() if isolation == "alone" else trial.packed(isolation)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        logger.debug("%s: %s: %s", isolation, type(error).__name__, error)
        return False


class _Trial:
    """Two rows of random tokens whose examples end at different places, so that no row answers for another."""

    def __init__(self, model: PreTrainedModel, longest: int, row_length: int):
        self._model = model
        short = max(1, longest // 3)
        self._bounds = [_bounds([short, longest], row_length), _bounds([longest, short], row_length)]
        generator = torch.Generator().manual_seed(0)
        vocabulary = model.get_input_embeddings().num_embeddings
        config = model.config.get_text_config()
        special = {getattr(config, f"{kind}_token_id", None) for kind in ("pad", "bos", "eos")}
        ids = [token for token in range(vocabulary) if token not in special] or list(range(vocabulary))
        known = torch.tensor(ids)
        self._ids, self._others = known[torch.randint(len(known), (2, 2, row_length), generator=generator)]
        self._wanted: list[list[torch.Tensor]] = []
        self._unit, self._noise = torch.finfo(model.dtype).eps, 0.0

    def packed(self, isolation: Isolation) -> bool:
        """Whether two packed rows are read as their examples are."""
        position_ids = torch.stack(
            [torch.cat([torch.arange(end - start) for start, end in pairwise(bounds)]) for bounds in self._bounds]
        )
        found = self._read(self._ids, position_ids, isolation)
        if not all(
            self._same(found[row, start:end], self._wanted[row][number])
            for row, number, start, end in self._examples()
        ):
            return False
        changed = self._ids.clone()
        for row, number, start, end in self._examples():
            if number % 2 == 0:
                changed[row, start:end] = self._others[row, start:end]
        again = self._read(changed, position_ids, isolation)
        return all(
            self._distance(again[row, start:end], found[row, start:end]) <= max(self._unit, self._noise)
            for row, number, start, end in self._examples()
            if number % 2
        )

    def alone(self) -> bool:
        """Whether examples of different lengths, one a row, are."""
        examples = [self._ids[0, start:end] for start, end in pairwise(self._bounds[0])][:2]
        width = max(map(len, examples))
        ids, position_ids = torch.zeros(2, len(examples), width, dtype=torch.long)
        for row, example in enumerate(examples):
            ids[row, : len(example)] = example
            position_ids[row, : len(example)] = torch.arange(len(example))
            position_ids[row, len(example) :] = torch.arange(width - len(example))
        found = self._read(ids, position_ids, "alone")
        return all(
            self._same(found[row, : len(example)], self._wanted[0][row]) for row, example in enumerate(examples)
        )

    def _examples(self) -> list[tuple[int, int, int, int]]:
        """Row, number in the row, start and end of every example."""
        return [
            (row, number, start, end)
            for row, bounds in enumerate(self._bounds)
            for number, (start, end) in enumerate(pairwise(bounds))
        ]

    def measure(self) -> None:
        """Read every example by itself, and see how far rounding alone moves the logits of a beginning.

        Raises:
            ValueError: if the model cannot be given token ids and nothing else.
        """
        try:
            self._wanted = self._separate()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ValueError(
                f"{type(self._model).__name__} fails when it reads token ids and nothing else ({problem}). Is it "
                "a causal language model?"
            ) from error

    def _separate(self) -> list[list[torch.Tensor]]:
        wanted: list[list[torch.Tensor]] = [[], []]
        for row, _, start, end in self._examples():
            wanted[row].append(self._logits(input_ids=self._ids[row : row + 1, start:end])[0])
        # rows may be longer than what a model has positions for, as long as these restart
        limit = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        whole = self._logits(input_ids=self._ids[:, :limit])
        noise = max(self._distance(whole[row, : len(parts[0])], parts[0]) for row, parts in enumerate(wanted))
        self._noise = noise if noise < NOT_CAUSAL else 0.0
        return wanted

    def _read(self, ids: torch.Tensor, position_ids: torch.Tensor, isolation: Isolation) -> torch.Tensor:
        return self._logits(
            **isolate({"input_ids": ids, "position_ids": position_ids}, isolation, self._model.dtype)
        )

    def _logits(self, **inputs: torch.Tensor) -> torch.Tensor:
        device = self._model.device
        with torch.inference_mode():
            call: Callable[..., Any] = self._model
            return call(**{name: tensor.to(device) for name, tensor in inputs.items()}).logits.float().cpu()

    def _same(self, found: torch.Tensor, wanted: torch.Tensor) -> bool:
        """Equal up to rounding: the root of the precision, as errors add up over layers, or what was measured."""
        return self._distance(found, wanted) <= max(self._unit**0.5, 4 * self._noise)

    @staticmethod
    def _distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
        """Of `(T, V)` logits, constants aside: the largest difference of a token over their spread (both rms)."""
        found, wanted = (logits - logits.mean(-1, keepdim=True) for logits in (found, wanted))
        spread = wanted.square().mean().sqrt().clamp_min(torch.finfo(torch.float32).tiny)
        distance = float((found - wanted).square().mean(-1).sqrt().max() / spread)
        return distance if distance == distance else float("inf")


def _bounds(lengths: list[int], row_length: int) -> list[int]:
    """Where examples of these lengths, over and over, begin in a row, and its end."""
    bounds = [0]
    for end in accumulate(cycle(lengths)):
        bounds.append(min(end, row_length))
        if end >= row_length:
            return bounds
    raise AssertionError("a cycle has no end")
