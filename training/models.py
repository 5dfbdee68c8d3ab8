"""New models: their names in results, and how flags become a configuration."""

from dataclasses import asdict, fields
from typing import Any

from transformers import PretrainedConfig, PreTrainedModel

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.training.arguments import ModelArguments, RegularisationArguments

ARCHITECTURES: dict[str, Any] = {"vanilla": VanillaGPTForCausalLM, "perceiver": PerceiverGPTForCausalLM}


def model_name(config: PretrainedConfig) -> str:
    """Short name for results: the architecture, and of this package's along each axis what is not the default."""
    if config.model_type not in ("vanilla_gpt", "perceiver_gpt"):
        return config.model_type
    name = f"perceiver-{config.latent_layout}" if isinstance(config, PerceiverGPTConfig) else "vanilla"
    choices = (config.attention, "softmax"), (config.position, "learned")
    return "-".join([name, *(choice for choice, default in choices if choice != default)])


def build_model(args: ModelArguments, regularisation: RegularisationArguments, vocab_size: int) -> PreTrainedModel:
    """A new model with random weights.

    Raises:
        ValueError: as `build_config` does.
    """
    return ARCHITECTURES[args.architecture](build_config(args, regularisation, vocab_size))


def build_config(
    args: ModelArguments, regularisation: RegularisationArguments, vocab_size: int
) -> PretrainedConfig:
    """What flags say of a new model.

    Raises:
        ValueError: for an unknown architecture; sizes that do not fit raise from the configuration.
    """
    if args.architecture not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {args.architecture!r}; known: {', '.join(ARCHITECTURES)}")
    model_class = ARCHITECTURES[args.architecture]
    known = {field.name for field in fields(model_class.config_class)}
    return model_class.config_class(
        vocab_size=vocab_size,
        max_position_embeddings=args.block_size,
        embedding_dropout=regularisation.dropout,
        hidden_dropout=regularisation.dropout,
        attention_dropout=regularisation.attention_dropout,
        **{name: value for name, value in asdict(args).items() if name in known},
    )
