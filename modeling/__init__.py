"""Architectures and tokenizer, made known to transformers' Auto classes.

Importing this package registers the classes, so that `AutoModelForCausalLM.from_pretrained(folder)` needs
no remote code; and marks them so that `save_pretrained` puts their code into the folder, for readers who do
not have the package.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from .configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from .modeling_gpt import (
    PerceiverGPTForCausalLM,
    PerceiverGPTModel,
    VanillaGPTForCausalLM,
    VanillaGPTModel,
)
from .tokenization_char import CharTokenizer

__all__ = [
    "CharTokenizer",
    "PerceiverGPTConfig",
    "PerceiverGPTForCausalLM",
    "PerceiverGPTModel",
    "VanillaGPTConfig",
    "VanillaGPTForCausalLM",
    "VanillaGPTModel",
]

for _config, _model, _causal in (
    (VanillaGPTConfig, VanillaGPTModel, VanillaGPTForCausalLM),
    (PerceiverGPTConfig, PerceiverGPTModel, PerceiverGPTForCausalLM),
):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)
    AutoModel.register(_config, _model, exist_ok=True)
    AutoModelForCausalLM.register(_config, _causal, exist_ok=True)
    AutoTokenizer.register(_config, tokenizer_class=CharTokenizer, exist_ok=True)
    _config.register_for_auto_class()
    _model.register_for_auto_class("AutoModel")
    _causal.register_for_auto_class("AutoModelForCausalLM")
CharTokenizer.register_for_auto_class("AutoTokenizer")
