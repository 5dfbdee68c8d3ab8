"""Facts about real things as tables, read from packages that others keep: see `data/real_facts.py`."""
