"""Causal language models that this package did not train: from the Hub or a folder, asked with a prompt."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PLACE = "{question}"
ANSWER_END = "\n"


def load_stock_model(name: str | Path):
    """Any causal language model with its own tokenizer: `(model, tokenizer)`.

    Weights are read in the checkpoint's precision on an accelerator, and in float32 without one, where half
    precision is slow. Code that a model brings along is not run.

    Raises:
        ValueError: if the tokenizer has more tokens than the model has embeddings for. What transformers raises
            for a name or folder without a model passes through.
    """
    model = AutoModelForCausalLM.from_pretrained(
        name, dtype="auto" if torch.accelerator.is_available() else torch.float32
    )
    tokenizer = AutoTokenizer.from_pretrained(name)
    embeddings = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > embeddings:
        raise ValueError(
            f"{name}: the tokenizer has {len(tokenizer)} tokens, the model {embeddings}: one is not for the other"
        )
    return model, tokenizer


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
