"""Attention by construction, and what trained heads read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "constructions": [
            "Construction",
            "average_of_two_heads",
            "average_values",
            "copy_value",
            "extract_component",
        ],
        "constructions_relation": ["identity_attention", "relate_tokens"],
        "constructions_spread": ["one_head_spread", "two_heads_spread"],
        "maps": ["AttentionMap", "attention_maps", "attention_weights", "score_heads"],
        "measured": ["make_constructions", "measure_errors"],
    },
)
