"""The parts of README, docs and results/index.md that are made from files."""
