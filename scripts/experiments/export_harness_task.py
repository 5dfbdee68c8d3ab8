"""Export in-context question answering as a task of lm-evaluation-harness: the same prompts and verdicts.

    python scripts/experiments/export_harness_task.py --question_file triviaqa.jsonl \\
        --num_questions 100 --num_shots 8 --selection nearest --task_name trivia_nearest \\
        --output_dir exported/trivia_nearest
    pip install closedbook[harness]
    lm_eval --model hf --model_args pretrained=MODEL --include_path exported --tasks trivia_nearest

Questions, pool and demonstrations are those of `evaluate_incontext.py` with the same flags. The exported folder
needs nothing of this package and may be moved. Where `evaluate_incontext.py` drops whole demonstrations of
a prompt that is too long, the harness cuts off its beginning.
"""

import sys

from closedbook.training.asking.harness import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
