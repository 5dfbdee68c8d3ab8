"""Every skip among transformers' own tests that has been judged, with the reason why nobody misses the test.

Most tests decide by themselves that they do not apply, in words that often name the wrong cause (the first
missing thing of several). A skip that no line of this table explains makes the run fail.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from variants import Variant


@dataclass(frozen=True)
class Skip:
    """One judged skip.

    Attributes:
        test: regular expression that the name of the test begins with.
        reason: regular expression found in the library's own reason.
        because: our reason, printed in the summary.
        variants: for which variants it holds; for every one by default.
    """

    test: str
    reason: str
    because: str
    variants: Callable[[Variant | None], bool] = lambda variant: True

    def explains(self, test: str, reason: str, variant: Variant | None) -> bool:
        return bool(re.match(self.test, test) and re.search(self.reason, reason) and self.variants(variant))


def _without_weights(variant: Variant | None) -> bool:
    return variant is not None and not variant.has_attentions


SKIPS = (
    # what the architectures are not
    Skip(
        "test_(attn_implementation|sdpa_can_dispatch|can_set_attention_dynamically|flash_attn_._can_dispatch)_composite"
        "|test_internal_model_config_and_subconfig",
        "",
        "for a model composed of several, with a configuration for each: this is one model",
    ),
    Skip(
        "test_eager_matches_batched_and_grouped|test_moe_|test_output_router_logits",
        "",
        "for mixtures of experts: no experts here",
    ),
    Skip("test_encoder_decoder_loss", "", "for an encoder with a decoder: this is a decoder"),
    Skip("test_vision_axial_rope", "", "for images: these models read text"),
    Skip("test_sliding_window_mask", "", "for configurations with a field sliding_window: none here"),
    Skip(
        "test_model_rope",
        "",
        "for configurations with rope_parameters, which stretch a trained model's block: the block is fixed here",
    ),
    Skip(
        "test_resize_position_vector_embeddings",
        "",
        "lengthens the block of a trained model: no such method here, as in the library's GPT-2",
    ),
    Skip(
        "test_reverse_loading_mapping|test_can_load_from_already_mapped_keys",
        "",
        "for checkpoints with weights under older names: there is one format",
    ),
    Skip(
        "test_keep_in_fp32_modules",
        "",
        "for modules that stay in float32 in a half-precision model: none is declared to",
    ),
    # what an architecture does not offer, and says so
    Skip(
        "test_attention_outputs",
        "not output attentions",
        "linformer has no weights over tokens to show: its past is a few landmarks",
        _without_weights,
    ),
    Skip(
        "test_tp_|test_tied_head_has_a_tp",
        "TP plan|tensor parallel plan",
        "no tensor-parallel plan for this architecture",
    ),
    Skip(
        "test_integration_from_extractor",
        "",
        "for tokenizer classes made from a vocabulary and merges: this one is built from text, or loaded",
    ),
    Skip(
        "test_chat_template_save_loading",
        "",
        "for processors that hold a tokenizer; other tests here save and load chat templates",
    ),
    # what this machine or environment lacks
    Skip("", "requires accelerator|requires CUDA|requires MPS|requires.* GPU", "needs an accelerator"),
    Skip("", "multiple accelerators", "needs several accelerators"),
    Skip("", "requires Flash Attention", "needs the flash-attn package and an accelerator"),
    Skip("", "requires deepspeed", "needs the deepspeed package and an accelerator"),
    Skip("", "requires torchao", "needs the torchao package"),
    Skip("", "requires the kernels library", "needs the kernels package and an accelerator"),
)


def explain(test: str, reason: str, variant: Variant | None) -> str | None:
    """Our reason for a skip, or None if nobody has judged it; `variant` is None for tests of no variant."""
    for skip in SKIPS:
        if skip.explains(test, reason, variant):
            return skip.because
    return None
