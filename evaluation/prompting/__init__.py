"""Questions with demonstrations or steps in the prompt."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "arithmetic_steps": ["CheckedStep", "check_steps", "judge_rationale"],
        "demonstrations": ["ORDERS", "SELECTIONS", "select_demonstrations"],
        "embedders": ["Embedder", "EncoderEmbedder", "TfidfEmbedder"],
        "harness_export": ["export_harness_task"],
        "incontext": ["Arm", "Prompt", "PromptFormat", "answer_in_context", "build_prompts", "sweep_arms"],
        "incontext_arms": ["ArmRun", "read_arms"],
        "incontext_summary": ["summarise_arms"],
        "number_answers": ["extract_number", "find_numbers"],
        "reasoning": ["ReasoningArm", "answer_by_reasoning"],
    },
)
