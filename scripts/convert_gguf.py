"""Turn a GGUF file (llama.cpp) into an ordinary model folder: bfloat16 weights, config, tokenizer, chat template.

    pip install 'closedbook[icl]'
    python scripts/convert_gguf.py --gguf SmolLM2-135M-Instruct.Q4_1.gguf --output_dir outputs/smollm2

Refused is a file of which transformers would silently leave something out: tensors that its model has no place for
(such as biases), or a scaling of rotary positions. `conversion.json` records where the folder came from.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.conversion.gguf_file import main

if __name__ == "__main__":
    sys.exit(run_command(main))
