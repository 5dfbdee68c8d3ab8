"""Comparisons on the reference task, probes, and the demo."""
