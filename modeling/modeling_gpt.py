"""Vanilla and Perceiver GPT as transformers models.

One skeleton: embedded characters plus learned positions, pre-norm blocks, a final norm, an untied head. The
Perceiver differs in what its first and last block read (see `bottleneck.py`), nothing else.

Shapes: B batch, T tokens, D hidden, V vocabulary.
"""

import torch
from torch import nn
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_causal_mask, packed_sequence_mask_function
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .attention_softmax import SoftmaxAttention
from .blocks import GPTBlock, GPTEmbeddings, PerceiverDownBlock, PerceiverUpBlock
from .bottleneck import (
    LATENT,
    Columns,
    LatentCacheLayer,
    as_attention_mask,
    column_mask,
    down_mask,
    latent_layout,
    token_layout,
)
from .configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from .positions import check_positions, example_indices, resolve_position_ids


class GPTPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving, shared by both families."""

    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["GPTBlock", "PerceiverDownBlock", "PerceiverUpBlock"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_sdpa = True
    _can_record_outputs = {"hidden_states": GPTBlock, "attentions": SoftmaxAttention}

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        # The marks stand on the linear layers themselves: of modules that it does not know, the library
        # initialises only those that hold parameters directly, and would never show us their parents.
        if getattr(module, "adds_to_residual_stream", False):
            residual_std = self.config.initializer_range / (2 * self.config.num_hidden_layers) ** 0.5
            init.normal_(module.weight, std=residual_std)
        elif isinstance(module, PerceiverDownBlock):
            init.normal_(module.latents, std=self.config.initializer_range)

    def save_pretrained(self, *args, **kwargs):
        """As everywhere, and the folder also says which class is its `AutoModel`.

        The library notes only the saved class; other tools (vLLM, feature extraction) look for `AutoModel`.
        """
        self.config.auto_map = {
            **(getattr(self.config, "auto_map", None) or {}),
            "AutoModel": f"modeling_gpt.{type(self).__name__.replace('ForCausalLM', 'Model')}",
        }
        return super().save_pretrained(*args, **kwargs)


class VanillaGPTPreTrainedModel(GPTPreTrainedModel):
    config_class = VanillaGPTConfig
    config: VanillaGPTConfig
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True


class PerceiverGPTPreTrainedModel(GPTPreTrainedModel):
    """Latents need masks that flash attention cannot express, and a cache that grows unevenly."""

    config_class = PerceiverGPTConfig
    config: PerceiverGPTConfig


class VanillaGPTModel(VanillaGPTPreTrainedModel):
    """The stack without a head. Position t reads positions 0..t of its example, in every block."""

    def __init__(self, config: VanillaGPTConfig):
        super().__init__(config)
        self.embeddings = GPTEmbeddings(config)
        self.layers = nn.ModuleList(GPTBlock(config, i) for i in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self):
        return self.embeddings.tokens

    def set_input_embeddings(self, value):
        self.embeddings.tokens = value

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
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Args are those of every causal model of transformers.

        `position_ids` `(B, T)` that restart pack several examples into a row; they never read each other,
        with or without a cache or a mask.

        Raises:
            ValueError: for a position beyond the block.
        """
        inputs_embeds = _embed(self, input_ids, inputs_embeds)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        past_length = 0 if past_key_values is None else past_key_values.get_seq_length()
        given_position_ids = position_ids
        position_ids = resolve_position_ids(position_ids, attention_mask, past_length, inputs_embeds)
        check_positions(position_ids, self.config.max_position_embeddings, self.training)
        mask = self._causal_mask(inputs_embeds, attention_mask, given_position_ids, past_key_values)
        hidden_states = self.embeddings(inputs_embeds, position_ids)
        for layer in self.layers:
            hidden_states = layer(
                hidden_states,
                attention_mask=mask,
                past_key_values=past_key_values,
                position_ids=position_ids,
                **kwargs,
            )
        return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden_states), past_key_values=past_key_values)

    def _causal_mask(self, inputs_embeds, attention_mask, position_ids, past_key_values):
        """The library's causal mask, made to see packed examples in every case.

        By itself it looks for them only without a cache and without a mask; both come by default, and then
        examples silently read each other.
        """
        empty_cache = past_key_values is not None and (
            not past_key_values.is_compileable and past_key_values.get_seq_length() == 0
        )
        if empty_cache:
            past_key_values = None
        same_example = None
        if position_ids is not None and attention_mask is not None and past_key_values is None:
            if "flash" in self.config._attn_implementation:
                self._refuse_packed_with_mask(attention_mask, position_ids)
            elif attention_mask.dim() == 2:
                rows = position_ids.expand(inputs_embeds.shape[0], -1)
                same_example = packed_sequence_mask_function(example_indices(rows, attention_mask.bool()))
        return create_causal_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
            and_mask_function=same_example,
        )

    def _refuse_packed_with_mask(self, attention_mask, position_ids):
        """Flash attention drops mask functions without a word, so say it here."""
        steps_on = torch.diff(position_ids, dim=-1) == 1
        both_tokens = attention_mask[:, 1:].bool() & attention_mask[:, :-1].bool()
        if bool((both_tokens & ~steps_on).any()):
            raise ValueError(
                "packed rows with an attention_mask need attn_implementation 'sdpa', 'eager' or "
                "'flex_attention'; with flash attention pass one packed row and no attention_mask"
            )


