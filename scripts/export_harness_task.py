"""Export in-context question answering as a task of lm-evaluation-harness: the same prompts, the same exact match.

    python scripts/export_harness_task.py --question_file triviaqa.jsonl --num_questions 100 --num_shots 8 \\
        --selection nearest --task_name trivia_nearest --output_dir exported/trivia_nearest
    pip install closedbook[harness]
    lm_eval --model hf --model_args pretrained=MODEL --include_path exported --tasks trivia_nearest

Questions, pool and demonstrations are those of `evaluate_incontext.py` with the same flags. The exported folder
needs nothing of this package and may be moved. Where `evaluate_incontext.py` drops whole demonstrations of
a prompt that is too long, the harness cuts off its beginning.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    sys.path.pop(0)  # this folder's evaluate.py would stand before the library `evaluate`

from closedbook.evaluation.demonstrations import ORDERS, SELECTIONS
from closedbook.evaluation.harness_export import export_harness_task
from closedbook.scripts.command_line import parse_arguments
from closedbook.scripts.incontext_arguments import AskedArguments, read_asked_and_pool


@dataclass(kw_only=True)
class ExportArguments(AskedArguments):
    """Which demonstrations, and where the task goes."""

    task_name: str = field(metadata={"help": "how the harness shall call the task"})
    output_dir: str = field(metadata={"help": "folder of this task alone"})
    num_shots: int = field(default=8, metadata={"help": "demonstrations, at most"})
    selection: str = field(default="random", metadata={"help": ", ".join(SELECTIONS)})
    order: str = field(default="near_last", metadata={"help": ", ".join(ORDERS)})
    seed: int = field(default=0, metadata={"help": "of random demonstrations"})
    order_seed: int = field(default=0, metadata={"help": "of shuffled ones"})


def main(argv: list[str]) -> Path:
    """Returns the path of the task's YAML file."""
    args, _ = parse_arguments((ExportArguments,), argv)
    asked, pool = read_asked_and_pool(args, args.num_shots)
    path = export_harness_task(
        args.output_dir,
        args.task_name,
        pool,
        asked,
        args.num_shots,
        selection=args.selection,
        order=args.order,
        seed=args.seed,
        order_seed=args.order_seed,
        embedder=args.embedder(),
        prompt_format=args.prompt_format(),
        max_new_tokens=args.max_new_tokens,
        about={"encoder": Path(args.encoder).name} if args.encoder else None,
    )
    print(f"{path}: {len(asked)} questions, up to {args.num_shots} demonstrations each out of {len(pool)}")
    return path


if __name__ == "__main__":
    main(sys.argv[1:])
