"""Vanilla and Perceiver GPT as transformers models.

One skeleton: embedded characters, pre-norm blocks, a final norm, an untied head. How a block mixes tokens is the
configuration's choice (see `attention.py`). The Perceiver differs in what its first and last block read (see
`bottleneck.py`), nothing else.

Shapes: B batch, T tokens, D hidden, V vocabulary.
"""

import torch
from torch import nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .attention import TOKEN_MIXERS
from .blocks import GPTBlock, GPTEmbeddings, PerceiverDownBlock, PerceiverUpBlock
from .bottleneck import (
    NEVER,
    Columns,
    column_mask,
    down_mask,
    fold_stretches,
    last_latents,
    latent_layout,
    one_stretch,
)
from .configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from .head import CausalLMHead
from .loading import check_same_architecture, check_whole_stack
from .mixing import causal_mask, lay_out_tokens, mix_latents, mix_tokens, prepare_cache
from .positions import at_places, check_positions, resolve_position_ids, rotary_angles
from .token_mixer import TokenMixer, as_mask


class GPTPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving, shared by both families."""

    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["GPTBlock", "PerceiverDownBlock", "PerceiverUpBlock"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _can_record_outputs = {"hidden_states": GPTBlock, "attentions": TokenMixer}

    def get_input_embeddings(self):
        return self.base_model.embeddings.tokens

    def set_input_embeddings(self, value):
        self.base_model.embeddings.tokens = value

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        # The marks stand on the linear layers themselves: of modules that it does not know, the library
        # initialises only those that hold parameters directly, and would never show us their parents.
        if getattr(module, "adds_to_residual_stream", False):
            residual_std = self.config.initializer_range / (2 * self.config.num_hidden_layers) ** 0.5
            init.normal_(module.weight, std=residual_std)
        elif isinstance(module, PerceiverDownBlock) and module.latents is not None:
            init.normal_(module.latents, std=self.config.initializer_range)
        elif isinstance(module, TokenMixer):
            module.init_own_weights()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, output_loading_info=False, **kwargs):
        """As everywhere, but weights of another variant are refused instead of half loaded.

        Raises:
            ValueError: if the checkpoint is of another family, attention, kind of position or latent layout, or
                has fewer or other weights than the stack (the head may be missing: it is then new, as everywhere).
        """
        name = pretrained_model_name_or_path
        check_same_architecture(cls.config_class, name, model_args, kwargs)
        model, info = super().from_pretrained(name, *model_args, output_loading_info=True, **kwargs)
        if kwargs.get("state_dict") is None and not output_loading_info:  # who asks for the report judges it
            check_whole_stack(name, model.base_model, info["missing_keys"], info["unexpected_keys"])
        return (model, info) if output_loading_info else model

    def save_pretrained(self, *args, **kwargs):
        """As everywhere, and the folder also says which class is its `AutoModel`.

        The library notes only the saved class; other tools (vLLM, feature extraction) look for `AutoModel`.
        """
        self.config.auto_map = {
            **(getattr(self.config, "auto_map", None) or {}),
            "AutoModel": f"modeling_gpt.{type(self.base_model).__name__}",
        }
        return super().save_pretrained(*args, **kwargs)


class VanillaGPTPreTrainedModel(GPTPreTrainedModel):
    config_class = VanillaGPTConfig
    config: VanillaGPTConfig
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    def __init__(self, config: VanillaGPTConfig, *args, **kwargs):
        offered = TOKEN_MIXERS[config.attention].implementations
        if offered is not None:
            self._supports_flash_attn = False
            self._supports_attention_backend = False
            self._supports_flex_attn = "flex_attention" in offered
        super().__init__(config, *args, **kwargs)


class PerceiverGPTPreTrainedModel(GPTPreTrainedModel):
    """Latents need masks that flash attention cannot express, and a cache that grows unevenly."""

    config_class = PerceiverGPTConfig
    config: PerceiverGPTConfig


class VanillaGPTModel(VanillaGPTPreTrainedModel):
    """The stack without a head. Position t reads positions 0..t of its example, in every block."""

    def __init__(self, config: VanillaGPTConfig):
        super().__init__(config)
        self.embeddings = GPTEmbeddings(config)
        self.layers = nn.ModuleList(GPTBlock(config, i, config.attention) for i in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values=None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        places: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPast:
        """Args are those of every causal model of transformers, and `places` of `labelled_places`.

        With these the last hidden states are `(places, D)`, and the last block does nothing for the others that
        no token reads.

        `position_ids` `(B, T)` that restart pack several examples into a row; they never read each other, with
        or without a mask. They are told apart within one pass: a cache goes on with one example a row.

        Raises:
            ValueError: for a position beyond the block; with any attention but softmax also for a mask that is
                not `(B, tokens)`, or a cache of fixed size.
        """
        inputs_embeds = _embed(self, input_ids, inputs_embeds)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if past_key_values is not None and TOKEN_MIXERS[self.config.attention].uses_places:
            prepare_cache(self.config, past_key_values)
        past_length = 0 if past_key_values is None else past_key_values.get_seq_length()
        given_position_ids = position_ids
        position_ids = resolve_position_ids(position_ids, attention_mask, past_length, inputs_embeds)
        check_positions(position_ids, self.config.max_position_embeddings, self.training)
        mixing = mix_tokens(self.config, inputs_embeds, attention_mask, given_position_ids, past_key_values)
        if self.config.position == "rotary":
            mixing["rotary"] = _rotary(self.config, position_ids, inputs_embeds)
        hidden_states = self.embeddings(inputs_embeds, position_ids)
        for layer in self.layers:
            if layer is self.layers[-1]:
                mixing["places"] = places
            hidden_states = layer(
                hidden_states, past_key_values=past_key_values, position_ids=position_ids, **mixing, **kwargs
            )
        return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden_states), past_key_values=past_key_values)


class PerceiverGPTModel(PerceiverGPTPreTrainedModel):
    """The stack with a bottleneck, without a head. `bottleneck.py` says which position reads what."""

    def __init__(self, config: PerceiverGPTConfig):
        super().__init__(config)
        last = config.num_hidden_layers - 1
        inner = range(1, last if config.has_up_block else last + 1)
        self.embeddings = GPTEmbeddings(config)
        self.down_block = PerceiverDownBlock(config, 0)
        self.layers = nn.ModuleList(GPTBlock(config, i, config.attention) for i in inner)
        self.up_block = PerceiverUpBlock(config, last) if config.has_up_block else None
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values=None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        latents_to_keep: int = 0,
        places: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPast:
        """Args are those of every causal model of transformers, masks two-dimensional; `places` as in vanilla
        models.

        With `latent_layout="last"`, `latents_to_keep` says of how many last tokens the hidden states are wanted,
        0 for all: those before are only read, and the returned hidden states `(B, kept, D)` may begin later
        than the tokens do.

        Raises:
            ValueError: for a position beyond the block, a mask that is not `(B, tokens)`, or a cache that
                cannot hold latents.
        """
        config = self.config
        inputs_embeds = _embed(self, input_ids, inputs_embeds)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=config)
        if past_key_values is not None:
            prepare_cache(config, past_key_values)
        past_length = 0 if past_key_values is None else past_key_values.get_seq_length()
        batch_size, length = inputs_embeds.shape[:2]
        tokens, attention_mask, _ = lay_out_tokens(
            config, inputs_embeds, attention_mask, position_ids, past_length
        )
        position_ids = resolve_position_ids(position_ids, attention_mask, past_length, inputs_embeds)
        check_positions(position_ids, config.max_position_embeddings, self.training)
        inputs = self.embeddings(inputs_embeds, position_ids)
        latents = (
            latent_layout(tokens, config) if config.has_up_block else last_latents(tokens, config, latents_to_keep)
        )
        angles = latent_angles = None
        if config.position == "rotary":
            angles = _rotary(config, position_ids, inputs)
            latent_angles = _rotary(config, position_ids.expand(batch_size, -1).gather(1, latents.slot), inputs)
        kwargs["past_key_values"] = past_key_values
        caches = [] if past_key_values is None else past_key_values.layers[1:]
        hidden_states = self.down_block(
            inputs,
            latents.number,
            latents.slot,
            attention_mask=self._mask(down_mask(tokens, latents, attention_mask), inputs),
            rotary=latent_angles,
            key_rotary=angles,
            **kwargs,
        )
        # folded stretches are rows of another batch, which nobody asked to see
        shown = any(
            kwargs.get(f"output_{kind}", getattr(config, f"output_{kind}", False))
            for kind in self._can_record_outputs
        )
        if self.up_block is None and tokens.regular and past_key_values is None and not shown:
            hidden_states = self._stretch_by_stretch(hidden_states, latent_angles, **kwargs)
            if places is not None:
                hidden_states = at_places(hidden_states, places)
            return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden_states))
        seen = latents.columns
        if TOKEN_MIXERS[config.attention].lay_out is None:
            # every layer announces the same columns; the last answer serves all
            for layer in caches[: len(self.layers)]:
                seen = layer.extend(latents.columns, length)
        if self.layers and hidden_states.shape[1]:
            mixing = mix_latents(config, latents, seen, inputs.dtype)
            for layer in self.layers:
                hidden_states = layer(hidden_states, rotary=latent_angles, **mixing, **kwargs)
        if self.up_block is not None:
            hidden_states = self._read_back(
                inputs, hidden_states, tokens, latents, caches, (angles, latent_angles), places=places, **kwargs
            )
        elif places is not None:
            hidden_states = at_places(hidden_states, places)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden_states), past_key_values=past_key_values)

    def _stretch_by_stretch(self, hidden_states, rotary, **kwargs) -> torch.Tensor:
        """The latent stack where the latents are the last positions and all rows stand alike, `(B, T, D)`.

        As rows of a batch, stretches cost nothing for what they do not read of each other.
        """
        batch_size, length = hidden_states.shape[:2]
        size = min(self.config.num_latents, length)
        hidden_states = fold_stretches(hidden_states, size)
        latents = one_stretch(size, len(hidden_states), hidden_states.device)
        if rotary is not None:
            rotary = tuple(
                fold_stretches(angles.expand(batch_size, -1, -1, -1).squeeze(1), size).unsqueeze(1)
                for angles in rotary
            )
        mixing = mix_latents(self.config, latents, latents.columns, hidden_states.dtype)
        for layer in self.layers:
            hidden_states = layer(hidden_states, rotary=rotary, **mixing, **kwargs)
        return hidden_states.unflatten(0, (batch_size, -1)).flatten(1, 2)[:, :length]

    def _read_back(self, inputs, hidden_states, tokens, latents, caches, rotary, **kwargs) -> torch.Tensor:
        """From the latents back to every position, `(B, T, D)`."""
        angles, source_angles = rotary
        columns = latents.columns
        stretch = tokens.rank // self.config.tokens_per_latent
        if self.up_block.reads_inputs:
            raw_index = torch.where(tokens.valid, tokens.index, NEVER)
            columns = columns.followed_by(Columns(raw_index, tokens.example, stretch, torch.zeros_like(stretch)))
            if angles is not None:
                pairs = zip(source_angles, angles, strict=True)
                rows = inputs.shape[0]
                source_angles = tuple(torch.cat([a, b.expand(rows, -1, -1, -1)], dim=2) for a, b in pairs)
        for layer in caches[-1:]:
            columns = layer.extend(columns, inputs.shape[1])
        return self.up_block(
            inputs,
            hidden_states,
            latents.slot,
            attention_mask=self._mask(column_mask(tokens.index, tokens.example, stretch, columns), inputs),
            rotary=angles,
            key_rotary=source_angles,
            **kwargs,
        )

    def _mask(self, visible: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        return as_mask(visible, self.config, inputs.dtype)


def _rotary(config, position_ids, hidden_states):
    return rotary_angles(position_ids, config.head_dim, config.rope_theta, hidden_states.dtype)


def _embed(model, input_ids, inputs_embeds):
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("pass exactly one of input_ids and inputs_embeds")
    return model.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds


class VanillaGPTForCausalLM(CausalLMHead, VanillaGPTPreTrainedModel, GenerationMixin):
    """Vanilla GPT with a language-model head."""

    _tp_plan = {"lm_head": "colwise_gather_output"}
    _tied_weights_keys = {"lm_head.weight": "model.embeddings.tokens.weight"}

    def __init__(self, config: VanillaGPTConfig):
        super().__init__(config)
        self.model = VanillaGPTModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @staticmethod
    def create_masks_for_generate(
        config, inputs_embeds, attention_mask=None, past_key_values=None, position_ids=None, **kwargs
    ):
        """The mask that `generate` prepares for a cache of fixed size: one, as all such layers are of one kind."""
        return causal_mask(config, inputs_embeds, attention_mask, position_ids, past_key_values)


class PerceiverGPTForCausalLM(CausalLMHead, PerceiverGPTPreTrainedModel, GenerationMixin):
    """Perceiver GPT with a language-model head."""

    _tp_plan = {"lm_head": "colwise_gather_output"}
    _tied_weights_keys = {"lm_head.weight": "model.embeddings.tokens.weight"}

    def __init__(self, config: PerceiverGPTConfig):
        super().__init__(config)
        self.model = PerceiverGPTModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
