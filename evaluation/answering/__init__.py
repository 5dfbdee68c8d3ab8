"""How a model is asked: decoding, confidence, prompts, where an answer ends."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answers": ["Answer", "Candidate", "ScoredAnswer"],
        "closed_book": ["answer_questions"],
        "confidence": ["CONFIDENCES", "answer_with_confidence"],
        "continuations": ["Continuation", "score_continuations"],
        "decoding_ways": ["Decoding"],
        "prompts": ["Completion", "complete_in_ways", "complete_prompts"],
        "stock_models": ["load_stock_model"],
    },
)
