"""The gate before anything slow: all problems of a command's flags, sources and outputs, each in one line."""
