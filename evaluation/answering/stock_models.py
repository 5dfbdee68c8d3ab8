"""Causal language models that this package did not train: from the Hub or a folder, asked with a prompt."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

import closedbook.modeling  # noqa: F401  models of this package need no code from elsewhere

PLACE = "{question}"
ANSWER_END = "\n"


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
    try:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, trust_remote_code=trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code)
    except ValueError as error:
        if "trust_remote_code" not in str(error) or trust_remote_code:
            raise
        raise ValueError(
            f"{name} brings code of its own, which runs with your rights. Read it first; if you trust it, say so "
            "with --trust_remote_code true"
        ) from error
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
    if PLACE not in prompt:
        raise ValueError(f"--prompt {prompt!r} has no {PLACE}: write it where the question goes")
    return prompt.replace("\\n", "\n")


def prompts_of(prompt: str, questions: list[str]) -> list[str]:
    """Every question in its place in the prompt."""
    return [prompt.replace(PLACE, question) for question in questions]
