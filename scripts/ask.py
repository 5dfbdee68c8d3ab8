"""Ask a model: in the terminal, from a file, or on a page that shows how sure it is and where the answer stands.

    python scripts/ask.py --model outputs/taught --documents notes/
    python scripts/ask.py --model outputs/taught --documents notes/ --page
    python scripts/ask.py --model outputs/taught --question_file asked.txt --output answers.csv
    python scripts/ask.py --model outputs/taught --space outputs/space

An answer is given if the model is as sure as the threshold that `knowing.py` proved for it (or `--threshold`);
else the reply is "I don't know". `--space` writes a folder that runs the page as a Space on the Hub.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.page.terminal import main

if __name__ == "__main__":
    sys.exit(run_command(main))
