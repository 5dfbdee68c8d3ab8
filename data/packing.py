"""Packing: many short examples into few full rows, without letting them read each other.

A padded batch of the reference task is half padding. Packed rows carry `position_ids` that restart at every
example; the models keep such examples apart (see `modeling/positions.py`), so a packed batch gives each
example the logits it would have alone, at about half the cost.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import torch

from closedbook.data.objectives.example import Example
from closedbook.data.writing.token_writer import TokenExample
from closedbook.modeling.positions import example_indices
from closedbook.modeling.tokenization_char import describe_unknown

IGNORED = -100  # transformers' label for "nothing to predict here"
# What keeps the examples of a batch apart, cheapest first; which of them a model needs is measured on it
# (`evaluation/answering/packing_isolation.py`).
Isolation = Literal["positions", "mask", "alone"]
TRIMMED_TO = 8  # tokens: what matrix products of all devices like
ISOLATIONS: tuple[Isolation, ...] = get_args(Isolation)


class PackingCollator:
    """Turn examples into packed rows.

    Args:
        vocabulary: character -> id; of examples that are tokens already, nothing is looked up.
        row_length: tokens a row. Longer rows waste less and cost more in attention, which is quadratic in
            them; 256 is a good middle for examples of up to 128.
        pad_token_id: fills what is left of a row.
        isolation: what keeps examples apart, see `isolate`. For `alone` every example has a row of its own, as
            long as the longest of the batch.
        dtype: of the model, for `mask`.
        trim: leave out padding that all rows of a batch have in common, to a multiple of 8. For models that work
            on rows of any length; most of the time of a large one on a few short examples is saved by it.

    Returns, when called with a list of examples, a dict of `(rows, row_length)` tensors: `input_ids`,
    `labels`, `position_ids`. The padding of a row is an example of its own (of several, where it is longer
    than every example), so that nothing reads it, and it has no label. `rows` follows from the examples.

    Raises:
        ValueError: for an example longer than a row, or a character outside the vocabulary (named); for one that
            begins at a later position, where positions are not given (`alone`).
    """

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        row_length: int = 256,
        pad_token_id: int = 0,
        isolation: Isolation = "positions",
        dtype: torch.dtype = torch.float32,
        trim: bool = False,
    ):
        self.vocabulary = dict(vocabulary)
        self.row_length = row_length
        self.pad_token_id = pad_token_id
        self.isolation: Isolation = isolation
        self.dtype = dtype
        self.trim = trim

    def __call__(self, examples: Sequence[Example | TokenExample]) -> dict[str, torch.Tensor]:
        rows = pack([len(example) for example in examples], self.row_length)
        if self.isolation == "alone":
            rows = [[member] for member in range(len(examples))]
        row_length = self.row_length
        if self.trim:
            used = max((1, *(sum(len(examples[member]) for member in members) for members in rows)))
            row_length = min(row_length, -(-used // TRIMMED_TO) * TRIMMED_TO)
        shape = (len(rows), row_length)
        # filled as arrays: a slice of a tensor costs several times as much
        input_ids = np.full(shape, self.pad_token_id, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        # padding counts like one more example: were every padding token an example, each would cost a model that
        # works in blocks or latents a whole block, or a latent
        longest = max((1, *map(len, examples)))
        position_ids = np.empty(shape, dtype=np.int64)
        for row, members in enumerate(rows):
            offset = 0
            # Positions that go on would make one example of two. They cannot where starts do not rise.
            for member in sorted(members, key=lambda member: -examples[member].position_start):
                example = examples[member]
                ids = np.array(self._encode(example), dtype=np.int64)
                end = offset + len(ids)
                input_ids[row, offset:end] = ids
                position_ids[row, offset:end] = np.arange(len(ids)) + example.position_start
                # the first token has nothing before it to be predicted from
                first = max(1, example.loss_start)
                labels[row, offset + first : end] = ids[first:]
                offset = end
            position_ids[row, offset:] = np.arange(row_length - offset) % longest
        filled = {"input_ids": input_ids, "labels": labels, "position_ids": position_ids}
        batch = {name: torch.from_numpy(array) for name, array in filled.items()}
        if self.isolation == "alone":
            if any(example.position_start for example in examples):
                raise ValueError(
                    "examples are to begin at random positions, but this model is told of none, with one example "
                    "a row: leave out --shift_positions"
                )
            batch = {name: tensor[:, :longest] for name, tensor in batch.items()}
        return isolate(batch, self.isolation, self.dtype)

    def _encode(self, example: Example | TokenExample) -> Sequence[int]:
        if isinstance(example, TokenExample):
            return example.ids
        try:
            return [self.vocabulary[character] for character in example.text]
        except KeyError:
            unknown = sorted(set(example.text) - self.vocabulary.keys())
            raise ValueError(describe_unknown(unknown, example.text)) from None


def isolate(
    batch: dict[str, torch.Tensor], isolation: Isolation, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """The batch with what keeps its examples apart for a model that needs this isolation.

    Args:
        batch: tensors `(rows, row_length)`, among them `position_ids` that restart at every example and padding.
        isolation: `positions` leaves the batch as it is. `mask` adds an `attention_mask` of
            `(rows, 1, row_length, row_length)`: 0 where a token may read another, and the lowest number of `dtype`
            elsewhere. (It is added to scores by every attention of the library; True and False are not, some add
            1 and 0.) `alone`, for rows of one example, has `(rows, row_length)` ones over the example and zeros
            over its padding instead of positions: counted from 0, they are what a model assumes.
        dtype: of the model, whose fused attention takes no other.
    """
    if isolation == "positions":
        return batch
    example = example_indices(batch["position_ids"])
    if isolation == "alone":
        kept = {name: tensor for name, tensor in batch.items() if name != "position_ids"}
        return kept | {"attention_mask": (example == 0).long()}
    row_length = example.shape[1]
    reads = (example[:, :, None] == example[:, None, :]) & torch.ones(
        row_length, row_length, dtype=torch.bool
    ).tril()
    mask = torch.zeros(reads.shape, dtype=dtype).masked_fill_(~reads, torch.finfo(dtype).min)
    return batch | {"attention_mask": mask[:, None]}


def pack(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Assign examples to rows, longest first, each to the fullest row that still has room.

    Best-fit decreasing: at most 11/9 of the optimal number of rows (Johnson 1974), in practice within a row.

    Returns:
        for each row the indices of its examples.

    Raises:
        ValueError: for an example longer than a row.
    """
    rows: list[list[int]] = []
    by_room: dict[int, list[int]] = {}
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if length > row_length:
            raise ValueError(f"an example of {length} tokens does not fit into a row of {row_length}")
        room = min((room for room in by_room if room >= length), default=None)
        if room is None:
            rows.append([])
            row, room = len(rows) - 1, row_length
        else:
            row = by_room[room].pop()
            if not by_room[room]:
                del by_room[room]
        rows[row].append(index)
        by_room.setdefault(room - length, []).append(row)
    return rows
