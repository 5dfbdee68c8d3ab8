"""Chain of thought in the laboratory: what does a small model gain from being taught to write its steps down?

    python scripts/experiments/laboratory_reasoning.py

Models trained from scratch on generated word problems (data/generated/word_problems.py), which differ in one
thing: the answers that they are taught. `direct`: the number alone. `worked`: every step as an equation, then the
number. `filler`: as many dots as the steps have characters, then the number. All read equally many characters with
the same optimizer and schedule; so those with longer answers read fewer problems. Then they are asked new
problems, with as many steps as they were trained on and with more.

Everything is set in scripts/recipes/laboratory_reasoning.yaml, and every key of it is also a flag. Writes
`<results>/laboratory/reasoning.json`, `.md` and `.png` after every arm; arms that are finished (their folders are
in `--output_dir`) are not run again, so a stopped command goes on where it was. `--quick` tests the machinery
only.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.laboratory.reasoning import main

if __name__ == "__main__":
    sys.exit(run_command(main))
