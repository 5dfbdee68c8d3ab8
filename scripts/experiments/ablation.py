"""Objective by objective: what each makes of the same people at the same number of characters.

    python scripts/experiments/ablation.py --data cs224n --num_threads 1

Takes `--num_people` of the people in the training questions, with their lines of wiki.txt. A model of the
reference width and depth is pretrained on these lines, fine-tuned on three fifths of the people's questions, and
asked about the rest. Every arm reads `--characters` characters in steps of about `--step_characters`; only the
objectives differ. The files of birth_dev and of the test are not opened.

`exposures` in a result: in how many examples of pretraining, on average, an accepted answer of a held-out person
stood in an example made of that person's line. Runs that have a result are not repeated, so a stopped command
goes on where it was; a result of another budget is refused. `scripts/report.py` draws the table from
`<results>/cs224n-ablation/`.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.ablation import main

if __name__ == "__main__":
    sys.exit(run_command(main))
