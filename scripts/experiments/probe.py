"""What can each architecture carry across its block? Copying and associative recall, learned from scratch.

    python scripts/experiments/probe.py --num_threads 1

Every variant gets the identical short budget: the same examples, steps, optimizer, schedule and initial spread of
the weights, chosen so that vanilla softmax attention solves both probes; nothing is tuned for any other. Then
it is asked about fresh examples.

For each probe writes `<results>/probe-<name>.json` (all runs, rewritten whole after each), `.md` (the table) and
`.png`. Runs that are in the file already are not repeated, so a stopped command goes on where it was.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.probe import main

if __name__ == "__main__":
    sys.exit(run_command(main))
