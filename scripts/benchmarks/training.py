"""Training speed and memory: closedbook's training against a loop written as the course's starter writes it.

    python scripts/benchmarks/training.py --corpus_path wiki.txt --output training.json

Without --corpus_path the corpus is synthetic biographies, one sentence a document. On a GPU steps are short:
add --warmup_steps 20 --steps 200.

The number is characters a second of the whole loop, data included, padding not counted: every side reads the
same documents through the same corruption, 128 examples a step, with a model of the same size.

* ours: `closedbook.scripts.training.train`, hence the stock `Trainer`, with the recipe
  cs224n_vanilla_pretrain.yaml: packed rows, its dropout, bf16 where the hardware has it, Muon or AdamW.
* peer: a plain PyTorch loop after the starter of CS224N assignment 5 (itself after minGPT): fp32, one example
  a row, each padded to the block of 128; attention by a mask and a softmax, dropout 0.1 everywhere; AdamW with
  weight decay on matrices alone; gradients clipped at 1; loss read and learning rate set at every step.

Both repeat in turns in one process, first steps not counted. Peak memory comes from a process for each side.
The last line of stdout is one JSON object.
"""

import gc
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from transformers import TrainerCallback

from closedbook.data.mixture import Component, Mixture
from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.run_record import Stage
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.scripts.benchmarks.measure import (
    SIDES,
    PeerArguments,
    alternate,
    check_flags,
    memory_in_fresh_process,
    now,
    report,
    run_for_memory,
)
from closedbook.training.arguments import CorpusArguments, PopulationArguments
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import RECIPES, parse_flags
from closedbook.training.documents import read_corpus
from closedbook.training.experiments.starter import BLOCK, DROPOUT, VOCABULARY, time_starter
from closedbook.training.hardware import own_threads
from closedbook.training.models import build_model
from closedbook.training.pretraining import PretrainingSettings
from closedbook.training.trainer import prepare_run, train

RECIPE = RECIPES / "cs224n_vanilla_pretrain.yaml"


@dataclass
class TrainingBenchmarkArguments(PeerArguments):
    """Flags of this benchmark."""

    corpus_path: str | None = field(default=None, metadata={"help": "wiki.txt; default: synthetic biographies"})
    optimizer: str = field(default="muon", metadata={"help": "of ours: muon or adamw"})
    batch_size: int = field(default=128, metadata={"help": "examples a step, both sides"})
    warmup_steps: int = field(default=3, metadata={"help": "first steps of each repeat, not counted"})
    steps: int = field(default=20, metadata={"help": "counted steps of each repeat"})
    workers: int = field(default=0, metadata={"help": "data workers, both sides"})


class Stopwatch(TrainerCallback):
    """Seconds from the end of step `first` to the end of step `last`: whole rounds of data and training."""

    def __init__(self, first: int, last: int):
        self.first, self.last, self.seconds = first, last, math.nan

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.first:
            self.start = now()
        elif state.global_step == self.last:
            self.seconds = now() - self.start


def read_recipe(args: TrainingBenchmarkArguments, output_dir: str):
    """The recipe with this benchmark's flags: model, regularisation and training arguments."""
    flags = {
        "recipe": RECIPE,
        "output_dir": output_dir,
        "optimizer": args.optimizer,
        "global_batch_size": args.batch_size,
        # One step more than is timed: the loader reads a batch ahead, so its last step would read none.
        "max_steps": args.warmup_steps + args.steps + 1,
        "dataloader_num_workers": args.workers,
        "num_threads": args.num_threads,
        "eval_strategy": "no",
        "eval_examples": 1,
        "save_strategy": "no",
        "report_to": "none",
    }
    argv = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    settings = PretrainingSettings.parse(argv)
    return settings.model, settings.regularisation, settings.training


def time_ours(
    args: TrainingBenchmarkArguments, components: Sequence[Component], alphabet: Sequence[str]
) -> tuple[float, int | None]:
    """Characters a second of `train`, and the model's number of parameters."""
    last = args.warmup_steps + args.steps
    with tempfile.TemporaryDirectory() as folder:
        model_args, regularisation, run_args = read_recipe(args, folder)
        prepare_run(run_args)
        tokenizer = build_char_tokenizer(alphabet, model_max_length=model_args.block_size)
        model = build_model(model_args, regularisation, max(VOCABULARY, len(tokenizer)))
        watch = Stopwatch(args.warmup_steps, last)
        run = train(model, tokenizer, components, last + 1, run_args, None, Stage(), callbacks=[watch])
    mixture = Mixture(components, run_args.seed, model_args.block_size, (last + 1) * args.batch_size)
    timed = range(args.warmup_steps * args.batch_size, last * args.batch_size)
    return sum(len(mixture[i].text) for i in timed) / watch.seconds, run.last.parameters


# ---- both --------------------------------------------------------------------------------------------------


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(TrainingBenchmarkArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    check_flags(
        args.only,
        batch_size=args.batch_size,
        warmup_steps=args.warmup_steps,
        steps=args.steps,
        repeats=args.repeats,
    )
    torch.set_num_threads(args.num_threads or own_threads())
    corpus = CorpusArguments("biographies" if args.corpus_path is None else "wiki", args.corpus_path)
    read = read_corpus(corpus, PopulationArguments())
    documents, alphabet = read.documents, read.texts
    components = [Component("documents", documents.to_list(), "span_corruption")]
    timers = {
        "ours": partial(time_ours, args, components, alphabet),
        "starter": partial(
            time_starter,
            components[0].records,
            alphabet,
            batch_size=args.batch_size,
            warmup_steps=args.warmup_steps,
            steps=args.steps,
            workers=args.workers,
        ),
    }
    if args.only:
        return run_for_memory(timers[args.only])
    parameters = {}

    def measure(side: str) -> float:
        gc.collect()  # a trainer refers to itself: without this the last one is still in memory
        speed, parameters[side] = timers[side]()
        return speed

    taken = alternate({side: partial(measure, side) for side in SIDES}, args.repeats)
    assert parameters["ours"] == parameters["starter"], f"models of different sizes: {parameters}"
    memory = {side: memory_in_fresh_process(__file__, argv, side) for side in SIDES}
    return report(
        "training",
        "characters per second",
        taken,
        True,
        memory,
        args.output,
        parameters=parameters["ours"],
        settings=_settings(args),
    )


def _settings(args: TrainingBenchmarkArguments) -> dict:
    """The flags, and what the recipe and the hardware made of ours."""
    _, regularisation, run_args = read_recipe(args, "unused")
    return asdict(args) | {
        "recipe": RECIPE.name,
        "ours_precision": "bf16" if run_args.bf16 else "fp32",
        "ours_dropout": regularisation.dropout,
        "ours_row_length": run_args.row_length,
        "peer_precision": "fp32",
        "peer_dropout": DROPOUT,
        "peer_row_length": BLOCK,
        "peer_optimizer": "adamw",
    }


if __name__ == "__main__":
    sys.exit(run_command(main))
