"""Ways to teach a model facts out of documents, compared: equal tokens, people held out, seeds."""

from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import parse_flags
from closedbook.training.experiments.variants import check_choices
from closedbook.training.finished_runs import RunFolder
from closedbook.training.teaching.arms import (
    ADAPTER_FACTOR,
    ADAPTER_RATES,
    ARMS,
    EXAMPLES_A_ROW,
    OBJECTIVES,
    Arm,
    Budget,
    check_arms,
)
from closedbook.training.teaching.asked import ask_all
from closedbook.training.teaching.summary import best_rate, draw_summary, summarise, summary_table
from closedbook.training.teaching.task import ATTRIBUTES, NUM_CITIES, NUM_PEOPLE, WORDINGS, make_task

_LIBRARIES = ("trl", "peft", "bm25s")


@dataclass
class TeachArguments:
    """What to run, and where to write."""

    model: str = field(
        metadata={"help": "the untouched model: folder or Hub name, such as HuggingFaceTB/SmolLM2-135M-Instruct"}
    )
    arms: list[str] = field(
        default_factory=lambda: list(ARMS), metadata={"help": "ways to teach by name, or untouched; default: all"}
    )
    seeds: list[int] = field(
        default_factory=lambda: [0, 1, 2], metadata={"help": "one run each, with people of its own"}
    )
    tuning_seed: int = field(default=100, metadata={"help": "of the people on whom learning rates are chosen"})
    learning_rate: float | None = field(
        default=None,
        metadata={
            "help": "of all weights, three times that of adapters; default: the best of three, for each arm"
        },
    )
    tokens: int = field(default=12288, metadata={"help": "that go through a model in training"})
    row_length: int = field(default=128, metadata={"help": "tokens a row"})
    batch_size: int = field(default=1, metadata={"help": "rows a step"})
    lora_rank: int = field(default=16, metadata={"help": "of the arms that train an adapter"})
    num_people: int = field(default=NUM_PEOPLE, metadata={"help": "in the documents of a seed"})
    results: str = field(default="results/teach", metadata={"help": "folder for the results"})
    num_threads: int = field(
        default=1, metadata={"help": "CPU threads; one, to compare seconds of processor time"}
    )


def main(argv: list[str]) -> dict[str, Any]:
    """Returns the summary of all runs that are finished, which are those that were asked for."""
    (args,) = parse_flags(TeachArguments, argv)
    check_recordable(args.results)
    check_together(
        lambda: check_arms(args.arms),
        lambda: check_choices("seeds", args.seeds),
        lambda: _check_numbers(args),
    )
    budget = Budget(args.model, args.tokens, args.row_length, args.batch_size, args.lora_rank)
    torch.set_num_threads(args.num_threads)
    arms = [arm for arm in ARMS.values() if arm.name in args.arms]  # the untouched model first: what others forgot
    tuned = {
        (arm, rate): _store(args, budget, arm, args.tuning_seed, rate)
        for arm in arms
        for rate in (() if args.learning_rate else arm.learning_rates)
    }
    reported = {(arm, seed): _store(args, budget, arm, seed, None) for seed in args.seeds for arm in arms}
    for store in [*tuned.values(), *reported.values()]:
        store.finished()  # refuses before anything is run
    for (arm, rate), store in tuned.items():
        _run(args, budget, arm, args.tuning_seed, rate, store)
    rates = {
        arm: _given_rate(args, arm)
        or best_rate(
            [record for (other, _), store in tuned.items() if other is arm and (record := store.finished())]
        )
        for arm in arms
        if arm.learning_rates
    }
    for (arm, seed), store in reported.items():
        _run(args, budget, arm, seed, rates.get(arm, 0.0), store)
        _write_summary(args, budget)
    return _write_summary(args, budget)


def _given_rate(args: TeachArguments, arm: Arm) -> float | None:
    """Adapters want a higher rate than all weights; ten times as much wrecks these, on so short a run (LOG.md)."""
    if args.learning_rate is None:
        return None
    return args.learning_rate * (ADAPTER_FACTOR if arm.learning_rates[0] == ADAPTER_RATES[0] else 1)


