"""Export a model for programs that do not know it: as a stock GPT-2, ONNX graph, GGUF file, or page that asks it.

    python scripts/export.py --model outputs/demo/model --format gpt2 --output_dir outputs/demo/gpt2
    python scripts/export.py --model outputs/demo/model --format onnx --output_dir outputs/demo/onnx
    python scripts/export.py --model outputs/demo/model --format gguf --output_dir outputs/demo/gguf
    python scripts/export.py --model outputs/demo/model --format browser --output_dir outputs/demo/browser

`gpt2`: a vanilla model with softmax attention and learned positions is a GPT-2 under other names, so
`transformers` needs no code from elsewhere for it. `onnx`: any model with a plain cache, stock ones too, with
that cache (extra `onnx`). `gguf`: the stock GPT-2 of a character model for llama.cpp (extra `gguf`).
`browser`: a folder of plain files in which a character model is asked inside the browser, with confidence and
threshold. Each is held to the original before it is left behind, and what has no exact counterpart is
refused; such models are shared with their code (`scripts/push.py`). `export.json` says what was exported, and
the largest difference of logits.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.conversion.exporting import main

if __name__ == "__main__":
    sys.exit(run_command(main))
