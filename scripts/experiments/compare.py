"""Every architecture on the reference task at one identical, short budget: pretrain, fine-tune, ask.

    python scripts/experiments/compare.py --data cs224n --num_threads 1

`--data` is the folder of the reference files. The budget is that of the recipes cs224n_short_pretrain.yaml and
cs224n_short_finetune.yaml; `--pretraining_steps` and `--finetuning_epochs` change it for all. A run's folders are
`<output_dir>/<variant>-seed<k>/pretrained` and `.../finetuned`, its result is
`<results>/<task>/<variant>-two_stage-seed<k>.json`, and after every run `<results>/<task>.json` and `.md` say what
all of them say together. Runs that have a result are not repeated, so a stopped command goes on where it was.

Read the table by the evaluation loss of pretraining: how well the documents are known, measured on other
corruptions of them. At a short budget accuracy is near always saying "London" for everybody, and the
questions of birth_dev are for reporting, not for choosing.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.experiments.comparison import main

if __name__ == "__main__":
    sys.exit(run_command(main))
