"""Configurations of the two GPT families.

Axes of one skeleton rather than a class for each idea: the size, and for the Perceiver family the number of
latents and where they stand. Every field is checked when a configuration is made or saved, before any
tensor exists.
"""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

LATENT_LAYOUTS = ("spread", "prefix")


@strict
class VanillaGPTConfig(PreTrainedConfig):
    """A decoder-only transformer: pre-norm blocks, learned positions, biases, an untied head.

    The defaults are the reference configuration of closed-book question answering on characters (3,323,392
    parameters): the size at which the published runs of that task were made.

    Args:
        vocab_size: number of characters, the two special ones included.
        hidden_size: width of the residual stream; a multiple of `num_attention_heads`.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads a block.
        intermediate_size: width of the feed-forward layer; `None` means `4 * hidden_size`.
        max_position_embeddings: longest example, prompt and answer together, in tokens (the "block").
        hidden_act: feed-forward non-linearity.
        embedding_dropout, hidden_dropout, attention_dropout: rates for the embedded input, for what each
            sub-layer adds to the residual stream, and for the attention weights.
        initializer_range: standard deviation of the initial weights; projections back into the residual
            stream get `initializer_range / sqrt(2 * num_hidden_layers)`, so that its variance does not grow
            with depth (Radford et al. 2019, section 2.3).
        layer_norm_eps: the usual constant under the root.
        use_cache: whether generation keeps keys and values.
        pad_token_id, eos_token_id: 0 and 1, as `build_char_tokenizer` lays them out. An answer ends with the
            mask character, so it is the end-of-sequence token.
        tie_word_embeddings: off in the reference configuration.

    Raises:
        huggingface_hub.errors.StrictDataclassError: for a value of a wrong type, a size below one, a rate
            outside [0, 1), or heads that do not divide the width.
    """

    model_type = "vanilla_gpt"
    keys_to_ignore_at_inference = ["past_key_values"]

    vocab_size: int = 256
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    intermediate_size: int | None = None
    max_position_embeddings: int = 128
    hidden_act: str = "gelu"
    embedding_dropout: float | int = 0.1
    hidden_dropout: float | int = 0.1
    attention_dropout: float | int = 0.1
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    use_cache: bool = True
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 1
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs):
        if self.intermediate_size is None:
            self.intermediate_size = 4 * self.hidden_size
        super().__post_init__(**kwargs)

    @property
    def head_dim(self) -> int:
        return self.hidden_size // max(1, self.num_attention_heads)  # the library reads it before validation

    def validate_sizes(self):
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size ({self.hidden_size}) must be a multiple of num_attention_heads "
                f"({self.num_attention_heads}): every head gets an equal share of the width"
            )

    def validate_rates(self):
        for name in ("embedding_dropout", "hidden_dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")


@strict
class PerceiverGPTConfig(VanillaGPTConfig):
    """A GPT whose inner blocks run on a few latents instead of on every position.

    The first block reads the sequence into latents, the last one reads the latents back into every position,
    and the `num_hidden_layers - 2` blocks between them work on the latents alone. `bottleneck.py` states
    which position reads what.

    Args:
        num_latents: latents for a block of `max_position_embeddings` tokens; at most as many.
        latent_layout: `"spread"` (default) places the latents at equal distances over the whole block;
            `"prefix"` is the published layout of the reference task, in which latent j reads the positions
            0..j and nothing after the first `num_latents` characters ever enters the bottleneck.

    The other fields are those of `VanillaGPTConfig`.
    """

    model_type = "perceiver_gpt"

    num_latents: int = 64
    latent_layout: str = "spread"

    def validate_latents(self):
        if self.latent_layout not in LATENT_LAYOUTS:
            raise ValueError(
                f"latent_layout must be one of {', '.join(LATENT_LAYOUTS)}, got {self.latent_layout!r}"
            )
        if not 1 <= self.num_latents <= self.max_position_embeddings:
            raise ValueError(
                f"num_latents must be between 1 and max_position_embeddings "
                f"({self.max_position_embeddings}), got {self.num_latents}"
            )
        if self.num_hidden_layers < 2:
            raise ValueError(
                "a Perceiver needs num_hidden_layers of at least 2 (one block into the latents, one out of "
                f"them), got {self.num_hidden_layers}"
            )

    @property
    def tokens_per_latent(self) -> int:
        """Distance between two latents, in tokens."""
        if self.latent_layout == "prefix":
            return 1
        return -(-self.max_position_embeddings // self.num_latents)

    @property
    def layer_types(self) -> list[str]:
        """Kind of cache for each layer: every token for the first, latents for the others."""
        return ["full_attention"] + ["perceiver_latents"] * (self.num_hidden_layers - 1)

    def validate_layer_type(self):
        """The library's list of layer types is closed; ours is derived, hence right by construction."""
