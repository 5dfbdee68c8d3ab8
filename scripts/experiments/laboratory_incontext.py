"""Learning in context, from scratch: accuracy against the number of shots, for every architecture.

    python scripts/experiments/laboratory_incontext.py

Models are trained on sequences `x1 y1 x2 y2 ...`, each of a mapping of its own (data/generated/mappings.py), and
asked about fresh sequences: of mappings that they trained on, and of mappings held out. Every variant gets the
identical short budget: the same examples, steps, optimizer, schedule and initial spread of the weights, chosen so
that vanilla softmax attention learns both families; nothing is tuned for any other. The first variant is also
trained on few of the mappings: does it memorise them, or learn to infer?

Writes `<results>/laboratory/incontext.json` (all runs, rewritten whole after each), `.md` (the tables) and, at the
end, `.png`. Runs that are in the file already are not repeated, so a stopped command goes on where it was.
`--quick` tests the machinery only.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.laboratory.incontext import main

if __name__ == "__main__":
    sys.exit(run_command(main))
