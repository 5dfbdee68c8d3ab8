"""A stream of examples in which example i depends on (seed, i) alone.

Data workers, processes and resumed runs therefore agree by construction, whoever computes which example, and
no corruption is ever repeated: a record that comes up again comes up at another index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch

from .objectives import OBJECTIVES, Example

MIXTURE_BLOCK = 1000  # examples; within each block the components have exactly their shares
KEPT = 16  # orders held in memory; they are recomputed at need


@dataclass(frozen=True)
class Component:
    """One part of a mixture.

    Attributes:
        name: for messages.
        records: any sequence of dicts, such as a `datasets.Dataset`.
        objective: a key of `OBJECTIVES`.
        weight: share of the examples, relative to the other components, to a thousandth.
    """

    name: str
    records: Sequence[dict]
    objective: str
    weight: float = 1.0


class Mixture(torch.utils.data.Dataset):
    """`num_examples` examples drawn from weighted components, each an `Example`.

    Every component is walked through in passes. Each pass visits every record once, in an order of its own,
    so that records are seen equally often, as with epochs; the corruption is drawn anew each time.

    Args:
        components: at least one.
        seed: another seed gives other orders and other corruptions.
        block_size: longest example, in characters.
        num_examples: length of the stream, all processes and steps together.

    Raises:
        ValueError: for no components, an empty component, an unknown objective (the message lists the known
            ones), or a weight or length that is not positive.
    """

    def __init__(self, components: Sequence[Component], seed: int, block_size: int, num_examples: int):
        if not components:
            raise ValueError("a mixture needs at least one component")
        for component in components:
            if component.objective not in OBJECTIVES:
                raise ValueError(
                    f"unknown objective {component.objective!r} of component {component.name!r}; "
                    f"known: {', '.join(OBJECTIVES)}"
                )
            if not len(component.records):
                raise ValueError(f"component {component.name!r} has no records")
            if component.weight <= 0:
                raise ValueError(f"component {component.name!r} has weight {component.weight}, need > 0")
        if num_examples < 1:
            raise ValueError(f"num_examples must be at least 1, got {num_examples}")
        self.components = list(components)
        self.seed = seed
        self.block_size = block_size
        self.num_examples = num_examples
        self._quotas = _quotas([component.weight for component in components])
        self._orders: dict[tuple[int, int], np.ndarray] = {}
        self._blocks: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < self.num_examples:
            raise IndexError(f"example {index} of a mixture of {self.num_examples}")
        number, visit = self._component_and_visit(index)
        component = self.components[number]
        turn, place = divmod(visit, len(component.records))
        record = component.records[int(self._order(number, turn)[place])]
        random = Random(f"{self.seed}/{index}")
        return OBJECTIVES[component.objective](record, random, self.block_size)

    def _component_and_visit(self, index: int) -> tuple[int, int]:
        """Which component serves example `index`, and how many examples it has served before."""
        if len(self.components) == 1:
            return 0, index
        block, place = divmod(index, MIXTURE_BLOCK)
        order, counts = self._block(block)
        number = int(order[place])
        return number, block * self._quotas[number] + int(counts[place])

    def _block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Block `block`: the component at each place, and how often it has stood before in this block."""
        if block not in self._blocks:
            if len(self._blocks) >= KEPT:
                self._blocks.clear()
            generator = np.random.default_rng([self.seed, block])
            order = generator.permutation(np.repeat(np.arange(len(self.components)), self._quotas))
            counts = np.empty_like(order)
            for number in range(len(self.components)):
                counts[order == number] = np.arange(self._quotas[number])
            self._blocks[block] = order, counts
        return self._blocks[block]

    def _order(self, number: int, turn: int) -> np.ndarray:
        """The order in which component `number` visits its records in pass `turn`."""
        key = (number, turn)
        if key not in self._orders:
            if len(self._orders) >= KEPT:
                self._orders.clear()
            generator = np.random.default_rng([self.seed, number, turn])
            self._orders[key] = generator.permutation(len(self.components[number].records))
        return self._orders[key]


def _quotas(weights: Sequence[float]) -> list[int]:
    """Examples of each component in a block, by largest remainders, at least one each."""
    exact = np.array(weights, dtype=np.float64) / sum(weights) * MIXTURE_BLOCK
    quotas = np.maximum(1, np.floor(exact)).astype(int)
    for number in np.argsort(quotas - exact, kind="stable")[: max(0, MIXTURE_BLOCK - int(quotas.sum()))]:
        quotas[number] += 1
    quotas[int(np.argmax(quotas))] += MIXTURE_BLOCK - int(quotas.sum())
    return quotas.tolist()
