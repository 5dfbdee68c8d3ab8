"""Characters a second of the training loop, and seconds until held-out people are answered, of several builds.

Each build is a process of its own (`clocked.py`), and they take turns: a machine that slows down or is shared
does so for all of them. Speeds are given by the clock on the wall and by that of the processors, which other
work disturbs less.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from closedbook.data.mixture import Component, Mixture
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.reports.accuracies import read_log_history
from closedbook.training.arguments import CorpusArguments, PopulationArguments
from closedbook.training.command_line import RECIPES, as_flags, parse_flags, read_recipe
from closedbook.training.documents import Corpus, read_corpus
from closedbook.training.experiments.starter import time_starter
from closedbook.training.finished_runs import RunsFile
from closedbook.training.hardware import device, now
from closedbook.training.objective_shares import parse_objectives
from closedbook.training.scale.checkouts import HERE, check_checkout, commit_of

PRETRAINING = RECIPES / "cs224n_places_pretrain.yaml"
FINETUNING = RECIPES / "cs224n_places_finetune.yaml"
SYSTEMS = ("ours", "former", "starter", "compiled")
BUILDS = ("ours", "former", "compiled")  # those that train in two stages
PARTS = ("speed", "knowledge")
DESCRIPTION = (
    "speed of the training loop, and seconds until held-out people are answered: this build, a former one and the "
    "starter's loop"
)
CLOCKED = Path(__file__).with_name("clocked.py")


@dataclass
class TimeArguments:
    """What is measured, on what, and for how long."""

    corpus_path: str = field(metadata={"help": "wiki.txt"})
    train_questions: str | None = field(
        default=None, metadata={"help": "file of training questions, some of whose people are asked"}
    )
    former: str | None = field(default=None, metadata={"help": "checkout of the build to compare with"})
    systems: list[str] = field(
        default_factory=lambda: ["ours", "former", "starter"],
        metadata={"help": f"which of {', '.join(SYSTEMS)} (this build under torch.compile)"},
    )
    parts: list[str] = field(default_factory=lambda: list(PARTS), metadata={"help": "speed, knowledge or both"})
    repeats: int = field(default=3, metadata={"help": "turns of the speed part; medians count"})
    warmup_steps: int = field(default=3, metadata={"help": "first steps of a turn, not counted"})
    steps: int = field(default=10, metadata={"help": "counted steps of a turn"})
    targets: list[float] = field(
        default_factory=lambda: [0.23, 0.8], metadata={"help": "shares of held-out people to be answered"}
    )
    recipe: str = field(
        default=PRETRAINING.name,
        metadata={
            "help": "of scripts/recipes/: how this build pretrains in the part on knowledge; others as ever"
        },
    )
    save_steps: int = field(default=140, metadata={"help": "steps of pretraining between looks"})
    most_steps: int = field(default=2800, metadata={"help": "of pretraining, after which targets count as missed"})
    validation_share: float = field(default=0.2, metadata={"help": "share of the training people to ask about"})
    seed: int = field(default=42, metadata={"help": "of examples and weights"})
    num_threads: int = field(default=2, metadata={"help": "CPU threads, all systems"})
    idea: str = field(default="", metadata={"help": "what is new, in a line, for the leaderboard"})
    output_dir: str = field(default="outputs/time-to-knowledge", metadata={"help": "for models"})
    output: str = field(
        default="results/benchmark-time-to-knowledge.json", metadata={"help": "file for the JSON object"}
    )


def main(argv: list[str]) -> dict[str, Any]:
    """Measure what is missing in `output`, and return what it then holds.

    Raises:
        ValueError: for settings that cannot be measured, before anything is.
        RuntimeError: if a process of a build fails; it has said why on stderr.
    """
    (args,) = parse_flags(TimeArguments, argv)
    check_recordable(Path(args.output).parent)
    check(args)
    torch.set_num_threads(args.num_threads)
    store = RunsFile(Path(args.output), {"settings": describe(args)})
    runs: dict[str, Any] = store.finished() or {"speed": [], "knowledge": {}}

    def keep() -> dict[str, Any]:
        content = summarise(runs, args.targets) | {
            "benchmark": "time-to-knowledge",
            "description": DESCRIPTION,
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "idea": args.idea,
            "device": str(device()),
            "runs": runs,
        }
        store.write(content | run_environment())
        return content

    if "speed" in args.parts:
        corpus = read_corpus(CorpusArguments("wiki", args.corpus_path), PopulationArguments())
        for turn in range(len(runs["speed"]), args.repeats):
            taken = {system: time_system(system, args, corpus) for system in args.systems}
            runs["speed"].append(taken)
            keep()
            told = ", ".join(f"{name} {speed['characters_per_second']:,.0f}" for name, speed in taken.items())
            print(f"turn {turn + 1} of {args.repeats}, characters a second: {told}", file=sys.stderr)
    if "knowledge" in args.parts:
        builds = [system for system in args.systems if system in BUILDS]
        for system in builds:
            runs["knowledge"].setdefault(system, [])
        while going := [system for system in builds if is_going(system, runs["knowledge"][system], args)]:
            for system in going:
                runs["knowledge"][system].append(learn_on(system, args, len(runs["knowledge"][system]) + 1))
                keep()
    result = keep() | store.description | run_environment()
    print(json.dumps(result), flush=True)
    return result


def check(args: TimeArguments) -> None:
    """Refuse what cannot be measured.

    Raises:
        ValueError: naming the flag.
        FileNotFoundError: for a file that is not there.
    """
    for name, known in (("systems", SYSTEMS), ("parts", PARTS)):
        given = getattr(args, name)
        if not given or set(given) - set(known) or len(set(given)) < len(given):
            raise ValueError(f"--{name} takes some of {', '.join(known)}, each once, got {' '.join(given)}")
    if not (RECIPES / args.recipe).is_file():
        raise FileNotFoundError(f"--recipe {args.recipe} is not in {RECIPES.parent.name}/{RECIPES.name}/")
    if args.recipe != PRETRAINING.name and not {"ours", "compiled"} & set(args.systems):
        raise ValueError("--recipe has no effect: --systems leaves this build out")
    if args.recipe != PRETRAINING.name and "knowledge" not in args.parts:
        raise ValueError("--recipe has no effect: --parts leaves knowledge out")
    for name in ("repeats", "warmup_steps", "steps", "save_steps", "num_threads"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")
    if args.most_steps < args.save_steps:
        raise ValueError(
            f"--most_steps {args.most_steps} is below --save_steps {args.save_steps}: nobody is asked"
        )
    if not args.targets or any(not 0 < target <= 1 for target in args.targets):
        raise ValueError(f"--targets must be above 0 and at most 1, got {args.targets}")
    if "former" in args.systems and args.former is None:
        raise ValueError("--former names no checkout: give one, or --systems without former")
    if args.former is not None and "former" not in args.systems:
        raise ValueError("--former has no effect: --systems leaves it out")
    check_checkout("former", args.former)
    if "knowledge" in args.parts and args.train_questions is None:
        raise ValueError("--train_questions is missing: give the file, or --parts speed")
    for path in filter(None, (args.corpus_path, args.train_questions)):
        if not Path(path).exists():
            raise FileNotFoundError(f"{path} does not exist")


def describe(args: TimeArguments) -> dict[str, Any]:
    """All that shapes a figure. Not how many turns are taken, nor where a run ends: these may be raised later."""
    left_out = ("repeats", "targets", "most_steps", "parts", "idea", "output", "output_dir", "former")
    settings = {name: value for name, value in asdict(args).items() if name not in left_out}
    settings |= {name: Path(settings[name]).name for name in ("corpus_path", "train_questions") if settings[name]}
    commits = {"ours": commit_of(HERE)}
    if args.former is not None:
        commits["former"] = commit_of(Path(args.former))
    paths = {PRETRAINING, RECIPES / args.recipe, FINETUNING}
    recipes = {path.name: read_recipe(path) for path in sorted(paths)}
    return settings | {"commits": commits, "recipes": recipes}


# ---- speed -------------------------------------------------------------------------------------------------


def time_system(system: str, args: TimeArguments, corpus: Corpus) -> dict[str, float]:
    """Real characters a second of one turn, padding not counted: by the wall's clock and by the processors'."""
    recipe = read_recipe(PRETRAINING)
    counted = args.warmup_steps + args.steps
    documents = corpus.documents.to_list()
    if system == "starter":
        readings: list[tuple[float, float]] = []

        def read_both() -> float:
            readings.append((now(), time.process_time()))
            return readings[-1][0]

        speed, _ = time_starter(
            documents,
            corpus.texts,
            batch_size=recipe["global_batch_size"],
            warmup_steps=args.warmup_steps,
            steps=args.steps,
            clock=read_both,
        )
        (start, start_cpu), (end, end_cpu) = readings
        characters, seconds, cpu_seconds = speed * (end - start), end - start, end_cpu - start_cpu
    else:
        with tempfile.TemporaryDirectory() as folder:
            flags = common_flags(system, args) | {
                "recipe": str(PRETRAINING),
                "corpus_path": str(Path(args.corpus_path).resolve()),
                "output_dir": str(Path(folder) / "model"),
                # One step more than is timed: the loader reads a batch ahead, so its last step would read none.
                "max_steps": counted + 1,
                "warmup_steps": 1,
                "save_strategy": "no",
                "eval_examples": 1,
            }
            clock = Path(folder) / "clock.json"
            run_clocked(system, args, clock, 0, "scripts/pretrain.py", flags)
            steps = read_clock(clock)
        seconds, cpu_seconds = (steps[counted][n] - steps[args.warmup_steps][n] for n in (0, 1))
        size = recipe["global_batch_size"]
        characters = count_characters(documents, args.seed, size, args.warmup_steps, counted)
    return {
        "characters": round(characters),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "characters_per_second": characters / seconds,
        "characters_per_cpu_second": characters / cpu_seconds,
    }


def count_characters(documents: Sequence[dict], seed: int, batch_size: int, first: int, last: int) -> int:
    """Characters that the steps after `first` up to `last` read.

    Of this build's mixture: which examples a seed makes has not changed since its first one (`tests/golden`).
    """
    recipe = read_recipe(PRETRAINING)
    components = [
        Component(share.objective, documents, **asdict(share)) for share in parse_objectives(recipe["objectives"])
    ]
    mixture = Mixture(components, seed, recipe["block_size"], (last + 1) * batch_size, recipe["shift_positions"])
    return sum(len(mixture[i]) for i in range(first * batch_size, last * batch_size))


# ---- knowledge ---------------------------------------------------------------------------------------------


def pretraining_recipe(system: str, args: TimeArguments) -> Path:
    """That of a build: of this one the recipe that was asked for."""
    return PRETRAINING if system == "former" else RECIPES / args.recipe


def is_going(system: str, points: Sequence[dict[str, Any]], args: TimeArguments) -> bool:
    """Whether there is a target left that more pretraining could reach."""
    best = max((point["accuracy"] for point in points), default=0.0)
    most = min(args.most_steps, read_recipe(pretraining_recipe(system, args))["max_steps"])
    return best < max(args.targets) and (len(points) + 1) * args.save_steps <= most


def learn_on(system: str, args: TimeArguments, number: int) -> dict[str, Any]:
    """Pretrain up to look `number`, fine-tune what is there, and ask the people held out.

    Returns:
        steps of pretraining, the seconds of both stages by both clocks, and the share of answers that were right.
    """
    folder = (Path(args.output_dir) / system).resolve()
    model, clock = folder / "pretrained", folder / "pretrained-clock.json"
    step = number * args.save_steps
    checkpoint = model / f"checkpoint-{step}"
    shared = common_flags(system, args)
    folder.mkdir(parents=True, exist_ok=True)
    if not checkpoint.exists():
        flags = shared | {
            "recipe": str(pretraining_recipe(system, args)),
            "corpus_path": str(Path(args.corpus_path).resolve()),
            "output_dir": str(model),
            "save_steps": args.save_steps,
            "save_total_limit": 1000,
        }
        if any(model.glob("checkpoint-*")):
            flags["resume"] = True
        elif model.exists():
            flags["overwrite"] = True
        run_clocked(system, args, clock, step, "scripts/pretrain.py", flags)
    taught, taught_clock = folder / f"taught-{step}", folder / f"taught-{step}-clock.json"
    assert args.train_questions is not None
    flags = shared | {
        "recipe": str(FINETUNING),
        "model": str(checkpoint),
        "train_questions": str(Path(args.train_questions).resolve()),
        "validation_share": args.validation_share,
        "output_dir": str(taught),
        "save_strategy": "no",
    }
    if taught.exists():
        flags["overwrite"] = True
    run_clocked(system, args, taught_clock, 0, "scripts/finetune.py", flags)
    pretraining, finetuning = read_clock(clock)[step], list(read_clock(taught_clock).values())[-1]
    asked = [entry for entry in read_log_history(taught / "trainer_state.json") if "eval_exact_match" in entry]
    point = {
        "steps": step,
        "pretraining_seconds": pretraining[0],
        "pretraining_cpu_seconds": pretraining[1],
        "finetuning_seconds": finetuning[0],
        "finetuning_cpu_seconds": finetuning[1],
        "accuracy": asked[-1]["eval_exact_match"],
    }
    print(f"{system}, step {step}: {point['accuracy']:.1%} of the held-out people", file=sys.stderr)
    return point


# ---- both --------------------------------------------------------------------------------------------------


def common_flags(system: str, args: TimeArguments) -> dict[str, Any]:
    """Flags that every build has."""
    compiled = {"torch_compile": True} if system == "compiled" else {}
    return compiled | {
        "seed": args.seed,
        "num_threads": args.num_threads,
        "eval_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def run_clocked(
    system: str, args: TimeArguments, clock: Path, stop: int, script: str, flags: dict[str, Any]
) -> None:
    """Run a script of a system's checkout in a process of its own, its words on stderr.

    Raises:
        RuntimeError: if it fails.
    """
    checkout = Path(args.former).resolve() if system == "former" and args.former else HERE
    words = [sys.executable, str(CLOCKED), str(checkout), str(clock), str(stop), script, *as_flags(flags)]
    environment = os.environ | {"OMP_NUM_THREADS": str(args.num_threads)}
    done = subprocess.run(words, stdout=sys.stderr, env=environment, cwd=clock.parent, check=False)
    if done.returncode:
        raise RuntimeError(f"{script} of {checkout} ended with exit code {done.returncode}; see above")


def read_clock(path: Path) -> dict[int, tuple[float, float]]:
    """Of every step the seconds since the first one began, by the wall's clock and by the processors'."""
    return {int(step): (wall, cpu) for step, wall, cpu in json.loads(path.read_text(encoding="utf-8"))}


def summarise(runs: dict[str, Any], targets: Sequence[float]) -> dict[str, Any]:
    """Medians, ratios and seconds to each target; what was not measured, or not reached, has no key.

    Ratios say how many times as fast this build is; those of speeds are medians over turns, each of which has
    both. `ratio_23` is that of the seconds until 23% were answered, the former build's over this one's, by the
    wall's clock, `cpu_ratio_23` by that of the processors.
    """
    found: dict[str, Any] = {}
    speeds = runs["speed"]
    measured = [name for name in SYSTEMS if speeds and all(name in turn for turn in speeds)]
    for unit in ("characters_per_second", "characters_per_cpu_second"):
        if not measured:
            continue
        found[unit] = {name: statistics.median(turn[name][unit] for turn in speeds) for name in measured}
        ratios = {name: _ratio(speeds, unit, name) for name in measured if name != "ours" and "ours" in measured}
        if "former" in ratios:
            found[f"{unit}_ratio"] = ratios.pop("former")
        found |= {f"{unit}_ratio_{name}": value for name, value in ratios.items()}
    for target in targets:
        for clock in ("", "cpu_"):
            reached = {name: seconds_to(points, target, clock) for name, points in runs["knowledge"].items()}
            seconds = {name: value for name, value in reached.items() if value is not None}
            if seconds:
                found[f"{clock}seconds_to_{100 * target:.0f}"] = seconds
            if {"ours", "former"} <= seconds.keys():
                found[f"{clock}ratio_{100 * target:.0f}"] = seconds["former"] / seconds["ours"]
    return found


def _ratio(speeds: Sequence[dict[str, Any]], unit: str, name: str) -> float:
    return statistics.median(turn["ours"][unit] / turn[name][unit] for turn in speeds)


def seconds_to(points: Sequence[dict[str, Any]], target: float, clock: str = "") -> float | None:
    """Seconds of both stages until a look found the target reached, None if none did; `clock` "" or "cpu_"."""
    for point in points:
        if point["accuracy"] >= target:
            return point[f"pretraining_{clock}seconds"] + point[f"finetuning_{clock}seconds"]
    return None
