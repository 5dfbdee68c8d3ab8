"""The laboratory: figures about what a small model knows, on synthetic people of whom every fact is known.

    python scripts/experiments/laboratory.py wordings

FIGURE is one of

- attributes: what share of the facts is memorised, and what share is answered, attribute by attribute;
- extraction: memorised or extractable? Finishing the sentence x answering the question, as a 2 x 2;
- wordings: the same shares against the number of wordings and orders in which a fact is told, equally often;
- reversal: from person to value and from value to person, with and without reading in reversed order;
- bits: knowledge in bits per parameter against exposures and model size (--full: a larger sweep);
- frequency: the same shares against the number of documents that state the fact.

Its recipe is scripts/recipes/laboratory_FIGURE.yaml, and every key of it is also a flag; several values of a
setting give several arms. Questions are taught on half of the people and asked of the others. Writes
`<results>/laboratory/FIGURE.json`, `.md` and `.png` after every arm; arms that are finished (their folders are in
`--output_dir`) are not run again, so a stopped command goes on where it was. `--quick` tests the machinery only.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.laboratory.figures import main

if __name__ == "__main__":
    sys.exit(run_command(main))
