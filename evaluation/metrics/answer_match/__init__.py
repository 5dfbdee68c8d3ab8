"""Equality once spelling is evened out as an evaluate module."""
