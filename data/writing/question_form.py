"""How a question is put to a model that reads plain text, and how the answer it is taught follows."""

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

PLACE = "{question}"
CHAT = "chat"
DEFAULT_PROMPT = f"Question: {PLACE}\nAnswer:"


@dataclass(frozen=True)
class QuestionForm:
    """Questions and answers as text, the same in training and when they are asked.

    Attributes:
        prompt: a text with `{question}` in it, or `chat` for the tokenizer's own chat template.
        tokenizer: whose chat template it is.
    """

    prompt: str
    tokenizer: PreTrainedTokenizerBase

    def __post_init__(self) -> None:
        check_form(self.prompt, self.tokenizer)

    def read(self, question: str) -> str:
        """What is read before the answer begins."""
        if self.prompt != CHAT:
            return self.prompt.replace(PLACE, question)
        turns = [{"role": "user", "content": question}]
        text: Any = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return text

    def predicted(self, answer: str) -> str:
        """The answer as it follows `read`: after a space, unless white space or a chat's turn stands before it."""
        return answer if self.prompt == CHAT or self.prompt[-1:].isspace() else f" {answer}"


def check_form(prompt: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a prompt without a place for the question, and a chat for which the tokenizer has no template.

    Raises:
        ValueError: saying what is missing.
    """
    if prompt == CHAT:
        if not tokenizer.chat_template:
            raise ValueError(
                f'--prompt {CHAT}: the tokenizer has no chat template; write one out, such as "{DEFAULT_PROMPT!r}"'
            )
        turns = [{"role": "user", "content": "?"}]
        try:
            tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template may raise whatever it likes
            raise ValueError(
                f"--prompt {CHAT}: the tokenizer's chat template takes no question alone "
                f"({' '.join(str(error).split())[:100]}); write a prompt out, such as {DEFAULT_PROMPT!r}"
            ) from error
    elif PLACE not in prompt:
        raise ValueError(f"--prompt {prompt!r} has no {PLACE}: write it where the question goes")


def own_prefix(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that a tokenizer puts before every text by itself: a beginning-of-text token, or none."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start]
    return []


def encode_prompt(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """A prompt as a model reads it: after what its tokenizer puts before a text, once (chats write it out)."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    prefix = own_prefix(tokenizer)
    return ids if ids[: len(prefix)] == prefix else [*prefix, *ids]
