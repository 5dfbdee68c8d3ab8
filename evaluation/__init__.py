"""Answers asked with the book closed, what they are worth, and pages about it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answering.closed_book": ["answer_questions"],
        "answering.confidence": ["answer_with_confidence"],
        "answering.prompts": ["complete_prompts"],
        "predictions": ["prediction_rows", "read_predictions", "write_predictions"],
        "results": ["Result", "load_results", "make_result"],
        "run_record": ["Run", "Stage", "read_run", "write_run"],
    },
)
