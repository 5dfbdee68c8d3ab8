"""What an objective makes of a record, before it is tokenized."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One unpacked training example.

    Attributes:
        text: the characters the model reads, at most `block_size` of them.
        loss_start: index of the first character that is to be predicted; the ones before it are only read.
        position_start: position of the first character, so that a text need not always begin at position 0.
    """

    text: str
    loss_start: int
    position_start: int = 0

    def __len__(self) -> int:
        return len(self.text)
