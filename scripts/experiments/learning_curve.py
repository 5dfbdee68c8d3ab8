"""Accuracy against characters of pretraining: questions are taught to every checkpoint of a run, and asked.

    python scripts/experiments/learning_curve.py --model outputs/cs224n/vanilla-pretrain \\
        --train_questions cs224n/birth_places_train.tsv

Every checkpoint is fine-tuned alike, by `--recipe`, on training questions without `--validation_share` of their
people, and asked about those. Writes `<results>/curves-<name>.json`, which `scripts/report.py --figures` draws;
rewritten after every checkpoint, and those that are in it already are not repeated.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.learning_curve import main

if __name__ == "__main__":
    sys.exit(run_command(main))
