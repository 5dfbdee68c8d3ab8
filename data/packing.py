"""Packing: many short examples into few full rows, without letting them read each other.

A padded batch of the reference task is half padding. Packed rows carry `position_ids` that restart at every
example; the models keep such examples apart (see `modeling/positions.py`), so a packed batch gives each
example the logits it would have alone, at about half the cost.
"""

from collections.abc import Mapping, Sequence

import torch

from closedbook.data.objectives.example import Example
from closedbook.data.writing.token_writer import TokenExample
from closedbook.modeling.tokenization_char import describe_unknown

IGNORED = -100  # transformers' label for "nothing to predict here"


class PackingCollator:
    """Turn examples into packed rows.

    Args:
        vocabulary: character -> id; of examples that are tokens already, nothing is looked up.
        row_length: tokens a row. Longer rows waste less and cost more in attention, which is quadratic in
            them; 256 is a good middle for examples of up to 128.
        pad_token_id: fills what is left of a row.

    Returns, when called with a list of examples, a dict of `(rows, row_length)` tensors: `input_ids`,
    `labels`, `position_ids`. The padding of a row is an example of its own (of several, where it is longer
    than every example), so that nothing reads it, and it has no label. `rows` follows from the examples.

    Raises:
        ValueError: for an example longer than a row, or a character outside the vocabulary (named).
    """

    def __init__(self, vocabulary: Mapping[str, int], row_length: int = 256, pad_token_id: int = 0):
        self.vocabulary = dict(vocabulary)
        self.row_length = row_length
        self.pad_token_id = pad_token_id

    def __call__(self, examples: Sequence[Example | TokenExample]) -> dict[str, torch.Tensor]:
        rows = pack([len(example) for example in examples], self.row_length)
        shape = (len(rows), self.row_length)
        input_ids = torch.full(shape, self.pad_token_id, dtype=torch.long)
        labels = torch.full(shape, IGNORED, dtype=torch.long)
        # padding counts like one more example: were every padding token an example, each would cost a model that
        # works in blocks or latents a whole block, or a latent
        longest = max((1, *map(len, examples)))
        position_ids = torch.empty(shape, dtype=torch.long)
        for row, members in enumerate(rows):
            offset = 0
            # Positions that go on would make one example of two. They cannot where starts do not rise.
            for member in sorted(members, key=lambda member: -examples[member].position_start):
                example = examples[member]
                ids = torch.tensor(self._encode(example), dtype=torch.long)
                end = offset + len(ids)
                input_ids[row, offset:end] = ids
                position_ids[row, offset:end] = torch.arange(len(ids)) + example.position_start
                # the first token has nothing before it to be predicted from
                first = max(1, example.loss_start)
                labels[row, offset + first : end] = ids[first:]
                offset = end
            position_ids[row, offset:] = torch.arange(self.row_length - offset) % longest
        return {"input_ids": input_ids, "labels": labels, "position_ids": position_ids}

    def _encode(self, example: Example | TokenExample) -> Sequence[int]:
        if isinstance(example, TokenExample):
            return example.ids
        try:
            return [self.vocabulary[character] for character in example.text]
        except KeyError:
            unknown = sorted(set(example.text) - self.vocabulary.keys())
            raise ValueError(describe_unknown(unknown, example.text)) from None


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