class PerceiverGPTModel(PerceiverGPTPreTrainedModel):
    """The stack with a bottleneck, without a head. `bottleneck.py` says which position reads what."""

    def __init__(self, config: PerceiverGPTConfig):
        super().__init__(config)
        last = config.num_hidden_layers - 1
        self.embeddings = GPTEmbeddings(config)
        self.down_block = PerceiverDownBlock(config, 0)
        self.layers = nn.ModuleList(GPTBlock(config, i) for i in range(1, last))
        self.up_block = PerceiverUpBlock(config, last)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self):
        return self.embeddings.tokens

    def set_input_embeddings(self, value):
        self.embeddings.tokens = value

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
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Args are those of every causal model of transformers; masks must be two-dimensional.

        Raises:
            ValueError: for a position beyond the block, a mask that is not `(B, tokens)`, or a cache that
                cannot hold latents.
        """
        if attention_mask is not None and attention_mask.dim() != 2:
            raise ValueError(
                "PerceiverGPT reads attention masks of shape (batch, tokens) only: its own masks are "
                "(latents x tokens). For packed rows pass position_ids that restart."
            )
        inputs_embeds = _embed(self, input_ids, inputs_embeds)
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if past_key_values is not None:
            self._prepare_cache(past_key_values)
        past_length = 0 if past_key_values is None else past_key_values.get_seq_length()
        batch_size, length = inputs_embeds.shape[:2]
        tokens = token_layout(batch_size, length, past_length, attention_mask, position_ids, inputs_embeds.device)
        position_ids = resolve_position_ids(position_ids, attention_mask, past_length, inputs_embeds)
        check_positions(position_ids, self.config.max_position_embeddings, self.training)
        inputs = self.embeddings(inputs_embeds, position_ids)
        latents = latent_layout(tokens, self.config)

        def prepared(visible):
            return as_attention_mask(visible, self.config._attn_implementation, inputs.dtype)

        columns = Columns(latents.index, latents.example, torch.full_like(latents.index, LATENT))
        cached = [layer.extend(columns, length) for layer in self._latent_caches(past_key_values)[:-1]]
        hidden_states = self.down_block(
            inputs,
            latents.number,
            attention_mask=prepared(down_mask(tokens, latents, attention_mask)),
            past_key_values=past_key_values,
            **kwargs,
        )
        if self.layers and hidden_states.shape[1]:
            seen = cached[0] if cached else columns
            mask = prepared(column_mask(latents.index, latents.example, None, seen))
            for layer in self.layers:
                hidden_states = layer(
                    hidden_states, attention_mask=mask, past_key_values=past_key_values, **kwargs
                )
        stretch = tokens.rank // self.config.tokens_per_latent
        if self.up_block.reads_inputs:
            raw_index = torch.where(tokens.valid, tokens.index, torch.iinfo(torch.int64).max)
            columns = columns.followed_by(Columns(raw_index, tokens.example, stretch))
        for layer in self._latent_caches(past_key_values)[-1:]:
            columns = layer.extend(columns, length)
        hidden_states = self.up_block(
            inputs,
            hidden_states,
            attention_mask=prepared(column_mask(tokens.index, tokens.example, stretch, columns)),
            past_key_values=past_key_values,
            **kwargs,
        )
        return BaseModelOutputWithPast(last_hidden_state=self.norm(hidden_states), past_key_values=past_key_values)

    def _prepare_cache(self, past_key_values):
        """Give an empty default cache the layers that latents need; refuse one that cannot have them."""
        if past_key_values.is_compileable:
            raise ValueError(
                "PerceiverGPT decodes with a dynamic cache only (a latent is due every few tokens): leave "
                "out cache_implementation, or pass DynamicCache(config=model.config)"
            )
        if not past_key_values.layers:
            past_key_values.layers = DynamicCache(config=self.config).layers
            past_key_values.layer_class_to_replicate = None
        if not all(isinstance(layer, LatentCacheLayer) for layer in past_key_values.layers[1:]):
            raise ValueError(
                "this cache was made for another architecture; pass DynamicCache(config=model.config)"
            )

    def _latent_caches(self, past_key_values) -> list[LatentCacheLayer]:
        return [] if past_key_values is None else past_key_values.layers[1:]


def _embed(model, input_ids, inputs_embeds):
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("pass exactly one of input_ids and inputs_embeds")
    return model.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds


class _CausalLMHead:
    """What both `*ForCausalLM` classes share: the head, the loss and their forward pass."""

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values=None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Logits `(B, T, V)`, and with `labels` `(B, T)` (-100 where there is nothing to learn) the loss.

        `num_items_in_batch` in `kwargs` divides the summed loss by the labels of all accumulated batches, so
        that accumulation does not change the gradient although labels are sparse.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(outputs.last_hidden_state, logits_to_keep))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class VanillaGPTForCausalLM(_CausalLMHead, VanillaGPTPreTrainedModel, GenerationMixin):
    """Vanilla GPT with a language-model head."""

    _tied_weights_keys = {"lm_head.weight": "model.embeddings.tokens.weight"}

    def __init__(self, config: VanillaGPTConfig):
        super().__init__(config)
        self.model = VanillaGPTModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()


class PerceiverGPTForCausalLM(_CausalLMHead, PerceiverGPTPreTrainedModel, GenerationMixin):
    """Perceiver GPT with a language-model head."""

    _tied_weights_keys = {"lm_head.weight": "model.embeddings.tokens.weight"}

    def __init__(self, config: PerceiverGPTConfig):
        super().__init__(config)
        self.model = PerceiverGPTModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()
