"""Causal language models that this package did not train: from the Hub or a folder, asked with a prompt.

All that an Auto class loads goes through `from_pretrained` here. Left to itself, transformers asks on a terminal
whether code that a model brings along may run, waits, and runs it on "y"; here nobody is asked, and it runs where
the caller said so.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

import closedbook.modeling  # noqa: F401  models of this package need no code from elsewhere
from closedbook.data.writing.question_form import CHAT, PLACE, QuestionForm

ANSWER_END = "\n"


def from_pretrained(
    auto_class: Any, name: str | Path, *, remedy: str, trust_remote_code: bool = False, **options: Any
) -> Any:
    """`auto_class.from_pretrained`, which runs code from the folder only if it is trusted.

    Args:
        auto_class: AutoConfig, AutoTokenizer, AutoModel and so on.
        name: a folder, or a name on the Hub.
        remedy: a sentence for those whose model needs such code: the flag that allows it, or what to use instead.
        trust_remote_code: whether code that the model brings along may run.
        options: of `from_pretrained`.

    Raises:
        ValueError: if the model cannot be loaded without code of its own; everything else that transformers
            raises passes through.
    """
    trusted = bool(trust_remote_code)  # None, transformers' own default, would ask
    try:
        return auto_class.from_pretrained(name, trust_remote_code=trusted, **options)
    except OSError as error:
        if Path(name).exists():
            raise
        raise FileNotFoundError(
            f"{name}: there is no such folder, and the Hub has no such model or cannot be reached: check the name "
            f"({' '.join(str(error).split())[:160]})"
        ) from error
    except ValueError as error:
        if trusted or "trust_remote_code" not in str(error):
            raise
        raise ValueError(f"{name} brings code of its own, which runs with your rights. {remedy}") from error


def load_stock_model(
    name: str | Path, dtype: str = "auto", trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Any causal language model with its own tokenizer: `(model, tokenizer)`.

    Args:
        name: a folder, or a name on the Hub.
        dtype: the precision, such as "bfloat16". "auto" is the checkpoint's own on an accelerator, and float32
            without one, where half precision is slow.
        trust_remote_code: whether code that the model brings along may run.

    Raises:
        ValueError: if the model brings code that is not trusted, the precision is unknown, or the tokenizer has
            more tokens than the model has embeddings for. What transformers raises for a name or folder without a
            model passes through.
    """
    dtype = resolve_dtype(dtype)
    trust: Any = {
        "trust_remote_code": trust_remote_code,
        "remedy": "Read it first; if you trust it, say so with --trust_remote_code true",
    }
    model = from_pretrained(AutoModelForCausalLM, name, dtype=dtype, **trust)
    tokenizer = from_pretrained(AutoTokenizer, name, **trust)
    embeddings = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > embeddings:
        raise ValueError(
            f"{name}: the tokenizer has {len(tokenizer)} tokens, the model {embeddings}: one is not for the other"
        )
    return model, tokenizer


def resolve_dtype(dtype: str) -> str:
    """What `--dtype` means on this machine: "auto" is float32 where there is no accelerator.

    Raises:
        ValueError: for a name that is no precision.
    """
    if dtype == "auto" and not torch.accelerator.is_available():
        return "float32"
    if dtype != "auto" and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ValueError(f"--dtype {dtype!r} is no precision of torch's: auto, float32, bfloat16 or float16")
    return dtype


def check_prompt(prompt: str) -> str:
    """The prompt with `\\n`, as one types it on a command line, made line breaks.

    Raises:
        ValueError: if it does not say where the question goes.
    """
    if prompt != CHAT and PLACE not in prompt:
        raise ValueError(
            f"--prompt {prompt!r} has no {PLACE}: write it where the question goes, or say {CHAT} for the chat "
            "template"
        )
    return prompt.replace("\\n", "\n")


def asked_as(
    prompt: str | None, tokenizer: PreTrainedTokenizerBase, questions: list[str]
) -> tuple[list[str], str | None]:
    """What `answer_questions` is given for questions: their texts, and what ends an answer.

    Args:
        prompt: with `{question}` in it, or `chat`; None for models that part question and answer by the mask
        token.
        tokenizer: of the model.
        questions: as they were written.
    """
    if prompt is None:
        return questions, None
    form = QuestionForm(prompt, tokenizer)
    return [form.read(question) for question in questions], ANSWER_END
