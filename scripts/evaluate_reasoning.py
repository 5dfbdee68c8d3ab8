"""Chains of thought against direct answers: arms x seeds on any causal language model, scored by the number given.

    python scripts/evaluate_reasoning.py --model HuggingFaceTB/SmolLM2-135M-Instruct --question_file gsm8k.jsonl \\
        --demonstration_file demonstrations.jsonl --num_questions 100 --seeds 0 1 2 --output_dir outputs/reasoning

Question and demonstration files are JSON lines with `question`, `answer` (a number) and `rationale`; see
`data/reasoning_questions.py`. Arms are those of `evaluation/prompting/reasoning.py`; `self_consistency=5` votes
over five samples. A seed orders the demonstrations (0: as in the file) and draws the samples; an arm with neither
is asked once.

Writes into `--output_dir`: `sweep.json`, what all arms have in common; `arms/<hash>.jsonl`, each prompt, output,
number and checked step of one arm, a line a question; and `<results>.json`, `.md` and `.png`, what they say
together (by default `reasoning` in the same folder). Arms that are there are not asked again, so a stopped sweep
goes on where it was. With `accelerate launch` the processes share the work.
"""

import sys

from closedbook.training.asking.reasoning import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
