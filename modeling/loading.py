"""Checks of what is to be loaded: fields that no configuration has, and weights of another architecture."""

import difflib
from dataclasses import fields

from transformers import GenerationConfig, PreTrainedConfig
from transformers.utils import logging

logger = logging.get_logger(__name__)

# Two configurations that differ in one of these have different weights, or the same ones with another meaning.
KINDS = ("attention", "position", "latent_layout", "wiring")
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")

# What transformers and its companions write into a config.json beside the fields of the class.
LIBRARY_KEYS = frozenset(
    (
        "attn_implementation",
        "auto_map",
        "compression_config",
        "experts_implementation",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "per_layer_config",
        "quantization_config",
        "sparsity_config",
        "tokenizer_class",
        "torch_dtype",
        "torchscript",
        "transformers.js_config",
        "unsloth_version",
    )
)

# What GPT-2 calls fields that this package has under the names of most models.
GPT2_NAMES = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_layer": "num_hidden_layers",
    "n_positions": "max_position_embeddings",
}


def sort_out_unknown_fields(config: PreTrainedConfig, given: dict, largest: type) -> None:
    """Refuse what was meant for a field of the configuration, and keep what is somebody else's.

    Other tools and later versions write fields of their own: these are kept, as everywhere, and warned of, since
    nothing here reads them. What only repeats the configuration is taken out of `given`.

    Args:
        config: with its own fields set.
        given: all others, by name.
        largest: the configuration class of the package that has the most fields.

    Raises:
        ValueError: for a name that is nearly a field's, or a field of another family; for a number that follows
            from the fields and is given as another one.
    """
    others = sorted(name for name in given if name not in LIBRARY_KEYS and not name.startswith("_"))
    if others:  # old files hold settings of generation, which the library takes out by itself
        others = sorted(set(others) - GenerationConfig().to_dict().keys())
    known = {field.name for field in fields(config)}
    misspelt, kept = [], []
    for name in others:
        derived = getattr(type(config), name, None)
        if isinstance(derived, property) and derived.fset is None:
            _compare_derived(config, name, given)
        elif name in GPT2_NAMES and given[name] == getattr(config, GPT2_NAMES[name]):
            del given[name]
        elif name in {field.name for field in fields(largest)}:
            misspelt.append(name)
        elif meant := GPT2_NAMES.get(name) or near_miss(name, known):
            misspelt.append(f"{name} (did you mean {meant}?)")
        else:
            kept.append(name)
    if misspelt:
        raise ValueError(f"{type(config).__name__} has no field {', '.join(misspelt)}")
    if kept:
        logger.warning_once(
            f"{type(config).__name__} has no field {', '.join(kept)}: kept, and without effect on this model"
        )


def _compare_derived(config: PreTrainedConfig, name: str, given: dict) -> None:
    """A number that follows from the fields may be repeated, as tools do that write it for every model."""
    value = given.pop(name)
    if value is not None and value != getattr(config, name):
        raise ValueError(
            f"{name} is {value!r}, but the other fields of this {type(config).__name__} make it "
            f"{getattr(config, name)!r}: leave it out"
        )


def near_miss(name: str, known: set[str]) -> str | None:
    """The known name that `name` was meant for: one with a few other letters, or with fewer words, in order."""
    close = difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.82)
    if close or "_" not in name:
        return close[0] if close else None
    for candidate in sorted(known):
        words = iter(candidate.split("_"))
        if all(word in words for word in name.lower().split("_")):
            return candidate
    return None


def check_same_architecture(config_class: type, name, model_args: tuple, kwargs: dict) -> None:
    """Compare the checkpoint's configuration with the one that is asked for, before any weight is read.

    Args:
        config_class: of the model class that is to be made.
        name: folder or hub name of the checkpoint; None has nothing to compare.
        model_args, kwargs: of `from_pretrained`; a configuration, or fields that are to differ from it.

    Raises:
        ValueError: for another family, or another attention, kind of position or latent layout.
    """
    if name is None:
        return
    hub = {key: kwargs[key] for key in HUB_ARGUMENTS if key in kwargs}
    saved, _ = PreTrainedConfig.get_config_dict(name, **hub)
    if "model_type" not in saved:
        return  # weights alone, or an adapter: the configuration comes from elsewhere
    if saved.get("model_type") != config_class.model_type:
        raise ValueError(
            f"{name} holds a model of type {saved.get('model_type')!r}, not {config_class.model_type!r}: load it "
            "with AutoModelForCausalLM, which takes the right class"
        )
    wanted = next((given for given in (kwargs.get("config"), *model_args) if given is not None), None)
    for kind in KINDS:
        default = getattr(config_class, kind, None)
        asked = getattr(wanted, kind, None) if isinstance(wanted, PreTrainedConfig) else kwargs.get(kind)
        if asked is not None and asked != saved.get(kind, default):
            raise ValueError(
                f"{name} was made with {kind} {saved.get(kind, default)!r}, and cannot be loaded as {asked!r}: "
                "its weights are those of another variant. Make a new model of that configuration and load what "
                "you mean to keep with load_state_dict(strict=False)"
            )


def check_whole_stack(name, stack, missing_keys, unexpected_keys) -> None:
    """Refuse a checkpoint that lacks weights of the stack, or has some that the stack has no place for.

    Heads are left alone: without one a stack is a feature extractor, and a new one can be trained.

    Args:
        stack: the model without its head.

    Raises:
        ValueError: naming them.
    """
    told = []
    for keys, what in ((missing_keys, "missing"), (unexpected_keys, "not expected")):
        names = (str(key).removeprefix(f"{stack.base_model_prefix}.") for key in keys)
        found = sorted(key for key in names if key.split(".")[0] in stack._modules)
        if found:
            shown = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
            told.append(f"{shown}: {what}")
    if told:
        raise ValueError(
            f"the weights in {name} do not fit its configuration ({'; '.join(told)}). They belong to another "
            "variant or size"
        )
