"""Where a text ends: at a mark of any length, wherever tokens are cut, or at a model's own end of text."""

from functools import lru_cache

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TextEnd:
    """Tells which tokens end a text: those that complete the end mark, and the ends of text of model and
    tokenizer.

    The end mark may be spread over tokens ("Question" and ":"). So of each prefix it is asked which beginnings of
    the mark it closes with, and of each token, once, with which rests of the mark it opens. Where a mark beyond
    ASCII is spread over the bytes of a character, it is noticed one token late. A special token may be the end
    mark, as the mask token is of this package's own question format.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, end: str):
        self._tokenizer, self._end = tokenizer, end
        size = model.config.get_text_config().vocab_size
        texts = _token_texts(tokenizer, min(size, len(tokenizer)))
        # row k: tokens that end a text whose last k characters are the first k of the end
        table = torch.zeros(len(end), size, dtype=torch.bool)
        for token, text in enumerate(texts):
            if end in text:
                table[:, token] = True
            elif text:
                for length in range(1, len(end)):
                    if text.startswith(end[length:]):
                        table[length, token] = True
        own = {token for token in tokenizer.all_special_ids if tokenizer.convert_ids_to_tokens(token) == end}
        table[:, sorted(own | end_of_text_ids(model, tokenizer))] = True
        self._table = table.to(model.device)

    def __call__(self, prefixes: torch.Tensor) -> torch.Tensor:
        """Of each prefix `(R, t)` the tokens that end it, `(R or 1, V)`."""
        if len(self._end.encode()) == 1 or not prefixes.shape[1]:
            return self._table[:1]
        texts = self._tokenizer.batch_decode(
            prefixes.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        ending = torch.stack(
            [
                self._table[[k for k in range(len(self._end)) if text.endswith(self._end[:k])]].any(0)
                for text in texts
            ]
        )
        over = torch.tensor([self._end in text for text in texts], device=ending.device)
        return ending | over.unsqueeze(1)


@lru_cache(maxsize=2)
def _token_texts(tokenizer: PreTrainedTokenizerBase, size: int) -> list[str]:
    """The text of each token by itself; kept, because it takes a second for 50,000 of them."""
    return tokenizer.batch_decode(
        [[token] for token in range(size)], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def end_of_text_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Whatever model, generation settings and tokenizer call the end of a text."""
    found = {tokenizer.eos_token_id}
    for config in (model.config.get_text_config(), model.generation_config):
        ids = getattr(config, "eos_token_id", None)
        found |= set(ids) if isinstance(ids, (list, tuple)) else {ids}
    size = model.config.get_text_config().vocab_size
    return {token for token in found if token is not None and token < size}
