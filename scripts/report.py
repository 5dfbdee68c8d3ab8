"""Turn result files into the tables of README.md and docs/, into pictures, and a run's files into a page.

    python scripts/report.py --readme README.md docs/*.md           # fill the tables between the pages' markers
    python scripts/report.py --readme README.md docs/*.md --check   # or say that they are not up to date
    python scripts/report.py --tree docs/tree.md                    # every code file, half a line each
    python scripts/report.py --record outputs/cs224n/vanilla        # keep what pictures need of a run in results/
    python scripts/report.py --figures results/report               # draw what is in results/
    python scripts/report.py --run outputs/cs224n/vanilla --compare outputs/cs224n/perceiver --html report.html

The page is one file that needs no network. What was not measured is left out of it, with the command that
measures it. `--questions cs224n --question_file birth_dev.tsv` also holds the predictions against the questions.
"""

import sys

from closedbook.training.asking.reporting import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
