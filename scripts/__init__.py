"""One program a stage, started by accelerate launch."""
