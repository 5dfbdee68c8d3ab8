"""Synthetic people with known facts, and names of people who do not exist."""
