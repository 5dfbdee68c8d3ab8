"""The language-model head that both families share, and their loss."""

import torch
from torch import nn
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .positions import labelled_places


class CausalLMHead:
    """What both `*ForCausalLM` classes share: the head, the loss and their forward pass."""

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    def _assisted_decoding(self, *args, generation_config=None, **kwargs):
        # the library would take apart weights over tokens that landmarks do not have, and fail without a reason
        if self.config.attention == "linformer" and getattr(generation_config, "output_attentions", False):
            raise ValueError("linformer has no attention weights over tokens: leave out output_attentions")
        return super()._assisted_decoding(*args, generation_config=generation_config, **kwargs)

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
        loss_only: bool = False,
        **kwargs: Unpack[TransformersKwargs],
    ) -> CausalLMOutputWithPast:
        """Logits `(B, T, V)`, and with `labels` `(B, T)` (-100 where there is nothing to learn) the loss.

        `num_items_in_batch` in `kwargs` divides the summed loss by the labels of all accumulated batches, so
        that accumulation does not change the gradient although labels are sparse.

        `loss_only`, for training, returns that loss and no logits: then neither the head nor the feed-forward of
        the last block works where there is no label. (A traced graph, which cannot look at labels, works
        everywhere.)

        Raises:
            ValueError: for `loss_only` without labels.
        """
        if loss_only:
            return CausalLMOutputWithPast(
                loss=self._loss(
                    labels,
                    input_ids=input_ids,
                    attention_mask=attention_mask,
                    position_ids=position_ids,
                    past_key_values=past_key_values,
                    inputs_embeds=inputs_embeds,
                    use_cache=use_cache,
                    **kwargs,
                )
            )
        if getattr(self.config, "latent_layout", None) == "last" and isinstance(logits_to_keep, int):
            kwargs["latents_to_keep"] = logits_to_keep
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
        kwargs.pop("latents_to_keep", None)
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

    def _loss(self, labels, num_items_in_batch=None, shift_labels=None, **kwargs):
        """The loss alone, of the positions that have something to predict."""
        if labels is None:
            raise ValueError("loss_only takes labels")
        targets = nn.functional.pad(labels, (0, 1), value=-100)[:, 1:] if shift_labels is None else shift_labels
        places = None
        if not torch.compiler.is_compiling():
            # oneDNN compiles its bfloat16 products anew for each number of rows, which takes longer than they do
            narrow = targets.device.type == "cpu" and torch.is_autocast_enabled("cpu")
            places = labelled_places(targets, multiple=128 if narrow else 1)
            targets = targets.flatten()[places]
        logits = self.lm_head(self.model(places=places, **kwargs).last_hidden_state)
        return self.loss_function(
            logits=logits,
            labels=labels,
            shift_labels=targets.contiguous(),
            vocab_size=self.config.vocab_size,
            num_items_in_batch=num_items_in_batch,
        )
