"""How long a person waits for a reply: of the page, and of the folder that asks inside a browser.

    python scripts/experiments/page_speed.py --model outputs/cs224n/held-out \\
        --question_file cs224n/birth_dev.tsv --browser_dir outputs/browser --output page.json

The page: from a question to all that a reply shows (answer, candidates, source, attention, familiarity), without
the network. The folder, as `scripts/export.py --format browser` wrote it: in Chromium, from the question to the
reply, and from the address to a model that can be asked; left out without `--browser_dir`. One question at a
time, the first not counted. The last line of stdout is one JSON object.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.page_speed import main

if __name__ == "__main__":
    sys.exit(run_command(main))
