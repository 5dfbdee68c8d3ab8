"""How a model is asked: decoding, confidence, prompts, where an answer ends."""
