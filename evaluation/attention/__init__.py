"""Attention by construction, and what trained heads read."""
