"""Containment of an accepted answer as an evaluate module."""
