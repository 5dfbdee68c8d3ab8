"""In-context question answering: shots x selection x order x decoding x seeds, on any causal language model.

    python scripts/evaluate_incontext.py --model HuggingFaceTB/SmolLM2-135M-Instruct \\
        --question_file triviaqa.jsonl --num_questions 100 --num_shots 0 1 2 4 8 \\
        --selections random nearest --decodings greedy beam=4 self_consistency=4 --seeds 0 1 2 3 4 \\
        --output_dir outputs/incontext

A question file is `question<TAB>answer` or JSON lines (`question`, `answer`, `aliases`). Demonstrations come from
`--pool_file`, or from the rows of the question file after the first `--num_questions`. An arm is one combination;
where a setting changes nothing (the order of one demonstration, the seed of greedy decoding without a draw) it is
asked once.

Writes into `--output_dir`: `sweep.json`, what all arms have in common; `arms/<hash>.jsonl`, each prompt, output
and score of one arm, a line a question; and `<results>.json`, `.md` and `.png`, what they say together (by default
`incontext` in the same folder). Arms that are there are not asked again, so a stopped sweep goes on where it was,
and a larger one adds to it. Arms with the same prompts are asked together. With
`accelerate launch` the processes share the work.
"""

import sys

from closedbook.training.asking.incontext import main
from closedbook.training.checks.commands import run_command

if __name__ == "__main__":
    sys.exit(run_command(main))
