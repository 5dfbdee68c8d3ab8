"""A tokenizer of single characters that any Hugging Face code loads.

The vocabulary is learned from text and saved with the model: id 0 is the padding character, id 1 the mask
character that also ends an answer, then the characters of the corpus in code point order.
"""

import json
import os
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

logger = logging.get_logger(__name__)

PAD_CHARACTER = "\u25a1"  # □
MASK_CHARACTER = "\u2047"  # ⁇
LINE_FEED = "\n"

# Chat as a model reads it that was taught questions: `question ⁇ answer ⁇`, one exchange after the other. The
# marks of generation tell trainers which tokens are the assistant's.
QUESTION_CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + 'END' -}}{%- endgeneration -%}"
    "{%- elif message['role'] == 'user' -%}{{- message['content'] + 'END' -}}"
    "{%- else -%}{{- raise_exception('this model knows questions and answers only, no ' + message['role']) -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
).replace("END", MASK_CHARACTER)


class CharTokenizer(PreTrainedTokenizerFast):
    """One token a character; any string over the vocabulary comes back from `decode(encode(text))` as it was.

    A line feed can always be read: where no text of the vocabulary has one, texts are lines, and the end of a line
    is read as the mask character, which ends a text. Any other character outside the vocabulary is an error that
    names it. Built with `unknown="mask"`, the tokenizer reads such characters as the mask character instead.

    Loaded without this class (`AutoTokenizer` without `trust_remote_code`), the same files give a plain
    `PreTrainedTokenizerFast` with the same ids, whose error for an unknown character is shorter.
    """

    # what a reader without this class falls back to; the ids are the same
    _fallback_class = "PreTrainedTokenizerFast"

    def _encode_plus(self, text, text_pair=None, *args, **kwargs):
        if self.unk_token is None:
            for part in (text, text_pair):
                self._refuse_unknown(part)
        return super()._encode_plus(text, text_pair, *args, **kwargs)

    def _refuse_unknown(self, part) -> None:
        if isinstance(part, list | tuple):
            for item in part:
                self._refuse_unknown(item)
        elif isinstance(part, str):
            vocabulary = self.backend_tokenizer.get_vocab()
            unknown = sorted(set(part) - vocabulary.keys())
            if LINE_FEED in unknown and self.backend_tokenizer.normalizer is not None:
                unknown.remove(LINE_FEED)
                logger.warning_once(
                    f"the vocabulary has no line feed: it is read as {MASK_CHARACTER!r}, which ends a text"
                )
            if unknown:
                raise ValueError(describe_unknown(unknown, part))

    def save_pretrained(self, save_directory, *args, **kwargs):
        """Save as every tokenizer does, then name the class that readers without this code may use."""
        files = super().save_pretrained(save_directory, *args, **kwargs)
        _declare_fallback(save_directory, self._fallback_class)
        return files


def describe_unknown(unknown: Iterable[str], where: str) -> str:
    """The message for characters that a vocabulary lacks."""
    named = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in unknown)
    shown = where if len(where) <= 80 else where[:77] + "..."
    return (
        f"not in the vocabulary: {named}, in {shown!r}. Build the tokenizer from text that contains them, or "
        'with unknown="mask" to read them as the mask character'
    )


def _declare_fallback(save_directory: str | os.PathLike, class_name: str) -> None:
    path = os.path.join(save_directory, "tokenizer_config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["tokenizer_class"] = class_name
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=2, ensure_ascii=False)
        file.write("\n")


def build_char_tokenizer(
    texts: Iterable[str], model_max_length: int | None = None, unknown: str = "error"
) -> CharTokenizer:
    """Learn the characters of `texts`.

    Args:
        texts: any strings; every character they contain gets an id.
        model_max_length: the block of the model, so that longer inputs are warned about.
        unknown: `"error"` (default) refuses characters outside the vocabulary, `"mask"` reads them as the
            mask character.

    Raises:
        ValueError: for an empty corpus or another value of `unknown`.
    """
    if unknown not in ("error", "mask"):
        raise ValueError(f'unknown must be "error" or "mask", got {unknown!r}')
    characters: set[str] = set()
    for text in texts:
        characters.update(text)
    characters -= {PAD_CHARACTER, MASK_CHARACTER}
    if not characters:
        raise ValueError("cannot build a vocabulary: the texts contain no characters")
    vocabulary = {PAD_CHARACTER: 0, MASK_CHARACTER: 1}
    for character in sorted(characters):
        vocabulary[character] = len(vocabulary)
    unk_token = MASK_CHARACTER if unknown == "mask" else None
    backend = Tokenizer(
        models.WordLevel(vocab=vocabulary, unk_token=unk_token)
        if unk_token
        else models.WordLevel(vocab=vocabulary)
    )
    if LINE_FEED not in vocabulary and not unk_token:
        # A token of its own would be one that no text trains, and a row more in every model. Evaluation harnesses
        # pass line feeds as ends of an answer and between demonstrations, whatever a model was trained on.
        backend.normalizer = normalizers.Replace(LINE_FEED, MASK_CHARACTER)
    # any character, line feeds too, in words that every language's regular expressions have; FixedLength(1) will
    # not do, which JavaScript counts in halves of the characters beyond U+FFFF
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    special = {"pad_token": PAD_CHARACTER, "mask_token": MASK_CHARACTER, "eos_token": MASK_CHARACTER}
    if unk_token:
        special["unk_token"] = unk_token
    if model_max_length is not None:
        special["model_max_length"] = model_max_length
    return CharTokenizer(
        tokenizer_object=backend, padding_side="right", clean_up_tokenization_spaces=False, **special
    )
