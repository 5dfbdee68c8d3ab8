"""Are promises kept as often as they say, and how many questions do they let be answered? By simulation.

    python scripts/experiments/promise.py --output results/benchmarks/promise.json

Every draw makes held-out people by a law whose error rate above any threshold is known, chooses a threshold on
them with `choose_threshold`, and looks whether the people above it are wrong more often than promised. Laws are
such that
it is easy, hard or impossible to promise anything: a smooth one, one with ties, few people, models that are always
right, always wrong, wrong just too often at every confidence, or wrong most where they are surest.

The peer is what this package did before: 20 thresholds, corrected by Bonferroni. Written are, for each law and
rule, the share of draws with a broken promise, the share without any threshold, and the mean share of people that
are answered. The last line of stdout is one JSON object.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.promise import main

if __name__ == "__main__":
    sys.exit(run_command(main))
