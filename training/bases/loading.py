"""Loads any causal language model and its tokenizer: of this package, a stock one, or a base with an adapter."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from closedbook.evaluation.answering.stock_models import from_pretrained, load_stock_model
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.tokenization_char import CharTokenizer
from closedbook.training.checks.effect import refuse
from closedbook.training.keeping.finite import check_weights
from closedbook.training.keeping.manifest import MANIFEST_FILE, first_difference

ADAPTER_FILE = "adapter_config.json"
OURS = (VanillaGPTConfig.model_type, PerceiverGPTConfig.model_type)
_OWN_CODE = (
    "Models of this package need none. Read it first; if you trust it, ask the model with scripts/evaluate.py "
    "--prompt and --trust_remote_code true"
)


def is_of_this_package(config: PretrainedConfig) -> bool:
    """Whether a model is one of this package's architectures."""
    return config.model_type in OURS


def starts_in_own_way(name: str) -> bool:
    """Whether a folder holds a model of this package, as far as its configuration tells; no folder does not."""
    return _model_type(Path(name)) in OURS


def context_length(model: PreTrainedModel) -> int | None:
    """The most tokens that a model reads at once; None where its configuration says no limit."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def check_is_model(name: str) -> None:
    """Refuse a folder without a model, before anything is loaded; a name that is no folder may be on the Hub.

    Raises:
        FileNotFoundError: saying what is missing.
    """
    folder = Path(name)
    if not folder.is_dir():
        if folder.is_file() or name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise FileNotFoundError(f"{name} holds no model (there is no such folder)")
        return
    if not any((folder / file).is_file() for file in ("config.json", ADAPTER_FILE)):
        raise FileNotFoundError(f"{name} holds no model (no config.json, and no {ADAPTER_FILE})")


def load_model_folder(
    name: str | Path, trust_remote_code: bool = False, merge_adapter: bool = True
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Any causal language model and its tokenizer, in float32 where there is no accelerator: `(model, tokenizer)`.

    Args:
        name: a folder, a folder of an adapter that names its base, or a name on the Hub.
        trust_remote_code: whether code that a stock model brings along may run.
        merge_adapter: whether an adapter is added to its base; a model that is to be trained on keeps it apart.

    Raises:
        FileNotFoundError: if a folder holds no model.
        ValueError: if weights are damaged, not finite, or not those of their configuration or run; if an adapter
            is for another base; if the model is no causal language model, or needs code that is not trusted.
    """
    check_is_model(str(name))
    folder = Path(name)
    if (folder / ADAPTER_FILE).is_file():
        return _load_adapter(folder, trust_remote_code, merge_adapter)
    if _model_type(folder) in OURS:
        refuse(
            ["--trust_remote_code has no effect: the model is one of this package"] if trust_remote_code else []
        )
        model, tokenizer = _load_own(folder)
    else:
        try:
            model, tokenizer = load_stock_model(name, trust_remote_code=trust_remote_code)
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"the weights in {name} are damaged ({error}): copy the folder again") from error
        except ValueError as error:
            if "Unrecognized configuration class" not in str(error):
                raise
            raise ValueError(
                f"{name} is no causal language model: nothing can be taught or asked this way"
            ) from error
        check_weights(model, f"the model {name} cannot be used")
    different = first_difference(folder) if folder.is_dir() else None
    if different is not None:
        raise ValueError(
            f"{folder} is not as its run left it: {different}. Copy the folder again; if you changed it on "
            f"purpose, remove {MANIFEST_FILE}"
        )
    return model, tokenizer


def _model_type(folder: Path) -> str | None:
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): copy the folder again") from error
    return content.get("model_type") if isinstance(content, dict) else None


def _load_own(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        model, info = from_pretrained(
            AutoModelForCausalLM,
            folder,
            remedy=_OWN_CODE,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )  # what does not fit is complained about below, all of it at once
    except SafetensorError as error:
        raise ValueError(
            f"the weights in {folder} are damaged ({error}). Copy the folder again, or load its last good "
            "checkpoint-* folder"
        ) from error
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    problems = {kind: sorted(map(str, info[kind])) for kind in kinds if info[kind]}
    if problems:
        raise ValueError(
            f"the weights in {folder} are not those of its config.json ({model.config.model_type}): {problems}"
        )
    check_weights(model, f"the model in {folder} cannot be used")
    try:
        tokenizer = load_tokenizer(folder)
    except Exception as error:  # the libraries have no one class for it, and name no file
        reason = first_difference(folder) or " ".join(str(error).split())
        raise ValueError(f"the tokenizer in {folder} cannot be read: {reason}. Copy the folder again") from error
    if len(tokenizer) != model.config.vocab_size:
        unit = "characters" if isinstance(tokenizer, CharTokenizer) else "tokens"
        raise ValueError(
            f"{folder}: the tokenizer has {len(tokenizer)} {unit}, the model {model.config.vocab_size}"
        )
    return model, tokenizer


def load_tokenizer(name: str | Path, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder or on the Hub, as this package's class where it is one of characters.

    Files without the name of a class are those of characters: the first version of this package wrote such.
    """
    path = Path(name) / "tokenizer_config.json"
    content: Any = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    named = content.get("auto_map", {}).get("AutoTokenizer") or []
    if any("CharTokenizer" in str(item) for item in named) or (_model_type(Path(name)) in OURS and not content):
        return CharTokenizer.from_pretrained(name)
    remedy = "Read it first; if you trust it, say so with --trust_remote_code true"
    if _model_type(Path(name)) in OURS:  # whose configuration says characters
        return PreTrainedTokenizerFast.from_pretrained(name)
    return from_pretrained(AutoTokenizer, name, remedy=remedy, trust_remote_code=trust_remote_code)


def _load_adapter(
    folder: Path, trust_remote_code: bool, merge: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from closedbook.training.bases.adapters import attach_adapter, base_of_adapter

    base = base_of_adapter(folder)
    model, tokenizer = load_model_folder(base, trust_remote_code)
    model = attach_adapter(model, folder, base)
    check_weights(model, f"the adapter in {folder} cannot be used")
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = load_tokenizer(folder, trust_remote_code)
    if not merge:
        return model, tokenizer
    return model.merge_and_unload().requires_grad_(True), tokenizer  # peft had frozen what it was beside
