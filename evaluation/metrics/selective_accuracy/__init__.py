"""Selective accuracy as an evaluate module."""
