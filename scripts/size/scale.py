"""Measure what a large corpus takes: until the first training step, and a character whatever the size of the text.

    git worktree add ../former 156beb9
    python scripts/size/scale.py --work_dir /var/tmp/scale --former ../former \
        --output results/benchmark-scale.json

The text is generated. It takes about 25 GB of disk for ten gigabytes of text; `--streamed` and `--sizes` say
others.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.scale.corpora import main

if __name__ == "__main__":
    sys.exit(run_command(main))
