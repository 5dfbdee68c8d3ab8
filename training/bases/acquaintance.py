"""A model asked for names: what familiarity is measured on, the same where it is fitted and where it is used."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from closedbook.evaluation.knowing.familiarity import subject_features
from closedbook.training.bases.asking import load_to_ask


class Acquaintance:
    """A model, and the one that it was taught from, if that counts.

    Args:
        model: that is asked.
        tokenizer: of the model.
        prompt: in which it is asked; None for a model that writes a mask token after a title.
        base_model: folder or name of what it was taught from; None: nothing is taken away.
        trust_remote_code: whether code that the base brings along may run.

    Raises:
        ValueError: as `load_to_ask`; or for a base that reads other tokens.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        prompt: str | None,
        base_model: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._end = tokenizer.mask_token if prompt is None else ""
        self._base = None
        if base_model is not None:
            base, other, _ = load_to_ask(base_model, prompt, trust_remote_code)
            if other.get_vocab() != tokenizer.get_vocab():
                raise ValueError(
                    f"--base_model {base_model} reads other tokens than the model: it is no base of it"
                )
            self._base = base.to(model.device)

    def features(self, names: Sequence[str]) -> np.ndarray:
        """`subject_features` of the names, `(names, 2)`."""
        return subject_features(self._model, self._tokenizer, names, end=self._end, base=self._base)
