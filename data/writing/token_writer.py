"""Examples as tokens of any fast tokenizer: as long as the block, and with the loss beginning between two tokens.

Objectives draw their windows in characters. How many fit a block of tokens differs from document to document, so
the writer begins with as many as the document itself has to a token, and draws again with less room, from the same
random numbers, until the example fits. An example of a seed is thereby the same whoever computes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from transformers import PreTrainedTokenizerBase

from closedbook.data.objectives.example import Example
from closedbook.data.objectives.table import OBJECTIVES, QUESTIONS, taught_answer
from closedbook.data.writing.question_form import QuestionForm, own_prefix
from closedbook.data.writing.text_forms import CUE_QUESTION, TEXT_FORMS
from closedbook.modeling.tokenization_char import MASK_CHARACTER

_SHRINK = 0.95  # of the room by which an example was too long; a little more, so that few draws are needed
_LEAST = 12  # characters; with less room than this no objective says anything
_NO_LIMIT = 1 << 30


@dataclass(frozen=True)
class TokenExample:
    """One unpacked training example in tokens.

    Attributes:
        ids: the tokens, at most a block of them.
        loss_start: index of the first token that is to be predicted.
        position_start: position of the first token.
        characters: of the text that the tokens stand for.
    """

    ids: tuple[int, ...]
    loss_start: int
    position_start: int = 0
    characters: int = 0

    def __len__(self) -> int:
        return len(self.ids)


class TokenWriter:
    """Makes examples of records in the tokens of one tokenizer.

    Args:
        tokenizer: any fast one.
        form: how questions and all other objectives are put into words, for models that were pretrained on text;
            None writes the marks of this package with the tokenizer's mask token, for models trained from scratch.

    Raises:
        ValueError: for a tokenizer that is not fast (it cannot say which characters a token stands for), or that
            has no mask token where marks are to be written.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, form: QuestionForm | None = None):
        if not tokenizer.is_fast:
            raise ValueError(
                f"{type(tokenizer).__name__} is no fast tokenizer, which cannot say where a token begins in its "
                "text: save a tokenizer.json beside the model"
            )
        if form is None and tokenizer.mask_token is None:
            raise ValueError("the tokenizer has no mask token to write the marks of the objectives with")
        self.tokenizer = tokenizer
        self.form = form
        self.mask = tokenizer.mask_token or ""
        self._prefix = own_prefix(tokenizer) if form is not None else []
        self._end = [tokenizer.eos_token_id] if form is not None and tokenizer.eos_token_id is not None else []
        self._characters_per_token = lru_cache(maxsize=65_536)(self._measure)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_characters_per_token": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._characters_per_token = lru_cache(maxsize=65_536)(self._measure)

    def make(self, objective: str, record: Mapping, seed: str, block_size: int) -> TokenExample:
        """What an objective makes of a record, in at most `block_size` tokens.

        Args:
            objective: a key of `OBJECTIVES`.
            record: with `title` and `text`, or `question` and `answers`.
            seed: of the random numbers; the same example for the same seed.
            block_size: tokens.

        Raises:
            ValueError: if a question does not fit, or the block is too small for the objective.
        """
        if objective == QUESTIONS:
            written = self.write_question(record["question"], taught_answer(record, Random(seed)))
            if len(written) > block_size:
                raise ValueError(
                    f"question and answer take {len(written)} tokens, the block holds {block_size}: "
                    f"{record['question']!r}"
                )
            return written
        room = max(_LEAST, int(block_size * self._characters_per_token(record["text"])))
        while True:
            example = OBJECTIVES[objective](dict(record), Random(seed), room)
            written = self.write(objective, example, record["text"])
            if len(written) <= block_size:
                return written
            if room <= _LEAST:
                raise ValueError(
                    f"a block of {block_size} tokens is too small for {objective}: {_LEAST} characters of "
                    f"{record['text']!r:.60} take {len(written)}"
                )
            room = max(_LEAST, min(room - 1, int(_SHRINK * room * block_size / len(written))))

    def write(self, objective: str, example: Example, document: str) -> TokenExample:
        """The tokens of an example of a document.

        In plain words an example ends with the end-of-text token, unless it is a window that the document goes on
        after.
        """
        if self.form is None:
            text, start = example.text, example.loss_start
            return self._encode(self._marked(text[:start]), self._marked(text[start:]), ends=False)
        if objective == CUE_QUESTION and example.loss_start:
            question, entity, _ = example.text.split(MASK_CHARACTER)
            return self.write_question(question, entity)
        read, predicted = TEXT_FORMS[objective](example)
        if objective != "left_to_right":
            return self._encode(read, predicted, ends=True)
        ends = document.endswith(predicted)
        if not document.startswith(predicted):  # windows begin anywhere, and text that was read before at a word
            predicted = predicted.partition(" ")[2] or predicted
        return self._encode(read, predicted, ends)

    def write_question(self, question: str, answer: str) -> TokenExample:
        """The tokens of a question and its answer, of which the answer and its end are to be predicted."""
        return self.write_questions([question], [answer])[0]

    def write_questions(self, questions: Sequence[str], answers: Sequence[str]) -> list[TokenExample]:
        """What `write_question` makes of each of many, several times as fast."""
        if self.form is None:
            pairs = [
                (question + self.mask, answer + self.mask)
                for question, answer in zip(questions, answers, strict=True)
            ]
        else:
            form = self.form
            pairs = [
                (form.read(question), form.predicted(answer))
                for question, answer in zip(questions, answers, strict=True)
            ]
        return self._encode_all(pairs, ends=self.form is not None)

    def _marked(self, text: str) -> str:
        return text.replace(MASK_CHARACTER, self.mask)

    def _encode(self, read: str, predicted: str, ends: bool) -> TokenExample:
        return self._encode_all([(read, predicted)], ends)[0]

    def _encode_all(self, pairs: Sequence[tuple[str, str]], ends: bool) -> list[TokenExample]:
        """Read and predicted texts as one text where a token ends between them, or else each by itself."""
        texts = [read + predicted for read, predicted in pairs]
        found = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        return [
            self._joined(read, predicted, list(ids), _border(offsets, len(read)), ends)
            for (read, predicted), ids, offsets in zip(
                pairs, found["input_ids"], found["offset_mapping"], strict=True
            )
        ]

    def _joined(self, read: str, predicted: str, ids: list[int], border: int | None, ends: bool) -> TokenExample:
        """An example of the tokens of its two texts, which are parted at the border if there is one."""
        if border is None:
            before = self.tokenizer(read, add_special_tokens=False)["input_ids"]
            ids = [*before, *self.tokenizer(predicted, add_special_tokens=False)["input_ids"]]
            border = len(before)
        prefix = [] if ids[: len(self._prefix)] == self._prefix else self._prefix
        ids = [*prefix, *ids, *(self._end if ends and ids[-1:] != self._end else [])]
        # a text that is predicted from its first character on: so is its first token, after those before all texts
        start = len(prefix) + border if read or prefix else 0
        return TokenExample(tuple(ids), start, characters=len(read) + len(predicted))

    def _measure(self, text: str) -> float:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return len(text) / max(1, len(ids))


def _border(offsets: Sequence[tuple[int, int]], place: int) -> int | None:
    """Index of the first token behind a place of the text; None where a token lies across it."""
    for number, (start, end) in enumerate(offsets):
        if end > place:
            return number if start >= place else None
    return len(offsets)
