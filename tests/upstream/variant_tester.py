"""The table of architectures of `tests/modeling/`, in the form that transformers' common tests ask for."""

import torch
from variants import Variant


class VariantTester:
    """What the common tests call a model tester, for one variant.

    The block is 64 tokens, the length of the training and tensor-parallel tests; the other tests read 7
    tokens, as in transformers' own testers.
    """

    batch_size = 3
    seq_length = 7
    is_training = True

    def __init__(self, parent, variant: Variant):
        self.parent = parent
        self.variant = variant
        self.causal_lm_class = variant.model_class
        config = self.get_config()
        self.base_model_class = type(variant.model_class(config).base_model)
        self.hidden_size = config.hidden_size
        self.num_hidden_layers = config.num_hidden_layers
        self.num_attention_heads = config.num_attention_heads
        self.vocab_size = config.vocab_size

    @property
    def is_perceiver(self) -> bool:
        return hasattr(self.variant.config_class, "num_latents")

    def get_config(self):
        shared = {
            "vocab_size": 99,  # two processes cannot share it evenly, as in transformers' own testers
            "max_position_embeddings": 64,
            # of a Perceiver one block into the latents, one among them, one out of them
            "num_hidden_layers": 3 if self.is_perceiver else 2,
            "initializer_range": 0.02,
        }
        return self.variant.config(**{**shared, **self.variant.fields})

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        input_ids = torch.randint(2, config.vocab_size, (self.batch_size, self.seq_length))
        return config, {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}

    def num_queries_of_first_layer(self) -> int:
        """Rows of the first layer's attention weights: latents due among the tokens, or the tokens."""
        config = self.get_config()
        if not self.is_perceiver:
            return self.seq_length
        if config.latent_layout == "prefix":
            return min(self.seq_length, config.num_latents)
        return -(-self.seq_length // config.tokens_per_latent)
