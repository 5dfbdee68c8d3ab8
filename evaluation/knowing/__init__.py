"""Whether a model knows what it knows: calibration, abstention, provenance."""
