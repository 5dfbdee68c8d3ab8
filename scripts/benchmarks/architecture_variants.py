"""The architectures that `architectures.py` measures: by name, a model at the reference size for a length."""

from dataclasses import dataclass, field

import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM

VOCABULARY, WIDTH, LAYERS, HEADS = 256, 256, 4, 8  # the reference size
SHORT = 512  # below it, blocks and bottlenecks have the sizes that fit the reference task's 128 characters
SMALLEST = 64  # the fewest latents, and four of the smallest blocks


@dataclass(frozen=True)
class Variant:
    """One line of the table.

    Attributes:
        model_class: of ours, or the peer's.
        fields: what its configuration says beside the size.
        learns_end_only: whether training asks for the logits of the last `num_latents` positions alone, as
            Perceiver AR does; such a variant decodes like the one without, so that is not measured again.
        same_kernels: whether eager and SDPA run the same lines.
        sparse: whether flex attention skips blocks of it.
    """

    model_class: type[PreTrainedModel] = VanillaGPTForCausalLM
    fields: dict = field(default_factory=dict)
    learns_end_only: bool = False
    same_kernels: bool = False
    sparse: bool = False


def _perceiver(layout: str, **claims) -> Variant:
    return Variant(PerceiverGPTForCausalLM, {"latent_layout": layout}, **claims)


VARIANTS = {
    "vanilla": Variant(),
    # GPT-2 with our non-linearity, so that nothing but the implementation differs, and as it comes
    "gpt2": Variant(GPT2LMHeadModel, {"activation_function": "gelu"}),
    "gpt2-gelu-new": Variant(GPT2LMHeadModel, {"activation_function": "gelu_new"}),
    "vanilla-rotary": Variant(fields={"position": "rotary"}),
    "synthesizer-dense": Variant(fields={"attention": "synthesizer_dense"}),
    "synthesizer-random": Variant(fields={"attention": "synthesizer_random"}, same_kernels=True),
    "linformer": Variant(fields={"attention": "linformer"}),
    "bigbird": Variant(fields={"attention": "bigbird"}, sparse=True),
    "perceiver-spread": _perceiver("spread"),
    "perceiver-prefix": _perceiver("prefix"),
    "perceiver-last": _perceiver("last"),
    "perceiver-last-end-only": _perceiver("last", learns_end_only=True),
}


def check_variants(names: list[str], lengths: list[int]) -> None:
    """Refuse what cannot be measured before anything is.

    Raises:
        ValueError: for an unknown name (the message lists the known ones), or a length that the blocks do
            not fit.
    """
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise ValueError(f"--variants: there is no {', '.join(unknown)}; choose from {', '.join(VARIANTS)}")
    unfit = [length for length in lengths if length < SMALLEST or length % SMALLEST]
    if unfit:
        raise ValueError(f"--lengths must be multiples of {SMALLEST}, so that blocks are whole; got {unfit[0]}")


def config_fields(name: str, length: int) -> dict:
    """What the configuration says beside the size, with the sizes of blocks and bottlenecks at this length."""
    variant = VARIANTS[name]
    chosen = dict(variant.fields)
    short = length < SHORT
    attention = chosen.get("attention")
    if attention in ("linformer", "bigbird"):
        chosen["attention_block_size"] = 16 if short else 64
    if attention == "linformer":
        chosen["num_landmarks"] = 32 if short else 64
    if attention == "bigbird":
        chosen |= {"num_window_blocks": 2, "num_global_blocks": 1, "num_random_blocks": 1 if short else 2}
    if chosen.get("latent_layout") == "last":
        chosen["num_latents"] = 64 if short else 256
    elif "latent_layout" in chosen:
        chosen["num_latents"] = 64 if short else length // 8
    return chosen


def build_model(name: str, length: int) -> PreTrainedModel:
    """Random weights, no dropout, no end token, SDPA."""
    torch.manual_seed(0)
    variant = VARIANTS[name]
    fields = config_fields(name, length)
    if variant.model_class is GPT2LMHeadModel:
        config = GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            n_positions=length,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=None,
            **fields,
        )
    else:
        config_class = VanillaGPTConfig if variant.model_class is VanillaGPTForCausalLM else PerceiverGPTConfig
        config = config_class(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=length,
            embedding_dropout=0.0,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            eos_token_id=None,
            **fields,
        )
    return variant.model_class._from_config(config, attn_implementation="sdpa")


def training_implementations(name: str, device_type: str) -> list[str]:
    """The attention implementations to train with, SDPA first if it is there to be compared.

    On a CPU also eager, whose backward pass is the faster one in short rows. On a GPU SDPA, and flex attention
    where there are blocks to skip.
    """
    variant = VARIANTS[name]
    if device_type == "cuda":
        return ["sdpa", "flex_attention"] if variant.sparse else ["sdpa"]
    return ["sdpa"] if variant.same_kernels else ["sdpa", "eager"]
