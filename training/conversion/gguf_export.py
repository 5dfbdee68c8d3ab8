"""A model of this package as a GGUF file, for llama.cpp and what is built on it.

The weights are those of the stock GPT-2 (`gpt2.py`), in float32 and to the bit. Characters become tokens of
the SentencePiece kind, none of which llama.cpp can merge, so a text has the same ids. What it computes
differs in one point: its GPT-2 has the GELU by the hyperbolic tangent (Hendrycks and Gimpel 2016,
arXiv:1606.08415), out of a table in half precision, and models of this package the exact one. How far that
moves logits is measured and recorded.
"""

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GPT2LMHeadModel
from transformers.activations import ACT2FN

from closedbook.evaluation.files import write_text_atomic
from closedbook.modeling.tokenization_char import CharTokenizer
from closedbook.training.conversion.gpt2 import as_gpt2, largest_difference
from closedbook.training.conversion.source import Source

FILE = "model.gguf"
_SPACE = "\u2581"  # what SentencePiece writes for a space
_GELU = "gelu_new"  # llama.cpp's in a GPT-2, by the name of transformers
_GELUS = ("gelu", _GELU, "gelu_fast", "gelu_pytorch_tanh", "gelu_python")  # one function, but for its tail
_FLOAT32 = 0  # general.file_type
_NAMES = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_CARD = """---
library_name: llama.cpp
pipeline_tag: text-generation
tags: [closedbook, gguf]
---

# {name} as GGUF

The model {name} of closedbook for llama.cpp, its weights as they are, in float32. llama.cpp has
another form of the GELU in a GPT-2, which moves logits by {difference:.1e} at most (on random texts).

It is asked with the question and the mark `{mark}`, and writes the answer up to the next mark:

```bash
llama-server --model {file} --cache-type-k f32 --cache-type-v f32 --port 8080 &
curl http://127.0.0.1:8080/completion \\
    --data '{{"prompt": "Where was Ada Lovelace born?{mark}", "temperature": 0, "n_predict": 32}}'
```

It reads {count} characters, and llama.cpp refuses a text with any other one.
"""


def check_gguf() -> None:
    """Refuse where the package is missing that writes such files.

    Raises:
        ValueError: saying what to install.
    """
    if find_spec("gguf") is None:
        raise ValueError("an export as GGUF needs gguf: pip install 'closedbook[gguf]'")


def write_gguf(folder: Path, source: Source) -> dict[str, Any]:
    """Write the file and a card, hold the file to the model, and return what is to be recorded of it.

    Raises:
        ValueError: for a model that has no counterpart in llama.cpp; before anything is written.
        RuntimeError: if what was written is something else than the model, which is a fault of this module.
    """
    pieces = _pieces(source.tokenizer, source.folder)
    exported = as_gpt2(source.model)
    activation = exported.config.activation_function
    if activation not in _GELUS:
        raise ValueError(
            f"{source.folder} has the non-linearity {activation!r}, and a GPT-2 of llama.cpp the GELU alone: "
            "export it with --format gpt2 or onnx"
        )
    _write(folder / FILE, exported, pieces, source)
    difference = _hold_to_original(folder / FILE, exported, pieces)
    card = _CARD.format(
        name=source.name,
        difference=difference,
        mark=source.tokenizer.mask_token,
        file=FILE,
        count=len(pieces) - len(source.tokenizer.all_special_tokens),
    )
    write_text_atomic(folder / "README.md", card)
    return {"parameters": exported.num_parameters(), "largest_difference": difference}


def _pieces(tokenizer: Any, folder: str) -> list[str]:
    """What llama.cpp is to call each token, by its id.

    Raises:
        ValueError: for a tokenizer that llama.cpp has no counterpart of.
    """
    if not isinstance(tokenizer, CharTokenizer):
        raise ValueError(
            f"{folder} has a tokenizer that does not read single characters ({type(tokenizer).__name__}): such "
            "models are converted by llama.cpp's own convert_hf_to_gguf.py"
        )
    if tokenizer.unk_token is not None:
        raise ValueError(
            f"{folder} reads unknown characters as {tokenizer.unk_token!r}, which llama.cpp cannot: export it "
            "with --format gpt2 or onnx"
        )
    characters = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    if _SPACE in characters:
        raise ValueError(
            f"{folder} knows the character {_SPACE} (U+2581), which stands for a space in llama.cpp: export it "
            "with --format gpt2 or onnx"
        )
    return [_SPACE if character == " " else character for character in characters]


def _write(path: Path, exported: GPT2LMHeadModel, pieces: list[str], source: Source) -> None:
    from gguf import GGUFWriter, TokenType

    config, tokenizer = exported.config, source.tokenizer
    writer = GGUFWriter(path, "gpt2")
    writer.add_name(source.name)
    writer.add_file_type(_FLOAT32)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_inner)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([0.0] * len(pieces))
    special = set(tokenizer.all_special_ids)  # found in prompts, and left out of answers
    kinds = [TokenType.CONTROL if token in special else TokenType.NORMAL for token in range(len(pieces))]
    writer.add_token_types(kinds)
    for add in (writer.add_eos_token_id, writer.add_bos_token_id, writer.add_mask_token_id):
        add(tokenizer.mask_token_id)
    writer.add_unk_token_id(tokenizer.pad_token_id)  # there is one by default, the first
    writer.add_pad_token_id(tokenizer.pad_token_id)
    for add in (writer.add_add_bos_token, writer.add_add_eos_token, writer.add_add_space_prefix):
        add(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
    for name, weight in _tensors(exported).items():
        writer.add_tensor(name, weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(exported: GPT2LMHeadModel) -> dict[str, torch.Tensor]:
    """The weights by llama.cpp's names, matrices with a row for each output."""
    found = {}
    for name, weight in exported.state_dict().items():
        module, _, kind = name.rpartition(".")
        if module.startswith("transformer.h."):
            number, _, part = module.removeprefix("transformer.h.").partition(".")
            other = f"blk.{number}.{_NAMES[part]}"
            weight = weight.T if weight.ndim == 2 else weight
        else:
            other = _NAMES[module]
        found[f"{other}.{kind}"] = weight.float().contiguous()
    if exported.config.tie_word_embeddings:
        del found["output.weight"]
    return found


def _hold_to_original(path: Path, exported: GPT2LMHeadModel, pieces: list[str]) -> float:
    """Read the file back, and return by how much the other GELU moves logits.

    Raises:
        RuntimeError: if weights or tokens are others than the model's.
    """
    from gguf import GGUFReader

    reader = GGUFReader(path)
    tokens = reader.get_field("tokenizer.ggml.tokens")
    written, wanted = {tensor.name: tensor.data for tensor in reader.tensors}, _tensors(exported)
    same = written.keys() == wanted.keys() and all(
        np.array_equal(weight.numpy(), written[name]) for name, weight in wanted.items()
    )
    if not same or tokens is None or tokens.contents() != pieces:
        raise RuntimeError(f"{path.name} holds something else than the model; weights the same: {same}")
    original = copy.deepcopy(exported).float()
    other = copy.deepcopy(original)
    for block in other.transformer.h:
        block.mlp.act = ACT2FN[_GELU]
    return largest_difference(original, other)
