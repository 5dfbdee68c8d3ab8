"""Export a model of this package for programs that do not know it: as a stock GPT-2.

    python scripts/export.py --model outputs/demo/model --format gpt2 --output_dir outputs/demo/gpt2

A vanilla model with softmax attention and learned positions is a GPT-2 under other names, so `transformers` needs
no code from elsewhere for it. Other architectures have no exact counterpart and are refused; they are shared with
their code (`scripts/push.py`). Writes the model, a plain tokenizer with the same ids, a card, and `export.json`:
what was exported, and the largest difference of logits.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.conversion.gpt2 import main

if __name__ == "__main__":
    sys.exit(run_command(main))
