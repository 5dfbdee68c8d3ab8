"""Documents larger than memory: read in blocks, kept as tables on disk, or streamed."""
