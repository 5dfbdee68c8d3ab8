"""A model of this package as a stock GPT-2: the same function under a name that every tool knows.

A pre-norm block with biases and learned positions is GPT-2's, but for how the weights are laid out: three
projections side by side, matrices transposed. So nothing is approximated, and what GPT-2 has no place for is
refused.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from closedbook.evaluation.answering.stock_models import from_pretrained
from closedbook.evaluation.files import write_text_atomic
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.training.conversion.source import Source

_CARD = """---
library_name: transformers
pipeline_tag: text-generation
tags: [closedbook, gpt2]
---

# {name} as GPT-2

The model {name} of closedbook, exported as a `GPT2LMHeadModel`: no code of
its own is needed, and every program that runs GPT-2 runs it. Logits are the original's (largest difference on
random texts: {difference:.1e}).

It is asked with the question and the mark `{mark}`, and writes the answer up to the next mark:

```python
from transformers import pipeline

ask = pipeline("text-generation", model=".")
print(ask("Where was Ada Lovelace born?{mark}", do_sample=False, max_new_tokens=32, return_full_text=False))
```
"""


def write_gpt2(folder: Path, source: Source) -> dict[str, Any]:
    """Write the model as a stock GPT-2, and return what is to be recorded of it.

    Raises:
        ValueError: for a model that has no exact counterpart; before anything is written.
    """
    model, tokenizer = source.model, source.tokenizer
    exported = as_gpt2(model)
    exported.save_pretrained(folder)
    as_plain(tokenizer).save_pretrained(folder)
    difference = _check_saved(folder, model, tokenizer)
    card = _CARD.format(name=source.name, difference=difference, mark=tokenizer.mask_token)
    write_text_atomic(folder / "README.md", card)
    return {"parameters": exported.num_parameters(), "largest_difference": difference}


def as_gpt2(model: PreTrainedModel) -> GPT2LMHeadModel:
    """The same function as a stock GPT-2, in evaluation mode.

    Raises:
        ValueError: for an architecture that GPT-2 has no place for, naming it.
    """
    config = model.config
    if not isinstance(model, VanillaGPTForCausalLM):
        raise ValueError(f"{type(model).__name__} is no GPT-2: only vanilla models with softmax attention are")
    assert isinstance(config, VanillaGPTConfig)
    for name, value in (("attention", "softmax"), ("position", "learned")):
        if getattr(config, name) != value:
            raise ValueError(
                f"GPT-2 has no {name} {getattr(config, name)!r}, only {value!r}: share the folder as it is, its "
                "code travels with it"
            )
    exported = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.max_position_embeddings,
            n_embd=config.hidden_size,
            n_layer=config.num_hidden_layers,
            n_head=config.num_attention_heads,
            n_inner=config.intermediate_size,
            activation_function=config.hidden_act,
            embd_pdrop=config.embedding_dropout,
            resid_pdrop=config.hidden_dropout,
            attn_pdrop=config.attention_dropout,
            layer_norm_epsilon=config.layer_norm_eps,
            tie_word_embeddings=config.tie_word_embeddings,
            bos_token_id=None,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
            dtype=model.dtype,
        )
    ).to(model.dtype)
    exported.load_state_dict(_laid_out(model.state_dict(), config.num_hidden_layers), strict=True)
    exported.generation_config.eos_token_id = config.eos_token_id
    exported.generation_config.pad_token_id = config.pad_token_id
    return exported.eval()


_PARTS = {
    "attention_norm": "ln_1",
    "feed_forward_norm": "ln_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}


def _laid_out(weights: dict[str, torch.Tensor], num_layers: int) -> dict[str, torch.Tensor]:
    """The weights by GPT-2's names; its `Conv1D` holds a matrix transposed."""
    found = {
        "transformer.wte.weight": weights["model.embeddings.tokens.weight"],
        "transformer.wpe.weight": weights["model.embeddings.positions.weight"],
        "transformer.ln_f.weight": weights["model.norm.weight"],
        "transformer.ln_f.bias": weights["model.norm.bias"],
        "lm_head.weight": weights["lm_head.weight"],
    }
    for number in range(num_layers):
        ours, theirs = f"model.layers.{number}", f"transformer.h.{number}"
        for name, other in _PARTS.items():
            matrix = weights[f"{ours}.{name}.weight"]
            found[f"{theirs}.{other}.weight"] = matrix.T.contiguous() if matrix.ndim == 2 else matrix
            found[f"{theirs}.{other}.bias"] = weights[f"{ours}.{name}.bias"]
        for kind in ("weight", "bias"):
            three = torch.cat([weights[f"{ours}.self_attn.{name}_proj.{kind}"] for name in "qkv"])
            found[f"{theirs}.attn.c_attn.{kind}"] = three.T.contiguous() if kind == "weight" else three
    return found


def as_plain(tokenizer: Any) -> PreTrainedTokenizerFast:
    """A tokenizer that needs no code, with the same ids and special tokens."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token=tokenizer.pad_token,
        mask_token=tokenizer.mask_token,
        eos_token=tokenizer.eos_token or tokenizer.mask_token,
        unk_token=tokenizer.unk_token,
        model_max_length=tokenizer.model_max_length,
        chat_template=tokenizer.chat_template,
    )


@torch.no_grad()
def largest_difference(model: PreTrainedModel, other: PreTrainedModel) -> float:
    """Of logits, on random texts of every length that is a power of two within the block, and the block itself."""
    block = model.config.max_position_embeddings
    generator = torch.Generator().manual_seed(0)
    was_training = model.training
    model.eval()
    largest = 0.0
    for length in {*(2**power for power in range(block.bit_length()) if 2**power < block), block}:
        ids = torch.randint(2, model.config.vocab_size, (2, length), generator=generator)  # no padding
        difference = model(input_ids=ids).logits.float() - other(input_ids=ids).logits.float()
        largest = max(largest, difference.abs().max().item())
    model.train(was_training)
    return largest


def _check_saved(folder: Path, model: PreTrainedModel, tokenizer: Any) -> float:
    """Hold what was written to the original: a reader without this package gets the same numbers and ids.

    Returns:
        The largest difference of logits.

    Raises:
        RuntimeError: if it does not, which is a fault of this module.
    """
    remedy = "A stock GPT-2 needs none"
    saved = from_pretrained(AutoModelForCausalLM, folder, remedy=remedy, dtype=model.dtype).eval()
    plain = from_pretrained(AutoTokenizer, folder, remedy=remedy)
    scale = max(1.0, *(weight.abs().max().item() for weight in model.state_dict().values()))
    allowed = 100 * scale * torch.finfo(model.dtype).eps
    difference = largest_difference(model, saved)
    text = "".join(sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)))
    same_ids = plain.encode(text, add_special_tokens=False) == tokenizer.encode(text, add_special_tokens=False)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if difference > allowed or not same_ids or "auto_map" in config:
        raise RuntimeError(
            f"the export differs from the model: logits by {difference:.1e}, ids the same: {same_ids}"
        )
    return difference
