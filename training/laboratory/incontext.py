"""Learning in context in the laboratory: all arms run, and what they say together."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from closedbook.data.generated.mappings import FAMILIES, SPLITS, MappingExamples, split_mappings
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_text_atomic
from closedbook.evaluation.laboratory.incontext import (
    draw_incontext,
    incontext_tables,
    pool,
    reference_accuracies,
    right_by_shots,
)
from closedbook.training.command_line import parse_flags
from closedbook.training.experiments.probe_training import WARMUP_STEPS, small_model, train_on_stream
from closedbook.training.experiments.variants import VARIANTS, check_choices
from closedbook.training.finished_runs import RunsFile

TEST_SEED = 1_000_003  # the same questions for every run, of another stream than any that is learned from


@dataclass
class Budget:
    """What all variants get alike."""

    lookup_steps: int = field(default=300, metadata={"help": "optimizer steps on lookup"})
    shift_steps: int = field(default=1200, metadata={"help": "optimizer steps on shift"})
    batch_size: int = field(default=32, metadata={"help": "sequences a step"})
    learning_rate: float = field(default=0.01, metadata={"help": "peak; 50 steps of warm-up, cosine to zero"})
    weight_decay: float = field(
        default=1.0, metadata={"help": "with less, vanilla infers held-out shifts less often after as many steps"}
    )
    initializer_range: float = field(default=0.1, metadata={"help": "spread of the initial weights, see probe.py"})
    num_pairs: int = field(default=8, metadata={"help": "pairs of a sequence; a multiple of 4"})
    hidden_size: int = field(default=64, metadata={"help": "width of the models"})
    num_hidden_layers: int = field(default=3, metadata={"help": "blocks of the models"})
    num_attention_heads: int = field(default=4, metadata={"help": "heads a block"})
    test_examples: int = field(
        default=500, metadata={"help": "sequences of each split asked about after training"}
    )

    def __post_init__(self):
        for name in ("lookup_steps", "shift_steps", "batch_size", "num_pairs", "test_examples"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if self.num_pairs % 4:
            raise ValueError(f"--num_pairs must be a multiple of 4, got {self.num_pairs}")

    @property
    def block_size(self) -> int:
        return 2 * self.num_pairs


QUICK = {
    "lookup_steps": 2,
    "shift_steps": 2,
    "batch_size": 4,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "test_examples": 8,
}


@dataclass
class LaboratoryArguments:
    """What to run, and where to write."""

    families: list[str] = field(default_factory=lambda: list(FAMILIES), metadata={"help": "lookup, shift"})
    variants: list[str] = field(
        default_factory=lambda: list(VARIANTS),
        metadata={"help": "architectures by name, such as vanilla-rotary; default: all"},
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "one run each"})
    num_mappings: list[int] = field(
        default_factory=lambda: [4, 12, 64, 512],
        metadata={"help": "the first variant is also trained on only so many mappings, where there are more"},
    )
    results: str = field(default="results", metadata={"help": "folder to write to"})
    num_threads: int = field(default=1, metadata={"help": "CPU threads; more hardly help models this small"})
    quick: bool = field(default=False, metadata={"help": "a few steps of tiny models: tests the machinery only"})


class Arm(NamedTuple):
    """What is trained; its fields are also those of its run in the results."""

    family: str
    variant: str
    num_mappings: int
    seed: int


def main(argv: list[str]) -> list[dict]:
    """Returns one pooled result for each family, variant and number of mappings."""
    args, budget = parse_flags((LaboratoryArguments, Budget), argv)
    check_recordable(args.results)
    if args.quick:
        budget = Budget(**{**asdict(budget), **QUICK})
    arms = make_arms(args)
    torch.set_num_threads(args.num_threads)
    path = Path(args.results) / "laboratory" / "incontext.json"
    store = RunsFile(path, {"budget": asdict(budget)})
    runs = store.finished() or []
    for family in args.families:  # a size that does not fit fails now, not after an hour
        MappingExamples(family, "training", 0, budget.num_pairs, 1)
        for variant in args.variants:
            small_model(variant, budget, FAMILIES[family].vocabulary_size, seed=0)
    size = (TEST_SEED, budget.num_pairs, budget.test_examples)
    references = {family: reference_accuracies(family, *size) for family in FAMILIES}
    done = {Arm(*(run[name] for name in Arm._fields)) for run in runs}
    for arm in [arm for arm in arms if arm not in done]:
        run = run_arm(arm, budget)
        runs.append(run)
        write_results(store, runs, references)
        print(f"{', '.join(map(str, arm))}: {run['held_out'][-1]} held out, {run['seconds']} s", flush=True)
    pooled = write_results(store, runs, references)
    draw_incontext(pooled, references, path.with_suffix(".png"))
    return pooled


def make_arms(args: LaboratoryArguments) -> list[Arm]:
    """All runs asked for, seed by seed.

    Raises:
        ValueError: for a choice that is unknown or made twice, or a number of mappings below one.
    """
    check_choices("families", args.families, list(FAMILIES))
    check_choices("variants", args.variants, list(VARIANTS))
    check_choices("seeds", args.seeds)
    check_choices("num_mappings", args.num_mappings)
    if min(args.num_mappings) < 1:
        raise ValueError(f"--num_mappings must be at least 1, got {min(args.num_mappings)}")
    arms = []
    for seed in args.seeds:
        for family in args.families:
            full = len(split_mappings(family)["training"])
            arms += [Arm(family, variant, full, seed) for variant in args.variants]
            few = [number for number in args.num_mappings if number < full]
            arms += [Arm(family, args.variants[0], number, seed) for number in few]
    return arms


def run_arm(arm: Arm, budget: Budget) -> dict:
    """Train one variant from scratch and ask it about fresh sequences of both splits."""
    start = time.perf_counter()
    model = small_model(arm.variant, budget, FAMILIES[arm.family].vocabulary_size, arm.seed)
    steps = getattr(budget, f"{arm.family}_steps")
    length = steps * budget.batch_size
    stream = MappingExamples(arm.family, "training", arm.seed, budget.num_pairs, length, arm.num_mappings)
    sizes = {name: getattr(budget, name) for name in ("batch_size", "learning_rate", "weight_decay")}
    loss = train_on_stream(model, stream.__getitem__, steps=steps, **sizes)
    seconds = time.perf_counter() - start
    run = arm._asdict() | {"parameters": model.num_parameters(), "configuration": model.config.to_diff_dict()}
    run |= {"seconds": round(seconds, 1), "last_loss": loss}
    for split in SPLITS:
        number = arm.num_mappings if split == "training" else 0
        fresh = MappingExamples(arm.family, split, TEST_SEED, budget.num_pairs, budget.test_examples, number)
        run[split] = right_by_shots(model.eval(), fresh, budget.batch_size)
    return run | run_environment()


def write_results(store: RunsFile, runs: Sequence[dict], references: dict[str, dict]) -> list[dict]:
    """Write all runs, what they say together, and the tables."""
    keys = list(dict.fromkeys((run["family"], run["variant"], run["num_mappings"]) for run in runs))
    order = {name: number for number, name in enumerate([*FAMILIES, *VARIANTS])}
    keys.sort(key=lambda key: (order[key[0]], order[key[1]], -key[2]))
    groups = [[run for run in runs if (run["family"], run["variant"], run["num_mappings"]) == key] for key in keys]
    pooled = [pool(sorted(group, key=lambda run: run["seed"])) for group in groups]
    write_text_atomic(store.path.with_suffix(".md"), incontext_tables(pooled, references))
    content = {"optimizer": "muon", "warmup_steps": WARMUP_STEPS, "test_seed": TEST_SEED, **store.description}
    store.write(content | {"references": references, "pooled": pooled, "runs": list(runs)})
    return pooled
