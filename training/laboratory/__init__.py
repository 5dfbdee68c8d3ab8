"""Figures on synthetic people, each arm trained from scratch."""
