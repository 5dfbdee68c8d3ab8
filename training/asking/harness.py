"""In-context question answering written as a task folder for lm-evaluation-harness."""

from dataclasses import dataclass, field
from pathlib import Path

from closedbook.evaluation.prompting.demonstrations import ORDERS, SELECTIONS
from closedbook.evaluation.prompting.harness_export import export_harness_task
from closedbook.training.asking.incontext_arguments import AskedArguments, read_asked_and_pool
from closedbook.training.command_line import parse_arguments


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
