"""Checks that a checkpoint is of the architecture that is to be loaded, so that no weight is silently new."""

from transformers import PreTrainedConfig

# Two configurations that differ in one of these have different weights, or the same ones with another meaning.
KINDS = ("attention", "position", "latent_layout")
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


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
