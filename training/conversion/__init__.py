"""Checkpoints of other programs made model folders."""
