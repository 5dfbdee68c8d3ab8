"""The laboratory's figures and the comparisons, one command each."""
