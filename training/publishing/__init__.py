"""Sharing that arrives: the folder of a run on the Hub, as others load it."""
