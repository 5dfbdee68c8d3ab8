"""Models that somebody else has trained, as a run starts from them: loading, adapters, tokenizers, defaults."""
