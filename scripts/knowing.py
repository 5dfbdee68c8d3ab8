"""What a model knows, what it guesses, and whether it can tell: confidence, abstention and provenance.

    python scripts/knowing.py --model outputs/cs224n/held-out --questions cs224n \\
        --question_file birth_dev.tsv --split dev --train_questions birth_places_train.tsv \\
        --corpus wiki --corpus_path wiki.txt

Asks about the people of the question file, about training people kept out of training, about some who were
trained on, and about strangers: people who do not exist, and things; with eight confidences for every answer.
Temperature and threshold of abstention are fitted on the people kept out. Writes `predictions.jsonl` (every
answer, with its provenance) and `knowing.json` (the figures) into `--output_dir` (default: `<model>/knowing`).
Flags that the model's run file records (`--questions`, `--train_questions`, `--corpus`, `--num_people` ...) can
be left out.
"""

import sys

from closedbook.training.asking.knowing import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
