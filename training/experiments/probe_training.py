"""Small models trained from scratch on generated sequences; `probe.py` and `laboratory_incontext.py` share it."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch

from closedbook.evaluation.laboratory.recall import as_batch
from closedbook.training.arguments import ModelArguments, RegularisationArguments
from closedbook.training.experiments.variants import VARIANTS
from closedbook.training.models import build_model
from closedbook.training.optimizer import MuonWithAdamW

WARMUP_STEPS = 50


class Sizes(Protocol):
    """What a budget says of the models; `block_size` is a multiple of 8."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    block_size: int
    initializer_range: float


def small_model(variant: str, sizes: Sizes, vocabulary_size: int, seed: int):
    """The variant with random weights and no dropout.

    The sizes in between (attention blocks, landmarks, latents) are in proportion to the reference configuration's:
    an eighth, a quarter and a half of the block.
    """
    own = {name: getattr(sizes, name) for name in ("hidden_size", "num_hidden_layers", "num_attention_heads")}
    size = sizes.block_size
    own |= {"block_size": size, "attention_block_size": size // 8, "num_landmarks": size // 4}
    arguments = ModelArguments(**own, num_latents=size // 2, **VARIANTS[variant])
    model = build_model(arguments, RegularisationArguments(dropout=0.0), vocabulary_size)
    model.config.initializer_range = sizes.initializer_range  # no flag of pretraining, hence a second model
    torch.manual_seed(seed)
    return type(model)._from_config(model.config, attn_implementation="eager")


def train_on_stream(
    model, example: Callable[[int], Any], *, steps: int, batch_size: int, learning_rate: float, weight_decay: float
) -> float:
    """Train on the examples 0, 1, ... of a stream, each read once; returns the loss of the last step.

    Args:
        example: example i, with the tokens, places and answers that `as_batch` reads; the loss is on the answers.
        steps: optimizer steps; 50 of warm-up, then a cosine to zero.
        batch_size: examples a step.
        learning_rate: at its peak.
        weight_decay: of the matrices and tables.
    """
    optimizer = MuonWithAdamW(model, learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, (step + 1) / WARMUP_STEPS) * (1 + math.cos(math.pi * step / steps)) / 2,
    )
    model.train()
    for step in range(steps):
        batch = [example(index) for index in range(step * batch_size, (step + 1) * batch_size)]
        ids, rows, places, answers = as_batch(batch)
        logits = model(input_ids=ids, use_cache=False).logits[rows, places]
        loss = torch.nn.functional.cross_entropy(logits, answers)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return loss.item()
