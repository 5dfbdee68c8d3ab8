"""Speed and memory of every architecture at growing lengths, against vanilla and against GPT-2.

    python scripts/benchmarks/architectures.py --output results/benchmarks/architectures-cpu.json
    python scripts/benchmarks/architecture_table.py --results results/benchmarks/architectures-cpu.json

On a GPU steps are short: add --warmup_steps 20 --steps 20, and --tokens 65536 to fill it.

An entry is one architecture at one length (which is also its `max_position_embeddings`), measured in a process
of its own and written at once; a run that was stopped goes on with those that are missing. All models have the
reference size of `architecture_variants.py`, no dropout and random weights, and repeat in turns with vanilla.

* training: forward, backward and a fused AdamW step on random tokens, one example a row, no packing, the same
  number of tokens a step at every length; bf16 autocast where `Trainer` would take it. Vanilla with SDPA is
  the measure of all others, and each trains with every implementation that may be the best one. Memory is the
  peak during the first steps, before the other model is made.
* decoding: greedy `generate` with a cache after a prompt of half the length, fp32, SDPA, no end token. The
  number is that of the steps after the first, which reads the prompt and has a time of its own.
* cache: bytes of all that it holds after that prompt, and how many each further token adds.

What does not fit into memory is told as such. The last line of stdout is one JSON object, as in the file.
"""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.scripts.benchmarks.architecture_entry import limit_memory, measure_entry
from closedbook.scripts.benchmarks.architecture_table import summarise
from closedbook.scripts.benchmarks.architecture_variants import VARIANTS, check_variants
from closedbook.scripts.benchmarks.measure import check_flags, device, in_fresh_process
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import parse_flags
from closedbook.training.finished_runs import RunsFile
from closedbook.training.hardware import has_bf16, own_threads

# Flags that change no number, so that a file may be filled by runs that differ in them.
FREE_FLAGS = ("variants", "lengths", "output", "overwrite", "only", "memory_gib")


@dataclass
class ArchitectureBenchmarkArguments:
    """Flags of this benchmark."""

    variants: list[str] = field(default_factory=lambda: list(VARIANTS), metadata={"help": "default: all"})
    lengths: list[int] = field(default_factory=lambda: [128, 512, 2048, 8192], metadata={"help": "in tokens"})
    tokens: int = field(default=8192, metadata={"help": "of a training step; at least one whole row"})
    decoding_rows: int = field(default=16, metadata={"help": "batch of the decoding"})
    warmup_steps: int = field(default=1, metadata={"help": "first training steps, not counted"})
    steps: int = field(default=1, metadata={"help": "training steps of each repeat"})
    repeats: int = field(default=5, metadata={"help": "of each side; the median counts"})
    seconds: float = field(default=60.0, metadata={"help": "begin no repeat after so many; one is always done"})
    num_threads: int = field(default=0, metadata={"help": "CPU threads; 0 as in training"})
    memory_gib: float = field(
        default=0.0, metadata={"help": "on a CPU, what a process may take; 0: nine tenths of what is free"}
    )
    output: str | None = field(default=None, metadata={"help": "default: outputs/benchmark-architectures-*.json"})
    overwrite: bool = field(default=False, metadata={"help": "measure again what the file has"})
    only: bool = field(default=False, metadata={"help": "measure one entry in this process and print it"})


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(ArchitectureBenchmarkArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    counts = ("tokens", "decoding_rows", "warmup_steps", "steps", "repeats")
    check_flags(None, **{name: getattr(args, name) for name in counts})
    check_variants(args.variants, args.lengths)
    threads = args.num_threads or own_threads()
    torch.set_num_threads(threads)
    if args.only:
        limit_memory(args.memory_gib)
        entry = measure_entry(args, args.variants[0], args.lengths[0])
        print(json.dumps(entry), flush=True)
        return entry
    settings = {name: value for name, value in asdict(args).items() if name not in FREE_FLAGS}
    settings |= {
        "num_threads": threads,
        "device": str(device()),
        "training_precision": "bf16" if has_bf16(device().type == "cpu") else "fp32",
        "decoding_precision": "fp32",
    }
    path = Path(args.output or f"outputs/benchmark-architectures-{device().type}.json")
    environment = run_environment()
    measured = {name: environment[name] for name in ("hardware", "versions")} | {"settings": settings}
    store = RunsFile(path, measured, "entries")
    entries = store.finished() or {}
    for length in args.lengths:
        for name in args.variants:
            known = entries.setdefault(name, {})
            if str(length) in known and "failed" not in known[str(length)] and not args.overwrite:
                continue
            print(f"--- {name} at {length}", file=sys.stderr)
            flags = [*argv, "--variants", name, "--lengths", str(length), "--only", "True"]
            try:
                entry = in_fresh_process(__file__, flags)
            except RuntimeError as error:  # such as a process that the system ended; the others can still be done
                entry = {"failed": str(error)}
            known[str(length)] = entry | {"commit": environment["commit"]}
            store.write(_result(entries, settings, environment))
    result = _result(entries, settings, environment)
    print(json.dumps(result), flush=True)
    return result


def _result(entries: dict, settings: dict, environment: dict) -> dict:
    ordered = {
        name: dict(sorted(entries[name].items(), key=lambda item: int(item[0])))
        for name in VARIANTS
        if entries.get(name)
    }
    return {
        "benchmark": "architectures",
        "unit": "tokens per second",
        "settings": settings,
        "summary": summarise(ordered),
        "entries": ordered,
        **environment,
    }


if __name__ == "__main__":
    sys.exit(run_command(main))
