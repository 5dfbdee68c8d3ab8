"""Pretrain a small GPT on documents, and on questions where the objectives name `question_answering`.

    accelerate launch scripts/pretrain.py --recipe scripts/recipes/cs224n_vanilla_pretrain.yaml \
        --corpus_path wiki.txt --output_dir outputs/vanilla

Every key of a recipe is also a flag, and flags win. The output folder is a Hugging Face model folder.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.pretraining import main

if __name__ == "__main__":
    sys.exit(run_command(main))
