"""What a run trains: a model with its tokenizer, and how records become the tokens that it reads."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.writing.fit import check_special_tokens
from closedbook.data.writing.question_form import DEFAULT_PROMPT, QuestionForm
from closedbook.data.writing.token_writer import TokenWriter
from closedbook.data.writing.tokenizers import CHARACTERS, add_marks, check_tokenizer_name, train_tokenizer
from closedbook.evaluation.run_record import Run
from closedbook.modeling.tokenization_char import QUESTION_CHAT_TEMPLATE, CharTokenizer, build_char_tokenizer
from closedbook.training.arguments import (
    AdapterArguments,
    BaseArguments,
    ModelArguments,
    PromptArguments,
    RegularisationArguments,
)
from closedbook.training.bases.adapters import add_adapter
from closedbook.training.bases.loading import (
    context_length,
    is_of_this_package,
    load_model_folder,
    load_tokenizer,
)
from closedbook.training.checks.effect import given, refuse
from closedbook.training.models import build_model


@dataclass(frozen=True)
class Learner:
    """A model that is to be trained, and what it reads.

    Attributes:
        model: with an adapter, where one is to be trained.
        tokenizer: of the model.
        block_size: longest example, in tokens.
        writer: makes tokens of records; None for characters, whose examples are their tokens.
        prompt: how questions are put; None for marks.
        tokenizer_name: for the record; None for characters.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    block_size: int
    writer: TokenWriter | None = None
    prompt: str | None = None
    tokenizer_name: str | None = None

    def recorded(self) -> dict[str, Any]:
        """What the record of a stage says of it."""
        return {"tokenizer": self.tokenizer_name, "prompt": self.prompt}


@dataclass(frozen=True)
class Read:
    """All that a model is to read and write.

    Attributes:
        texts: groups of strings; each can be gone through several times, and none need be in memory.
        characters: strings that hold every character of them.
    """

    texts: Sequence[Iterable[str]]
    characters: Sequence[Iterable[str]]

    def all_texts(self) -> Iterator[str]:
        return chain.from_iterable(self.texts)


def new_learner(
    args: ModelArguments, regularisation: RegularisationArguments, tokenizer_name: str, read: Read
) -> Learner:
    """A model from random weights, in the tokens that `--tokenizer` names.

    Args:
        args, regularisation: of the model.
        tokenizer_name: `characters`, `train:KIND:SIZE`, or a folder or Hub name.
        read: what the model must know: characters, or texts from which a vocabulary is learned.
    """
    block_size = args.block_size
    if tokenizer_name == CHARACTERS:
        characters = build_char_tokenizer(chain.from_iterable(read.characters), model_max_length=block_size)
        if "?" not in characters.get_vocab():
            print(
                "no document has a '?', so questions with one cannot be asked of this model: --extra_characters "
                "ascii gives it all that keyboards have",
                file=sys.stderr,
            )
        return Learner(build_model(args, regularisation, len(characters)), characters, block_size)
    tokenizer: PreTrainedTokenizerBase
    if tokenizer_name.startswith("train:"):
        tokenizer = train_tokenizer(tokenizer_name, read.all_texts(), block_size)
    else:
        tokenizer = load_tokenizer(tokenizer_name)
        add_marks(tokenizer)
        tokenizer.model_max_length = block_size
    check_special_tokens(tokenizer, read.all_texts())
    writer = TokenWriter(tokenizer)
    model = build_model(args, regularisation, len(tokenizer))
    return Learner(model, tokenizer, block_size, writer, None, tokenizer_name)


def pretrained_learner(
    name: str, run: Run, asked: PromptArguments, adapter: AdapterArguments, block_size: int
) -> Learner:
    """A model that was trained before, of this package or any other, to be trained on.

    A model of this package keeps its block and its marks; any other is told in plain words, with `--prompt` for
    questions, and reads examples of `block_size` tokens, or of as many as its context holds.

    Args:
        name: folder or Hub name.
        run: its record, if it has one.
        asked: how questions are put.
        adapter: what is to be trained.
        block_size: tokens.

    Raises:
        ValueError: as `load_model_folder` does; for a prompt where marks are read; or a block beyond the context.
    """
    model, tokenizer = load_model_folder(name, asked.trust_remote_code)
    own = is_of_this_package(model.config)
    if own and run.last.prompt is None:
        if asked.prompt is not None:
            raise ValueError(f"--prompt has no effect: {name} reads the marks of this package")
        prompt, writer = None, None
        block_size = model.config.max_position_embeddings
        if not isinstance(tokenizer, CharTokenizer):
            writer = TokenWriter(tokenizer)
    else:
        limit = context_length(model)
        if limit is not None and block_size > limit:
            raise ValueError(f"a block of {block_size} tokens is beyond the context of {name}, {limit} tokens")
        prompt = run.last.prompt or DEFAULT_PROMPT if asked.prompt is None else asked.prompt
        prompt = prompt.replace("\\n", "\n")
        writer = TokenWriter(tokenizer, QuestionForm(prompt, tokenizer))
    label = None if writer is None else run.last.tokenizer or name
    if adapter.lora_rank:
        model = add_adapter(model, adapter, name)
    return Learner(model, tokenizer, block_size, writer, prompt, label)


def check_base(args: BaseArguments, model: ModelArguments, asked: PromptArguments) -> None:
    """Refuse flags of a new model beside one to go on with, and the other way round.

    Raises:
        ValueError: with one line a flag.
    """
    if args.model is None:
        check_tokenizer_name(args.tokenizer)
        refuse([f"--{name} has no effect: it needs --model" for name in sorted(given(asked))])
        return
    shape = sorted(given(model) - {"block_size"})
    lines = [f"--{name} has no effect: {args.model} has its own shape" for name in shape]
    if args.tokenizer != CHARACTERS:
        lines.append(f"--tokenizer has no effect: {args.model} has its own")
    refuse(lines)


def teach_template(learner: Learner) -> None:
    """Give a tokenizer the chat template of what its model is about to learn, where that is marks."""
    if learner.writer is None:
        learner.tokenizer.chat_template = QUESTION_CHAT_TEMPLATE
