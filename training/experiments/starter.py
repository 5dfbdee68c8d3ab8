"""The peer of the speed benchmarks: a plain PyTorch loop, after the starter of CS224N's assignment 5.

It is itself after minGPT: fp32, one example a row, each padded to the block; attention by a mask and a
softmax, dropout everywhere; AdamW with weight decay on matrices alone; gradients clipped at 1; the loss read
and the learning rate set at every step.
"""

import math
from collections.abc import Callable, Sequence
from random import Random

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from closedbook.data.objectives.span_corruption import span_corruption
from closedbook.modeling.tokenization_char import PAD_CHARACTER, build_char_tokenizer
from closedbook.training.hardware import device, now

VOCABULARY = 256  # of wiki.txt; other corpora have fewer characters, and get the same model all the same
BLOCK, WIDTH, LAYERS, HEADS, DROPOUT = 128, 256, 4, 8, 0.1  # the starter's
LEARNING_RATE, WARMUP_TOKENS = 6e-3, 10_240


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
    records: Sequence[dict],
    alphabet: Sequence[str],
    *,
    batch_size: int,
    warmup_steps: int,
    steps: int,
    workers: int = 0,
    clock: Callable[[], float] = now,
) -> tuple[float, int]:
    """Characters a second of the peer's loop, and its model's number of parameters.

    Args:
        records: documents, under `text`.
        alphabet: all characters that they are written in.
        batch_size: documents a step.
        warmup_steps: first steps, not counted.
        steps: counted ones.
        workers: that corrupt documents.
        clock: read right before the first counted step and right after the last one.
    """
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
            batch_size=batch_size,
            shuffle=True,
            num_workers=workers,
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
            if step == warmup_steps:
                start, tokens_before = clock(), tokens
            elif step == warmup_steps + steps:
                speed = (tokens - tokens_before) / (clock() - start)
                return speed, sum(parameter.numel() for parameter in model.parameters())


def _decay(tokens: int, final_tokens: int) -> float:
    """Linear warm-up, then a cosine down to a tenth, counted in tokens."""
    if tokens < WARMUP_TOKENS:
        return tokens / WARMUP_TOKENS
    progress = (tokens - WARMUP_TOKENS) / max(1, final_tokens - WARMUP_TOKENS)
    return max(0.1, 0.5 * (1 + math.cos(math.pi * progress)))
