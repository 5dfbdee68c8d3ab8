"""Questions that somebody types: in a terminal, from a file, on a page."""
