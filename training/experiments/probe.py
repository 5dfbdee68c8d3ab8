"""Copying and associative recall, learned from scratch by every architecture."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from closedbook.data.generated.probes import PROBES, VOCABULARY_SIZE, ProbeExamples
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_text_atomic
from closedbook.evaluation.laboratory.recall import (
    count_recall,
    plot_recall,
    pool,
    recall,
    recall_table,
    with_interval,
)
from closedbook.training.command_line import parse_flags
from closedbook.training.experiments.probe_training import WARMUP_STEPS, small_model, train_on_stream
from closedbook.training.experiments.variants import VARIANTS, check_choices
from closedbook.training.finished_runs import RunsFile

TEST_SEED = 1_000_003  # added to a run's seed: what is asked is another stream than what is learned from


@dataclass
class Budget:
    """What all variants get alike."""

    steps: int = field(default=1000, metadata={"help": "optimizer steps"})
    batch_size: int = field(default=32, metadata={"help": "examples a step"})
    learning_rate: float = field(default=0.01, metadata={"help": "peak; 50 steps of warm-up, cosine to zero"})
    initializer_range: float = field(
        default=0.1,
        metadata={
            "help": "spread of the initial weights; at the usual 0.02 attention of so narrow a model starts out "
            "so even that softmax needs many times the steps"
        },
    )
    block_size: int = field(default=64, metadata={"help": "tokens of an example; a multiple of 8"})
    hidden_size: int = field(default=64, metadata={"help": "width of the models"})
    num_hidden_layers: int = field(default=3, metadata={"help": "blocks of the models"})
    num_attention_heads: int = field(default=4, metadata={"help": "heads a block"})
    test_examples: int = field(default=500, metadata={"help": "fresh examples asked about after training"})

    def __post_init__(self):
        for name in ("steps", "batch_size", "test_examples"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}")
        if self.block_size % 8:
            raise ValueError(f"--block_size must be a multiple of 8, got {self.block_size}")


@dataclass
class ProbeArguments:
    """What to run, and where to write."""

    probes: list[str] = field(default_factory=lambda: list(PROBES), metadata={"help": "copy, associative_recall"})
    variants: list[str] = field(
        default_factory=lambda: list(VARIANTS),
        metadata={"help": "architectures by name, such as vanilla-rotary; default: all"},
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2], metadata={"help": "one run each"})
    results: str = field(default="results", metadata={"help": "folder to write to"})
    num_threads: int = field(default=1, metadata={"help": "CPU threads; more hardly help models this small"})


def main(argv: list[str]) -> dict[str, list[dict]]:
    """Returns, for each probe, one pooled result a variant."""
    args, budget = parse_flags((ProbeArguments, Budget), argv)
    check_recordable(args.results)
    check_choices("probes", args.probes, list(PROBES))
    check_choices("variants", args.variants, list(VARIANTS))
    check_choices("seeds", args.seeds)
    torch.set_num_threads(args.num_threads)
    files = {probe: Path(args.results) / "probes" / f"{probe}.json" for probe in args.probes}
    stores = {probe: RunsFile(path, {"budget": asdict(budget)}) for probe, path in files.items()}
    runs = {probe: store.finished() or [] for probe, store in stores.items()}
    ProbeExamples(args.probes[0], 0, budget.block_size, 1)
    for variant in args.variants:
        new_model(variant, budget, seed=0)  # a size that does not fit fails now, not after an hour
    for probe, store in stores.items():
        done = {(run["variant"], run["seed"]) for run in runs[probe]}
        pairs = [(variant, seed) for seed in args.seeds for variant in args.variants]
        for variant, seed in [pair for pair in pairs if pair not in done]:
            run = run_probe(probe, variant, seed, budget)
            runs[probe].append(run)
            write_results(store, probe, budget, runs[probe])
            print(f"{probe}, {variant}, seed {seed}: {run['accuracy']:.1%} in {run['seconds']} s", flush=True)
    return {probe: write_results(store, probe, budget, runs[probe]) for probe, store in stores.items()}


def write_results(store: RunsFile, probe: str, budget: Budget, runs: Sequence[dict]) -> list[dict]:
    """Write all runs, what they say together, the table and the picture."""
    by_variant = {name: [run for run in runs if run["variant"] == name] for name in VARIANTS}
    pooled = [pool(sorted(own, key=lambda run: run["seed"])) for own in by_variant.values() if own]
    path, content = store.path, {"probe": probe, "optimizer": "muon", "warmup_steps": WARMUP_STEPS}
    write_text_atomic(path.with_suffix(".md"), recall_table(pooled, f"{budget.block_size} a block"))
    title = f"{probe.replace('_', ' ')}, {budget.steps} steps of {budget.batch_size} examples"
    plot_recall(pooled, title, path.with_suffix(".png"))
    store.write({**content, **store.description, "pooled": pooled, "runs": list(runs)})
    return pooled


def run_probe(probe: str, variant: str, seed: int, budget: Budget) -> dict:
    """Train one variant from scratch and ask it about fresh examples."""
    start = time.perf_counter()
    model = new_model(variant, budget, seed)
    loss = train_on_probe(model, probe, seed, budget)
    seconds = time.perf_counter() - start
    fresh = ProbeExamples(probe, seed + TEST_SEED, budget.block_size, budget.test_examples)
    distances, sources, right = recall(model.eval(), fresh, budget.batch_size)
    width = budget.block_size // 8
    return {
        "variant": variant,
        "seed": seed,
        "parameters": model.num_parameters(),
        "configuration": model.config.to_diff_dict(),
        "seconds": round(seconds, 1),
        "last_loss": loss,
        **with_interval({"n": len(right), "correct": sum(right)}),
        "by_distance": count_recall(distances, right, budget.block_size, width),
        "by_source": count_recall(sources, right, budget.block_size, width),
        **run_environment(),
    }


def new_model(variant: str, budget: Budget, seed: int):
    """The variant with random weights and no dropout."""
    return small_model(variant, budget, VOCABULARY_SIZE, seed)


def train_on_probe(model, probe: str, seed: int, budget: Budget) -> float:
    """Train on the stream of `seed`; returns the loss of the last step."""
    stream = ProbeExamples(probe, seed, budget.block_size, budget.steps * budget.batch_size)
    sizes = {name: getattr(budget, name) for name in ("steps", "batch_size", "learning_rate")}
    return train_on_stream(model, stream.__getitem__, weight_decay=0.0, **sizes)
