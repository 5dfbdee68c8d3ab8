"""Tries on two texts whether a model reads them in company, padded, cached and shared as it reads each alone.

The yardstick is the plainest call there is: the ids of one text, nothing else. What is tried is the decoder's own
way to read (`prefix_reader.py`), over a prompt and the first steps after it, with rows copied and exchanged as
beams and samples do. The texts are the longest of the prompts and the shortest, with as many tokens after them as
an answer may have: what goes wrong beyond a window of attention goes wrong here.
"""

import inspect
from collections.abc import Callable, Sequence
from itertools import chain, cycle, islice

import numpy as np
import torch
from transformers import PreTrainedModel

from closedbook.evaluation.answering.prefix_reader import PrefixReader, PromptBatch, read_prefix, repeat_cache

STEPS = 3  # tokens that follow one by one; with the cache kept once, copied once and exchanged once
LEAST = 12  # tokens of a text at least, where the model has room: fewer show nothing
# Log-probabilities of float32 differ by its rounding alone, a few times 1e-6; 3e-4 is the root of its rounding.
EXACT = 3e-4
# In half precision rounding moves single log-probabilities by tenths; what is compared is how much of the
# probability goes elsewhere. A model that reads padding as text moves most of it.
HALF = 0.05


class Trial:
    """One model, two of its prompts: does it read them as it reads each by itself?

    Attributes:
        caches, positions: How texts are read, as `Abilities` has it; to be set as they come out.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], budget: int, padding: int):
        self._model, self._padding = model, padding
        self.caches, self.positions = False, True
        limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        longest, shortest = max(prompts, key=len), min(prompts, key=len)
        if limit is not None and limit < STEPS + 2:
            raise ValueError(f"{type(model).__name__} reads {limit} tokens at most: too few to decode with.")
        length = min(max(len(longest) + budget, LEAST + STEPS), limit or len(longest) + budget + LEAST)
        # what follows is made of other tokens: equal ones would not show that they were taken for each other
        known = model.get_input_embeddings().num_embeddings
        others = [int(token) for token in np.random.default_rng(0).integers(known, size=length)]
        others = [token for token in others if token != padding] or others
        self._long = list(islice(chain(longest, cycle(others)), length))
        start = length - STEPS
        short = max(1, min(max(len(shortest), LEAST // 2), 2 * start // 3))
        self._short = list(islice(chain(shortest[:short], cycle(others[::-1])), short + STEPS))
        # a text that begins like the long one, and one that does so and is shorter
        self._shared = max(1, 3 * start // 4)
        rest = self._long[self._shared :]
        self._alike = self._long[: self._shared] + rest[::-1]
        self._alike_shorter = self._long[: self._shared] + rest[-(max(1, (start - self._shared) // 2) + STEPS) :]
        self._references: dict[tuple[int, ...], list[torch.Tensor]] = {}

    def stands(self, way: Callable[[], bool]) -> bool:
        """Whether reading in that way changes nothing; an error while reading so is a no."""
        try:
            return way()
        except torch.OutOfMemoryError:
            raise
        except Exception:  # whatever a model's code does when it is given what it was not written for
            return False

    def check(self, way: Callable[[], bool]) -> None:
        """Refuse a model that not even the plainest way of reading leaves as it is.

        Raises:
            ValueError: Then.
        """
        name = type(self._model).__name__
        problem = "answers otherwise"
        try:
            if way():
                return
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            problem = f"fails ({type(error).__name__}: {error})".replace("\n", " ")
        raise ValueError(
            f"{name} {problem} when it is told by an attention mask that there is no padding: it cannot be "
            "decoded here. Is it a causal language model?"
        )

    def whole(self) -> bool:
        """One text, read whole at every step."""
        return self._read_alike([self._long], caches=False)

    def together(self) -> bool:
        """Several texts of the same length at once."""
        return self._read_alike([self._long, self._alike], caches=False)

    def cached(self) -> bool:
        """What was read is kept."""
        return self._read_alike([self._long, self._alike], caches=True)

    def padded_before(self) -> bool:
        """A shorter text is padded on its left."""
        return self._read_alike([self._long, self._short], caches=self.caches)

    def padded_after(self) -> bool:
        """A shorter text is padded on its right; every token of it is read alike, at once."""
        texts = [self._long, self._short]
        input_ids, mask = right_padded(texts, self._padding)
        device = self._model.device
        with torch.inference_mode():
            logits = self._model(
                input_ids=input_ids.to(device), attention_mask=mask.to(device), use_cache=False
            ).logits
        return all(
            self._same(logits[row : row + 1, len(text) - 1].float().log_softmax(-1), self._reference(text)[-1])
            for row, text in enumerate(texts)
        )

    def shared(self) -> bool:
        """Two texts go on from one beginning that was read once."""
        return self._read_alike([self._long, self._alike], caches=True, shared=self._shared)

    def padded_between(self) -> bool:
        """They do, padded to the same length after it."""
        return self._read_alike([self._long, self._alike_shorter], caches=True, shared=self._shared)

    def _read_alike(self, texts: list[list[int]], caches: bool, shared: int = 0) -> bool:
        """Whether texts, of which the last tokens follow one by one, are read together as each by itself."""
        model = self._model
        num_rows = len(texts)
        starts = [len(text) - STEPS for text in texts]
        width = max(starts) - shared
        input_ids = torch.full((num_rows, width), self._padding)
        mask = torch.ones(num_rows, shared + width, dtype=torch.long)
        for row, (text, start) in enumerate(zip(texts, starts, strict=True)):
            input_ids[row, width - (start - shared) :] = torch.tensor(text[shared:start])
            mask[row, shared : shared + width - (start - shared)] = 0
        with torch.inference_mode():
            cache = repeat_cache(read_prefix(model, texts[0][:shared]), num_rows, model.device) if shared else None
            batch = PromptBatch(
                list(range(num_rows)),
                input_ids.to(model.device),
                mask.to(model.device),
                STEPS,
                cache,
                positions=self.positions,
            )
            reader = PrefixReader(model, batch, caches)
            order = list(range(num_rows))
            wanted = [self._reference(text) for text in texts]
            found = reader.start()
            for step in range(STEPS + 1):
                if not all(self._same(found[at : at + 1], wanted[row][step]) for at, row in enumerate(order)):
                    return False
                if step == STEPS:
                    break
                # doubled, then exchanged and halved again, then as they are
                parents = [*range(num_rows)] * 2 if step == 0 else [*range(num_rows)]
                parents = parents[::-1] if step == 1 else parents
                order = [order[parent] for parent in parents]
                following = [texts[row][starts[row] + step] for row in order]
                found = reader.advance(
                    torch.tensor(parents, device=model.device), torch.tensor(following, device=model.device)
                )
        return True

    def _reference(self, text: list[int]) -> list[torch.Tensor]:
        """Log-probabilities `(1, V)` of what follows the text without its last tokens, and with each of them."""
        key = tuple(text)
        if key not in self._references:
            options = {"use_cache": False}
            accepted = inspect.signature(self._model.forward).parameters
            with torch.inference_mode():
                self._references[key] = [
                    self._model(
                        input_ids=torch.tensor([text[:end]], device=self._model.device),
                        **{name: value for name, value in options.items() if name in accepted},
                    )
                    .logits[:, -1]
                    .float()
                    .log_softmax(-1)
                    for end in range(len(text) - STEPS, len(text) + 1)
                ]
        return self._references[key]

    def _same(self, found: torch.Tensor, wanted: torch.Tensor) -> bool:
        if self._model.dtype in (torch.float32, torch.float64):
            return torch.allclose(found, wanted, rtol=EXACT, atol=EXACT)
        return float((found.exp() - wanted.exp()).abs().sum()) / 2 <= HALF


def right_padded(texts: Sequence[Sequence[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`(ids, mask)` of texts, `(texts, longest)` each, padded after their ends."""
    width = max(map(len, texts))
    ids = torch.full((len(texts), width), padding)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    return ids, mask
