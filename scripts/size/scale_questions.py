"""What a million questions take before the first of them is asked: reading and checks, in seconds and memory.

    git worktree add ../former 156beb9
    python scripts/size/scale_questions.py --former ../former --output results/benchmark-scale.json

Every measurement is a process of its own that reads a file of generated questions and checks that each fits a
model of characters. With `--former`, a checkout of another commit takes turns with this one, and the ratio of
CPU seconds is that of neighbours in time. The last line of stdout is one JSON object.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.scale.questions import main

if __name__ == "__main__":
    sys.exit(run_command(main))
