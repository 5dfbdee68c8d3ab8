"""Characters a second of training in one process and in two, one thread each, in turns.

    python scripts/size/scale_processes.py --output results/benchmark-scale.json

`two_process_ratio` is that of characters a second, for a machine with two cores and nothing else to do;
`processor_ratio` leaves waiting out. Needs no GPU. The last line of stdout is one JSON object.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.scale.processes import main

if __name__ == "__main__":
    sys.exit(run_command(main))
