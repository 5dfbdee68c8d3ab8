"""Intervals, paired tests, chance and luck of the draw."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "intervals": ["bootstrap_interval", "wilson_interval"],
        "paired": ["PairedComparison", "compare_paired"],
        "prompt_luck": ["ArmDifference", "PromptLuck", "arm_difference", "holm", "mean_interval"],
    },
)
