"""Teach a stock model facts out of documents in several ways, ask it with the book closed, and see what it forgot.

    pip install -e '.[teach]'
    python scripts/benchmarks/teach.py --model HuggingFaceTB/SmolLM2-135M-Instruct

Twenty people who do not exist have a document of two sentences each, every fact stated once. Half of the people
have questions that are trained; asked are, in three wordings, questions about the others. At equal tokens, rows
and batches: trl's SFTTrainer (full weights, LoRA) and this package (full weights, LoRA); beside them the untouched
model with the document in its prompt, found by BM25 or the right one. Every learning rate is the best of three on
the people of another seed.

Also reported: whether the sentence is completed that is not answered, what a threshold that promises 10% of error
lets through, people whom no document names among it, the loss on an unrelated text and the general questions that
are answered before and after, and tokens by the second. `tokens_per_cpu_second` does not depend on what else the
machine does, with `--num_threads 1`.

A run is a file, `<results>/runs/<arm>-seed<k>.json`, and is not repeated: a stopped command goes on where it was.
`<results>/summary.json`, `summary.md` and `teach.png` say what all of them say together. `--arms untouched trl`
runs some of the arms.
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.teaching.comparison import main

if __name__ == "__main__":
    sys.exit(run_command(main))
