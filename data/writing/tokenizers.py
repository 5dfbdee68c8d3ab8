"""Tokenizers for models trained from scratch: characters, a vocabulary learned from the corpus, or anybody's."""

import re
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from closedbook.modeling.tokenization_char import MASK_CHARACTER, PAD_CHARACTER

CHARACTERS = "characters"
_TRAINED = re.compile(r"train:(?P<kind>[a-z]+):(?P<size>\d+)")
_BYTES = 256
_SPECIAL = [PAD_CHARACTER, MASK_CHARACTER]
_MODELS: dict[str, tuple[Any, Any]] = {
    "bpe": (models.BPE, trainers.BpeTrainer),
    "unigram": (models.Unigram, trainers.UnigramTrainer),
}


def check_tokenizer_name(name: str) -> None:
    """Refuse a `train:...` that says no kind or size; other names are folders or of the Hub.

    Raises:
        ValueError: with the form and the known kinds.
    """
    if not name.startswith("train:"):
        return
    found = _TRAINED.fullmatch(name)
    known = ", ".join(f"train:{kind}:8192" for kind in _MODELS)
    if found is None or found["kind"] not in _MODELS:
        raise ValueError(f"--tokenizer {name}: a vocabulary is learned as one of {known}")
    if int(found["size"]) < _BYTES + len(_SPECIAL):
        raise ValueError(
            f"--tokenizer {name}: a vocabulary of bytes has {_BYTES + len(_SPECIAL)} tokens or more, special ones "
            "included"
        )


def train_tokenizer(name: str, texts: Iterable[str], model_max_length: int) -> PreTrainedTokenizerFast:
    """A tokenizer over bytes learned from texts, with the padding and the mask token of this package.

    Bytes, because then every text can be read and comes back as it was. The same texts give the same vocabulary.

    Args:
        name: `train:bpe:SIZE` (Sennrich et al. 2016) or `train:unigram:SIZE` (Kudo 2018); the size counts all
            tokens.
        texts: to learn from.
        model_max_length: tokens; longer inputs are warned about.

    Raises:
        ValueError: for a name that is none of these, or texts without a character.
    """
    check_tokenizer_name(name)
    found = _TRAINED.fullmatch(name)
    assert found is not None, "it was checked"
    model, trainer = _MODELS[found["kind"]]
    backend = Tokenizer(model())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    options = {"unk_token": None} if found["kind"] == "unigram" else {}
    backend.train_from_iterator(
        _not_empty(texts),
        trainer(
            vocab_size=int(found["size"]),
            special_tokens=_SPECIAL,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
            **options,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD_CHARACTER,
        mask_token=MASK_CHARACTER,
        eos_token=MASK_CHARACTER,
        model_max_length=model_max_length,
        clean_up_tokenization_spaces=False,
    )


def _not_empty(texts: Iterable[str]) -> Iterable[str]:
    some = False
    for text in texts:
        some = some or bool(text.strip())
        yield text
    if not some:
        raise ValueError("cannot learn a vocabulary: the texts contain no characters")


def add_marks(tokenizer: PreTrainedTokenizerBase) -> int:
    """Give a tokenizer the padding and the mask token that it lacks; returns how many tokens it got.

    A mask token that it has stands for the mark as it is, so that one special token has one meaning.
    """
    wanted = {"mask_token": MASK_CHARACTER, "pad_token": PAD_CHARACTER}
    missing: Any = {name: text for name, text in wanted.items() if getattr(tokenizer, name) is None}
    return tokenizer.add_special_tokens(missing) if missing else 0
