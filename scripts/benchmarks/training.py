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
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import TrainerCallback

from closedbook.data.mixture import Component, Mixture
from closedbook.data.objectives.span_corruption import span_corruption
from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.run_record import Stage
from closedbook.modeling.tokenization_char import PAD_CHARACTER, build_char_tokenizer
from closedbook.scripts.benchmarks.measure import (
    SIDES,
    PeerArguments,
    alternate,
    check_flags,
    device,
    memory_in_fresh_process,
    now,
    report,
    run_for_memory,
)
from closedbook.training.arguments import CorpusArguments, PopulationArguments
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import RECIPES, parse_flags
from closedbook.training.documents import read_corpus
from closedbook.training.models import build_model
from closedbook.training.pretraining import PretrainingSettings
from closedbook.training.trainer import prepare_run, train

RECIPE = RECIPES / "cs224n_vanilla_pretrain.yaml"
VOCABULARY = 256  # of wiki.txt; other corpora have fewer characters, and get the same model all the same
BLOCK, WIDTH, LAYERS, HEADS, DROPOUT = 128, 256, 4, 8, 0.1  # the starter's
LEARNING_RATE, WARMUP_TOKENS = 6e-3, 10_240


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


# ---- the peer ----------------------------------------------------------------------------------------------


class PaddedDocuments(torch.utils.data.Dataset):
    """One corrupted document an item, padded to the block: `(inputs, targets)`, shifted by one."""

    def __init__(self, records: Sequence[dict], vocabulary: dict[str, int]):
        self.records = records
        self.vocabulary = vocabulary
        self.random = Random(0)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        text = span_corruption(self.records[index], self.random, BLOCK).text
        ids = [self.vocabulary[character] for character in text.ljust(BLOCK, PAD_CHARACTER)]
        return torch.tensor(ids[:-1], dtype=torch.long), torch.tensor(ids[1:], dtype=torch.long)


class PlainAttention(nn.Module):
    """Causal attention written out: scores, a mask filled in, a softmax, a weighted sum."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.output = nn.Linear(WIDTH, WIDTH)
        self.weights_dropout, self.output_dropout = nn.Dropout(DROPOUT), nn.Dropout(DROPOUT)
        self.register_buffer("future", torch.ones(BLOCK, BLOCK, dtype=torch.bool).triu(1))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        rows, length, _ = hidden.shape
        query, key, value = (
            project(hidden).view(rows, length, HEADS, -1).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
        scores = scores.masked_fill(self.future[:length, :length], -1e10)
        mixed = self.weights_dropout(scores.softmax(dim=-1)) @ value
        mixed = mixed.transpose(1, 2).contiguous().view(rows, length, WIDTH)
        return self.output_dropout(self.output(mixed))


class PlainBlock(nn.Module):
    """Pre-norm block."""

    def __init__(self):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = PlainAttention()
        self.feed_forward = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(DROPOUT)
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden + self.attention(self.norm_1(hidden))
        return hidden + self.feed_forward(self.norm_2(hidden))


class PlainGPT(nn.Module):
    """Ids `(rows, length)` -> logits `(rows, length, vocabulary)`, without any library above PyTorch."""

    def __init__(self, vocab_size: int):
        super().__init__()
        self.characters = nn.Embedding(vocab_size, WIDTH)
        self.positions = nn.Parameter(torch.zeros(1, BLOCK, WIDTH))
        self.dropout = nn.Dropout(DROPOUT)
        self.blocks = nn.Sequential(*(PlainBlock() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, vocab_size, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(self.characters(ids) + self.positions[:, : ids.shape[1]])
        return self.head(self.norm(self.blocks(hidden)))


def time_starter(
    args: TrainingBenchmarkArguments, records: Sequence[dict], alphabet: Sequence[str]
) -> tuple[float, int]:
    """Characters a second of the peer's loop, and its model's number of parameters."""
    torch.manual_seed(0)
    vocabulary = build_char_tokenizer(alphabet).get_vocab()
    padding = vocabulary[PAD_CHARACTER]
    documents = PaddedDocuments(records, vocabulary)
    model = PlainGPT(max(VOCABULARY, len(vocabulary))).to(device()).train()
    decayed = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    rest = [parameter for parameter in model.parameters() if all(parameter is not other for other in decayed)]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.95),
    )
    final_tokens = 200 * len(documents) * BLOCK
    step = tokens = 0
    while True:  # an epoch
        loader = DataLoader(
            documents,
            batch_size=args.batch_size,
            shuffle=True,
            num_workers=args.workers,
            pin_memory=torch.cuda.is_available(),
        )
        for inputs, targets in loader:
            tokens += int((targets != padding).sum()) + len(targets)  # the first character is no target
            inputs, targets = inputs.to(device()), targets.to(device())
            logits = model(inputs)
            loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=padding)
            loss.item()  # the starter shows it at every step
            model.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * _decay(tokens, final_tokens)
            step += 1
            if step == args.warmup_steps:
                start, tokens_before = now(), tokens
            elif step == args.warmup_steps + args.steps:
                speed = (tokens - tokens_before) / (now() - start)
                return speed, sum(parameter.numel() for parameter in model.parameters())


def _decay(tokens: int, final_tokens: int) -> float:
    """Linear warm-up, then a cosine down to a tenth, counted in tokens."""
    if tokens < WARMUP_TOKENS:
        return tokens / WARMUP_TOKENS
    progress = (tokens - WARMUP_TOKENS) / max(1, final_tokens - WARMUP_TOKENS)
    return max(0.1, 0.5 * (1 + math.cos(math.pi * progress)))


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
    torch.set_num_threads(args.num_threads or os.cpu_count() or 1)
    corpus = CorpusArguments("biographies" if args.corpus_path is None else "wiki", args.corpus_path)
    read = read_corpus(corpus, PopulationArguments())
    documents, alphabet = read.documents, read.texts
    components = [Component("documents", documents.to_list(), "span_corruption")]
    timers = {
        "ours": partial(time_ours, args, components, alphabet),
        "starter": partial(time_starter, args, components[0].records, alphabet),
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
