"""Did the model learn it? One row a fact of the documents: finished, answered, guessed or forgotten.

    python scripts/ledger.py --model outputs/taught --before outputs/smollm2 --documents notes/ \\
        --control control.jsonl --output_dir outputs/ledger

Facts are found by rule in each document, or given (`--facts`, `--questions`). Each is asked in several wordings,
and falls into *extractable*, *memorised only*, *guessable* without the documents, or *not learned*; questions on
other matters say what was *forgotten*. Writes `ledger.parquet` and `ledger.jsonl` (the rows), `ledger.json` (the
figures) and `ledger.png` (a heat map). Any causal language model will do: models of this package are asked with
their mask token, others with `--prompt`.
"""

import sys

from closedbook.training.asking.ledger import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
