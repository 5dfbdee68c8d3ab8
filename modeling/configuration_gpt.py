"""Configurations of the two GPT families.

Axes of one skeleton rather than a class for each idea: the size, how tokens are mixed (`attention`), how they
know their place (`position`), and for the Perceiver family the number of latents and where they stand. Every
field is checked when a configuration is made or saved, before any tensor exists.
"""

import hashlib
import math
import re
from dataclasses import dataclass

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2CLS

from .loading import sort_out_unknown_fields

# Each kind of attention with the kind of cache that it decodes with; "full_attention" grows with every token.
ATTENTIONS = {
    "softmax": "full_attention",
    "synthesizer_dense": "full_attention",
    "synthesizer_random": "full_attention",
    "linformer": "linformer_landmarks",
    "bigbird": "full_attention",
}
POSITIONS = ("learned", "rotary")
LATENT_LAYOUTS = ("spread", "prefix", "last")

# What the blocks into and out of the latents compute with `latent_layout="prefix"`. x: embedded inputs;
# C: latents, learned; y: what the inner blocks gave; attn(queries, keys and values); ln: the norm before
# attention; h: attn with its residual. The assignment that published the layout left this open.
WIRINGS = {
    "residual": "C+attn(ln(C),x),h+mlp; x+attn(x,ln(y)),h+mlp",
    "plain": "attn(ln(C),ln(x)),h+mlp; attn(x,ln(y)),h+mlp",
    "input_residual": "x+attn(ln(C),ln(x)),h+mlp; attn(x,ln(y)),h+mlp",
    "cross_attn": "x+attn(ln(C),ln(x)),mlp; y+attn(ln(x),ln(y)),mlp",
}
_DOWN = r"(?:([Cx])\+)?attn\((ln\(C\)|C),(ln\(x\)|x)\),(h\+)?mlp"
_UP = r"(?:([xy])\+)?attn\((ln\(x\)|x),(ln\(y\)|y)\),(h\+)?mlp"


@dataclass(frozen=True)
class BlockWiring:
    """How one block between positions and latents is put together.

    Attributes:
        residual: what is added to the attention, "C", "x" or "y"; None for nothing.
        norm_queries, norm_keys: whether the norm before attention is applied to what asks, and to what is read.
        mlp_residual: whether the feed-forward layer's input is added to its output.
    """

    residual: str | None
    norm_queries: bool
    norm_keys: bool
    mlp_residual: bool


def read_wiring(wiring: str) -> tuple[BlockWiring, BlockWiring]:
    """The blocks into and out of the latents, from a name of `WIRINGS` or a formula written as these are.

    Raises:
        ValueError: for any other text.
    """
    found = re.fullmatch(f"{_DOWN};{_UP}", re.sub(r"\s", "", WIRINGS.get(wiring, wiring)))
    if not found:
        raise ValueError(
            f"wiring must be one of {', '.join(WIRINGS)}, or a formula such as {WIRINGS['residual']!r}, "
            f"got {wiring!r}"
        )
    parts = found.groups()
    return _block_wiring(*parts[:4]), _block_wiring(*parts[4:])


def _block_wiring(residual: str | None, queries: str, keys: str, mlp: str | None) -> BlockWiring:
    return BlockWiring(residual, queries.startswith("ln"), keys.startswith("ln"), mlp is not None)


def choose_random_blocks(num_blocks: int, num_random: int, first: int, window: int, seed: int) -> list[list[int]]:
    """For each block, past blocks outside of its window and of the global ones, drawn without replacement.

    A block with fewer candidates than `num_random` takes all of them. Drawn by hashing (seed, block,
    candidate), which no version of a random number generator can change.

    Args:
        first: number of global blocks; these are read anyway.
        window: blocks of the sliding window, the own one included; these are read anyway.
    """

    def draw(block: int, candidate: int) -> bytes:
        return hashlib.sha256(f"{seed} {block} {candidate}".encode()).digest()

    chosen = []
    for block in range(num_blocks):
        candidates = range(first, block - window + 1)
        drawn = sorted(candidates, key=lambda candidate, block=block: draw(block, candidate))
        chosen.append(sorted(drawn[:num_random]))
    return chosen


