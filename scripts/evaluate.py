"""Ask a model questions with the book closed, and write what it answered and how often it was right.

    accelerate launch scripts/evaluate.py --model outputs/vanilla-finetuned \\
        --questions cs224n --question_file birth_dev.tsv --train_questions birth_places_train.tsv \\
        --task cs224n --split dev --results results

Any other causal language model, from the Hub or a folder, is asked with a prompt; its answer ends with the line:

    python scripts/evaluate.py --model gpt2 --prompt "Question: {question}\\nAnswer:" --output_dir outputs/gpt2 \\
        --questions popqa --question_file "akariasai/PopQA?relation=place of birth" --task popqa

Writes `predictions.jsonl` and `results.json` into `--output_dir` (default: `<model>/<split>`), adds the result
to the card in the model's folder unless a person changed it, and with `--results` puts a copy of the result
at `<results>/<task>/<model>-<protocol>-seed<seed>.json`.
"""

import sys

from closedbook.training.asking.questions import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
