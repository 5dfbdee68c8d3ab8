"""Overlap of words with an accepted answer as an evaluate module."""
