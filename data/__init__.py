"""Corpora, questions, objectives, mixture and packing."""
