"""Speed of the training loop, and seconds until a model answers: this build, a former one, and the starter's loop.

    python scripts/experiments/time_to_knowledge.py --corpus_path cs224n/wiki.txt \
        --train_questions cs224n/birth_places_train.tsv --former ../closedbook-156beb9 --output time.json

On a GPU the same command measures the same there; `--systems ours former starter compiled` adds this build
under torch.compile. `--parts speed` leaves out what takes hours. Stopped and started again it goes on where
it was. The last line of stdout is one JSON object; docs/leaderboard.md says what is counted.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.time_to_knowledge import main

if __name__ == "__main__":
    sys.exit(run_command(main))
