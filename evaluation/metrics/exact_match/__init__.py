"""Exact match as an evaluate module."""
