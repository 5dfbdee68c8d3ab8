"""How much faster two processes train than one: the same recipe, one thread a process, in turns.

Counted are the steps after the first ones, evaluation and saving aside: what a long run spends nearly all of
its time on. Two kinds of ratio are told. That of seconds is what a user sees, on a machine with nothing else
to do. That of processor seconds, of one process and of the busier one of two, leaves waiting out: how much of
a step is shared, and how much is done by each process again.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from closedbook.evaluation.environment import check_recordable
from closedbook.training.command_line import RECIPES, parse_flags
from closedbook.training.pretraining import PretrainingSettings, pretrain
from closedbook.training.scale.recording import keep

# What is measured of a recipe is its loop: no evaluation, no checkpoint, and a run of so many steps.
_LOOP: tuple[str, ...] = (
    "--save_strategy",
    "no",
    "--eval_strategy",
    "no",
    "--eval_examples",
    "1",
    "--logging_steps",
    "1000",
)
_LOOP += ("--report_to", "none", "--disable_tqdm", "True", "--use_cpu", "True", "--num_threads", "1")
_MEASURE = "import sys; from closedbook.training.scale.processes import measure; measure(sys.argv[1:])"


@dataclass
class ScaleArguments:
    """Flags of this experiment."""

    recipe: str = field(
        default=str(RECIPES / "cs224n_vanilla_pretrain.yaml"), metadata={"help": "whose steps are timed"}
    )
    corpus: str = field(default="biographies", metadata={"help": "documents, as in pretraining"})
    corpus_path: str | None = field(default=None, metadata={"help": "their file, where the corpus has one"})
    processes: list[int] = field(default_factory=lambda: [1, 2], metadata={"help": "how many, in turns"})
    steps: int = field(default=12, metadata={"help": "counted steps of each turn"})
    warmup_steps: int = field(default=3, metadata={"help": "first steps of each turn, not counted"})
    repeats: int = field(default=3, metadata={"help": "turns of each; the median counts"})
    output: str | None = field(default=None, metadata={"help": "file for the JSON object"})


class Loop(TrainerCallback):
    """Seconds and processor seconds of the steps after the first `warmup`."""

    def __init__(self, warmup: int) -> None:
        self.warmup = warmup
        self.begin = self.end = (0.0, 0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.end = time.perf_counter(), time.process_time()
        if state.global_step == self.warmup:
            self.begin = self.end


def measure(argv: Sequence[str]) -> None:
    """In a process of a launch: train, and print what its loop took as one line of JSON.

    Args:
        argv: first steps that do not count, then the flags of pretraining.
    """
    loop = Loop(int(argv[0]))
    run = pretrain(PretrainingSettings.parse(argv[1:]), callbacks=[loop])
    seconds, processor = (end - begin for begin, end in zip(loop.begin, loop.end, strict=True))
    share = 1 - loop.warmup / (run.last.steps or 1)
    characters = (run.last.train_characters or 0) * share
    print(json.dumps({"seconds": seconds, "processor_seconds": processor, "characters": characters}), flush=True)


def timed(number: int, args: ScaleArguments) -> dict[str, float]:
    """One turn of so many processes: `characters_per_second`, and `processor_seconds` of the busiest.

    Raises:
        RuntimeError: with what it said, if one of them fails.
    """
    flags = ["--recipe", args.recipe, "--corpus", args.corpus, *_LOOP]
    flags += ["--max_steps", str(args.steps + args.warmup_steps)]
    flags += ["--corpus_path", args.corpus_path] if args.corpus_path else []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = str(server.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(number)}
    meeting |= {"LOCAL_WORLD_SIZE": str(number), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _MEASURE, str(args.warmup_steps), *flags, "--output_dir", f"{folder}/run"]
        started = []
        for rank in range(number):
            mine = (
                {"RANK": str(rank), "LOCAL_RANK": str(rank)} | meeting if number > 1 else {"OMP_NUM_THREADS": "1"}
            )
            started.append(
                subprocess.Popen(
                    command, env=os.environ | mine, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
        said = [process.communicate() for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("\n".join(errors[-2000:] for _, errors in said))
    found = [json.loads(output.strip().splitlines()[-1]) for output, _ in said]
    return {
        "characters_per_second": found[0]["characters"] / max(each["seconds"] for each in found),
        "processor_seconds": max(each["processor_seconds"] for each in found),
    }


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(ScaleArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    for name in ("steps", "warmup_steps", "repeats"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")
    if len(args.processes) < 2 or min(args.processes) < 1:
        raise ValueError(f"--processes needs two numbers from 1 on, such as 1 2, got {args.processes}")
    turns: dict[int, list[dict[str, float]]] = {number: [] for number in args.processes}
    for _ in range(args.repeats):
        for number, found in turns.items():
            found.append(timed(number, args))
    first, *others = args.processes
    medians = {
        number: {name: statistics.median(turn[name] for turn in found) for name in found[0]}
        for number, found in turns.items()
    }
    ratios = {
        f"{number} to {first}": {
            "ratio": medians[number]["characters_per_second"] / medians[first]["characters_per_second"],
            "processor_ratio": medians[first]["processor_seconds"] / medians[number]["processor_seconds"],
        }
        for number in others
    }
    figures = {
        "processes": {str(number): medians[number] | {"turns": turns[number]} for number in args.processes},
        "process_ratios": ratios,
        "two_process_ratio": ratios.get("2 to 1", {}).get("ratio"),
    }
    return keep("processes", figures, args)