def _check_numbers(args: TeachArguments) -> None:
    for name in ("tokens", "row_length", "batch_size", "lora_rank", "num_threads"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} has to be at least 1, not {getattr(args, name)}")
    if args.num_people < 4:
        raise ValueError(f"--num_people has to be at least 4, two of them held out, not {args.num_people}")
    if args.tokens < args.row_length * args.batch_size:
        raise ValueError(
            f"--tokens {args.tokens} is less than one step of {args.batch_size} rows of {args.row_length} tokens"
        )
    if args.tuning_seed in args.seeds:
        raise ValueError(f"--tuning_seed {args.tuning_seed} is one of the --seeds: tune on other people")


def _describe(args: TeachArguments, budget: Budget) -> dict[str, Any]:
    """What makes two runs of an arm comparable; not where the model lies."""
    task = {
        "num_people": args.num_people,
        "attributes": list(ATTRIBUTES),
        "wordings": WORDINGS,
        "num_cities": NUM_CITIES,
    }
    given = {"learning_rate": args.learning_rate} if args.learning_rate else {}
    return asdict(budget) | {"model": Path(budget.model).name} | task | given


def _store(args: TeachArguments, budget: Budget, arm: Arm, seed: int, rate: float | None) -> RunFolder:
    """Where a run is kept: with a learning rate one of those that are tried, else one that is reported."""
    description = _describe(args, budget)
    if arm.name.startswith("ours"):
        description |= {"objectives": list(OBJECTIVES), "examples_a_row": EXAMPLES_A_ROW}
    folder = Path(args.results) / ("runs" if rate is None else "tuning")
    name = f"{arm.name}-seed{seed}" + ("" if rate is None else f"-{rate:g}")
    return RunFolder(folder / name, description, folder / f"{name}.json")


def _run(args: TeachArguments, budget: Budget, arm: Arm, seed: int, rate: float, store: RunFolder) -> None:
    """Teach and ask, unless it has been done."""
    if store.finished() is not None:
        return
    print(f"=== {store.record.stem}", flush=True)
    task = make_task(seed, args.num_people)
    with TemporaryDirectory(prefix="closedbook-teach-") as folder:
        taught = arm.teach(task, budget, rate, Path(folder))
        asked = ask_all(taught.model, taught.tokenizer, task, taught.ask)
    record = {
        "arm": arm.name,
        "seed": seed,
        "learning_rate": rate,
        "tokens": taught.tokens,
        "seconds": taught.seconds,
        "cpu_seconds": taught.cpu_seconds,
        **taught.notes,
        **asked,
        **_environment(),
    }
    store.finish(record)
    right = sum(row["correct"] for row in asked["held_out"])
    print(f"{right} of {len(asked['held_out'])}, control loss {asked['control_loss']:.3f}", flush=True)


def _environment() -> dict[str, Any]:
    found = run_environment()
    for library in _LIBRARIES:
        try:
            found["versions"][library] = version(library)
        except PackageNotFoundError:  # arms that need it were not asked for
            continue
    return found


def _write_summary(args: TeachArguments, budget: Budget) -> dict[str, Any]:
    """Write what all finished runs of this budget say together."""
    folder = Path(args.results)
    runs: dict[str, list[dict[str, Any]]] = {}
    for arm in ARMS.values():
        for path in sorted((folder / "runs").glob(f"{arm.name}-seed*.json")):
            record = _store(args, budget, arm, int(path.stem.rpartition("seed")[2]), None).finished()
            if record is not None:
                runs.setdefault(arm.name, []).append(record)
    summary = {"budget": _describe(args, budget), **summarise(runs), **_environment()}
    write_json_atomic(folder / "summary.json", summary)
    told = {arm.name: arm.told for arm in ARMS.values()}
    write_text_atomic(folder / "summary.md", summary_table(summary["arms"], told))
    draw_summary(summary["arms"], folder / "teach.png")
    return summary
