"""LoRA adapters (Hu et al. 2021) by `peft`, which is installed by the extra `lora`."""

import json
import math
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from closedbook.training.arguments import AdapterArguments
from closedbook.training.bases.loading import ADAPTER_FILE


def check_adapter(args: AdapterArguments, model: str | None) -> None:
    """Refuse flags of an adapter without one, an adapter without the package for it, and one beside another.

    Args:
        args: to be checked.
        model: folder or name of what it is for.

    Raises:
        ValueError: saying what is missing.
    """
    if args.lora_rank < 0:
        raise ValueError(f"--lora_rank must be 0 (all weights) or positive, got {args.lora_rank}")
    if args.lora_rank == 0:
        for name, given in (("lora_alpha", args.lora_alpha is not None), ("merge_adapter", args.merge_adapter)):
            if given:
                raise ValueError(f"--{name} has no effect: it needs --lora_rank")
        return
    if args.lora_alpha is not None and not 0 < args.lora_alpha < math.inf:
        raise ValueError(f"--lora_alpha must be a positive number, got {args.lora_alpha}")
    if model is not None and (Path(model) / ADAPTER_FILE).is_file() and not args.merge_adapter:
        raise ValueError(
            f"--lora_rank: {model} is an adapter itself, and another one would be for weights that no folder "
            "holds: add --merge_adapter true, or train on without --lora_rank"
        )
    _peft()


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ValueError("adapters need peft: pip install 'closedbook[lora]'") from error
    return peft


def add_adapter(model: PreTrainedModel, args: AdapterArguments, base: str) -> Any:
    """The model with a new adapter beside all of its linear layers but the head; its own weights are frozen.

    Args:
        model: to be adapted, in place.
        args: with the rank. Alpha is twice the rank where it is not given, as is usual, so that the rank can be
            changed without the learning rate.
        base: what the adapter's file is to say of the model that it is for.
    """
    peft = _peft()
    config = peft.LoraConfig(
        r=args.lora_rank,
        lora_alpha=args.lora_alpha or 2 * args.lora_rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    adapted = peft.get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = base
    return adapted


def base_of_adapter(folder: Path) -> str:
    """The folder or Hub name of the model that an adapter is for.

    Raises:
        ValueError: if its file is damaged or names none, or the base is not there.
    """
    path = folder / ADAPTER_FILE
    try:
        base = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not base:
        raise ValueError(f"{path} names no base model (base_model_name_or_path): write its folder or name there")
    if not Path(base).is_dir() and base.count("/") > 1:
        raise ValueError(f"{path}: the base model {base} is not there: write its folder or name on the Hub there")
    return base


def attach_adapter(model: PreTrainedModel, folder: Path, base: str) -> Any:
    """The model with the adapter of a folder.

    Raises:
        ValueError: if the adapter is for another model.
    """
    peft = _peft()
    try:
        attached = peft.PeftModel.from_pretrained(model, str(folder))
    except (ValueError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"the adapter in {folder} is not for {base} ({model.config.model_type}, "
            f"{model.num_parameters():,} weights): {' '.join(str(error).split())[:160]}"
        ) from error
    return attached