@strict
class VanillaGPTConfig(PreTrainedConfig):
    """A decoder-only transformer: pre-norm blocks, biases, an untied head.

    The defaults are the reference configuration of closed-book question answering on characters (3,323,392
    parameters): the size at which the published runs of that task were made.

    Args:
        vocab_size: number of characters, the two special ones included.
        hidden_size: width of the residual stream; a multiple of `num_attention_heads`.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads a block.
        intermediate_size: width of the feed-forward layer; `None` means `4 * hidden_size`.
        max_position_embeddings: longest example, prompt and answer together, in tokens (the "block").
        attention: how a block mixes tokens. `"softmax"`: scaled dot products. `"synthesizer_dense"`,
            `"synthesizer_random"`: weights from the token alone, or learned outright (Tay et al. 2020).
            `"linformer"`: the past compressed to landmarks (after Wang et al. 2020). `"bigbird"`: a window,
            global and random blocks (Zaheer et al. 2020). Each file `attention_*.py` states its own rule and
            cost.
        position: `"learned"` embeddings, added to the input, or `"rotary"` ones (Su et al. 2021), which turn
            queries and keys; the synthesizers have neither and refuse it.
        rope_theta: base of the rotary wavelengths; 10,000 as in the paper.
        attention_block_size: linformer and bigbird: tokens a block. It must divide the length of the stack
            (the block of the model; for a Perceiver, its latents).
        num_landmarks: linformer: to how many keys and values the whole past is compressed.
        share_landmark_projections: linformer: one projection for all heads of a layer (default, as the paper
            found sufficient) or one for each.
        num_window_blocks: bigbird: the own block and those right before it.
        num_global_blocks: bigbird: first blocks of the example, read by everyone.
        num_random_blocks: bigbird: past blocks that are drawn for each block.
        random_block_seed: bigbird: seed of that draw.
        random_blocks: bigbird: the draw itself, `[block][number]`; made once, when left out, and saved.
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
            outside [0, 1), heads that do not divide the width, an unknown `attention` or `position`, an odd
            head size with rotary positions, or blocks that do not fit the length.
        ValueError: for a name that is nearly one of these fields. Any other unknown field is kept, with a warning.
    """

    model_type = "vanilla_gpt"
    keys_to_ignore_at_inference = ["past_key_values"]

    vocab_size: int = 256
    hidden_size: int = 256
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    intermediate_size: int | None = None
    max_position_embeddings: int = 128
    attention: str = "softmax"
    position: str = "learned"
    rope_theta: float | int = 10_000.0
    attention_block_size: int = 16
    num_landmarks: int = 32
    share_landmark_projections: bool = True
    num_window_blocks: int = 2
    num_global_blocks: int = 1
    num_random_blocks: int = 1
    random_block_seed: int = 0
    random_blocks: list[list[int]] | None = None
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
        sort_out_unknown_fields(self, kwargs, PerceiverGPTConfig)
        if self.attention == "bigbird" and self.random_blocks is None and self.attention_block_size > 0:
            self.random_blocks = choose_random_blocks(
                self.stack_length // self.attention_block_size,
                self.num_random_blocks,
                self.num_global_blocks,
                self.num_window_blocks,
                self.random_block_seed,
            )
        super().__post_init__(**kwargs)

    @property
    def stack_length(self) -> int:
        """Longest sequence that the blocks of the stack mix."""
        return self.max_position_embeddings

    @property
    def base_model_tp_plan(self) -> dict[str, str] | None:
        """How the stack is split over devices by heads; only where nothing is learned across or beside them."""
        return self._tp_plan_of("layers.*")

    def _tp_plan_of(self, *blocks: str) -> dict[str, str] | None:
        if self.attention not in ("softmax", "bigbird"):
            return None
        ways = dict.fromkeys(
            ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj"), "colwise"
        )
        ways |= dict.fromkeys(("self_attn.o_proj", "mlp.down_proj"), "rowwise")
        plan = {f"{block}.{name}": way for block in blocks for name, way in ways.items()}
        return {"embeddings.tokens": "embedding_rowwise"} | plan

    @property
    def layer_types(self) -> list[str]:
        """Kind of cache for each layer."""
        return [ATTENTIONS.get(self.attention, "full_attention")] * self.num_hidden_layers

    def validate_layer_type(self):
        """The library's list of layer types is closed; ours is derived, hence right by construction."""

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

    def validate_mixing(self):
        for name, known in (("attention", ATTENTIONS), ("position", POSITIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.position == "rotary":
            if self.attention.startswith("synthesizer"):
                raise ValueError(
                    f"attention {self.attention!r} has no queries and keys for rotary positions to turn: it "
                    "learns its weights for each position; use position='learned'"
                )
            if self.head_dim % 2:
                raise ValueError(
                    f"rotary positions turn pairs of numbers, so the size of a head must be even, got "
                    f"{self.head_dim} (hidden_size {self.hidden_size} / {self.num_attention_heads} heads)"
                )
            if not 0 < self.rope_theta < math.inf:
                raise ValueError(f"rope_theta must be positive, got {self.rope_theta}")
        if self.attention in ("linformer", "bigbird"):
            self._validate_blocks()

    def _validate_blocks(self):
        size, length = self.attention_block_size, self.stack_length
        if size < 1 or length % size:
            raise ValueError(
                f"attention_block_size ({size}) must divide the {length} positions that the stack mixes, so that "
                "every block is whole"
            )
        if self.attention == "linformer":
            if self.num_landmarks < 1:
                raise ValueError(
                    f"num_landmarks must be at least 1 (the past has no other way in), got {self.num_landmarks}"
                )
            return
        if self.num_window_blocks < 1:
            raise ValueError(f"num_window_blocks must be at least 1 (the own block), got {self.num_window_blocks}")
        for name in ("num_global_blocks", "num_random_blocks"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        num_blocks = length // size
        left = max(0, num_blocks - self.num_global_blocks - self.num_window_blocks)
        if self.num_random_blocks > left:
            raise ValueError(
                f"num_random_blocks is {self.num_random_blocks}, but of the {num_blocks} blocks only {left} are "
                f"neither global ({self.num_global_blocks}) nor in the window ({self.num_window_blocks})"
            )
        if len(self.random_blocks) != num_blocks:
            raise ValueError(
                f"random_blocks holds choices for {len(self.random_blocks)} blocks, there are {num_blocks}; leave "
                "it out to draw them again"
            )
        for block, chosen in enumerate(self.random_blocks):
            if len(chosen) > self.num_random_blocks:
                raise ValueError(
                    f"random_blocks[{block}] names {len(chosen)} blocks, num_random_blocks is "
                    f"{self.num_random_blocks}"
                )
            if any(not 0 <= other <= block for other in chosen):
                raise ValueError(f"random_blocks[{block}] is {chosen}: block {block} may read blocks 0 to {block}")

    def validate_activation(self):
        if self.hidden_act not in ACT2CLS:
            raise ValueError(f"hidden_act must be one of {', '.join(sorted(ACT2CLS))}, got {self.hidden_act!r}")

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
            0..j and nothing after the first `num_latents` characters ever enters the bottleneck; `"last"` is
            that of Perceiver AR (Hawthorne et al. 2022): the latents are the last positions themselves.
        wiring: what the blocks into and out of the latents compute in the published layout, a name or a formula of
            `WIRINGS`; `None` is `"residual"`, and the only one of the other layouts.

    The other fields are those of `VanillaGPTConfig`; `attention` is that of the blocks on the latents, the
    blocks into and out of them always use softmax.
    """

    model_type = "perceiver_gpt"

    num_latents: int = 64
    latent_layout: str = "spread"
    wiring: str | None = None

    def validate_wiring(self):
        if self.wiring is None:
            return
        if self.latent_layout != "prefix":
            raise ValueError(
                f"wiring belongs to latent_layout 'prefix', not to {self.latent_layout!r}: leave it out"
            )
        down, up = read_wiring(self.wiring)
        if (down.residual == "x" or up.residual == "y") and self.num_latents != self.max_position_embeddings:
            raise ValueError(
                f"wiring {self.wiring!r} adds positions to latents, so there must be as many: num_latents is "
                f"{self.num_latents}, max_position_embeddings {self.max_position_embeddings}"
            )

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
        if self.latent_layout != "spread":
            return 1
        return -(-self.max_position_embeddings // self.num_latents)

    @property
    def stack_length(self) -> int:
        return self.num_latents

    @property
    def base_model_tp_plan(self) -> dict[str, str] | None:
        return self._tp_plan_of("layers.*", "down_block", *(["up_block"] if self.has_up_block else []))

    @property
    def has_up_block(self) -> bool:
        """Where the latents are the last positions, they need not be read back into positions."""
        return self.latent_layout != "last"

    @property
    def layer_types(self) -> list[str]:
        """Kind of cache for each layer: every token for the first, what the stack keeps, latents for the last."""
        kind = ATTENTIONS.get(self.attention, "full_attention")  # unknown ones are refused, but later
        if kind == "full_attention":
            kind = "perceiver_latents" if self.has_up_block else "perceiver_last_latents"
        first = "full_attention" if kind == "perceiver_latents" else "perceiver_all_tokens"
        kinds = [first] + [kind] * (self.num_hidden_layers - 1)
        return [*kinds[:-1], "perceiver_latents"] if self.has_up_block else kinds
