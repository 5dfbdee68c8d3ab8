"""The whole product on embedded data in a few minutes: what does a small GPT know, and from where?

    python scripts/demo.py

Synthetic people are told about in sentences; a small GPT reads the sentences, learns from some of the people
how questions are asked, and answers questions about the others. Beside it: the most frequent answer, and the
same model fine-tuned without having read anything. The last line printed is one JSON object.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.demo import main

if __name__ == "__main__":
    sys.exit(run_command(main))
