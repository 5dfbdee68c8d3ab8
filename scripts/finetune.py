"""Fine-tune a pretrained model to answer questions with no text in front of them.

    accelerate launch scripts/finetune.py --recipe scripts/recipes/cs224n_finetune.yaml \\
        --model outputs/vanilla --train_questions birth_places_train.tsv \\
        --exclude_people_of birth_dev.tsv birth_test_inputs.tsv --output_dir outputs/vanilla-finetuned

`--from_scratch` keeps the folder's architecture and vocabulary but not its weights: the baseline that shows
what the questions alone teach. Files under `--exclude_people_of` are read for names only.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.finetuning import main

if __name__ == "__main__":
    sys.exit(run_command(main))
