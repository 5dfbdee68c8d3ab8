"""A trained run, or any model, asked and measured: what the evaluating scripts do."""
