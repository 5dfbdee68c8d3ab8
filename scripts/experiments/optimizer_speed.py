"""Seconds of an optimizer step: this package's Muon with AdamW, and torch's Muon beside torch's AdamW.

    python scripts/experiments/optimizer_speed.py --output results/benchmarks/optimizer.json

Vanilla models of three sizes with random gradients, no forward or backward pass. Ours is timed in both precisions;
`ratio` is torch's time over the faster of ours, `ratio_float32` over that in float32, which a run takes whose
hardware has no bf16. The last line of stdout is one JSON object.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.optimizer_speed import main

if __name__ == "__main__":
    sys.exit(run_command(main))
