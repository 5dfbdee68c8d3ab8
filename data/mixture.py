"""A stream of examples in which example i depends on (seed, i) alone.

Data workers, processes and resumed runs therefore agree by construction, whoever computes which example, and
no corruption is ever repeated: a record that comes up again comes up at another index. Where records are streamed,
example i depends on the first records of the stream, too, as many as it takes.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

import numpy as np
import torch

from closedbook.data.objectives.example import Example
from closedbook.data.objectives.table import IN_COMPANY, OBJECTIVES
from closedbook.data.questions import entity_key
from closedbook.data.tables.order import Order
from closedbook.data.tables.stream import STRETCH, Stream
from closedbook.data.writing.token_writer import TokenExample, TokenWriter

MIXTURE_BLOCK = 1000  # examples; within each block the components have exactly their shares
SAMPLED = 200  # examples of each component, from which its loss an example, in tokens, is estimated
KEPT = 16  # orders held in memory; they are recomputed at need
# Records from which on an order is a function; below, it is an array, as it is in published runs.
ORDERED_BY_FUNCTION = 1 << 20


@dataclass(frozen=True)
class Component:
    """One part of a mixture.

    Attributes:
        name: for messages.
        records: any sequence of dicts, such as `data.tables.records.Records`, or a stream of them.
        objective: a key of `OBJECTIVES`.
        weight: share of the tokens (characters) that are to be predicted, relative to the other components that
            are active at the same time. Not of the examples: windows with a loss on every character would drown
            short answers.
        begin, end: the part of the run in which the component is active, as shares of its examples in [0, 1].
    """

    name: str
    records: Sequence[dict] | Stream
    objective: str
    weight: float = 1.0
    begin: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class _Phase:
    """A stretch of examples with the same active components.

    Attributes:
        start: its first example.
        quotas: of each component in a block of examples; 0 for those that are not active.
        served: examples of each component before this phase.
    """

    start: int
    quotas: np.ndarray
    served: np.ndarray


class Mixture(torch.utils.data.Dataset):
    """`num_examples` examples drawn from weighted components, each an `Example`, or a `TokenExample` by a writer.

    Every component is walked through in passes. Each pass visits every record once, in an order of its own,
    so that records are seen equally often, as with epochs; the corruption is drawn anew each time. A stream is
    walked through in its own order, shuffled within stretches of 4,096 records.

    Args:
        components: at least one.
        seed: another seed gives other orders and other corruptions.
        block_size: longest example, in tokens; without a writer, in characters.
        num_examples: length of the stream, all processes and steps together.
        shift_positions: let every example begin at a random one of the positions from which it still fits the
            block, so that what is learned at one place is known at all of them. For learned positions; models
            that read positions relative to each other need none.
        writer: makes tokens of the examples, for tokenizers of more than characters.

    Raises:
        ValueError: for no components, an empty component, an unknown objective (the message lists the known
            ones), a weight or length that is not positive, or a part of the run that no component is active in.
    """

    def __init__(
        self,
        components: Sequence[Component],
        seed: int,
        block_size: int,
        num_examples: int,
        shift_positions: bool = False,
        writer: TokenWriter | None = None,
    ):
        if not components:
            raise ValueError("a mixture needs at least one component")
        for component in components:
            _check(component)
        if num_examples < 1:
            raise ValueError(f"num_examples must be at least 1, got {num_examples}")
        self.components = list(components)
        self.seed = seed
        self.block_size = block_size
        self.num_examples = num_examples
        self.shift_positions = shift_positions
        self.writer = writer
        self._blocks: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self._orders: dict[tuple[int, int], np.ndarray | Order] = {}
        self._phases = self._plan()
        self._phase_starts = [phase.start for phase in self._phases]

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> Example | TokenExample:
        if not 0 <= index < self.num_examples:
            raise IndexError(f"example {index} of a mixture of {self.num_examples}")
        number, record = self._component_and_record(index)
        objective, random = self.components[number].objective, Random(f"{self.seed}/{index}")
        example: Example | TokenExample
        if self.writer is None:
            example = OBJECTIVES[objective](record, random, self.block_size)
        else:
            example = self.writer.make(objective, record, f"{self.seed}/{index}", self.block_size)
        if self.shift_positions:
            start = random.randint(0, max(0, self.block_size - len(example)))
            example = replace(example, position_start=start)
        return example

    def record(self, index: int) -> dict:
        """The record that example `index` is made of."""
        return self._component_and_record(index)[1]

    def _component_and_record(self, index: int) -> tuple[int, dict]:
        number, visit = self._component_and_visit(index)
        component = self.components[number]
        records: Sequence[dict]
        if isinstance(component.records, Stream):
            turn, place = divmod(visit, STRETCH)
            records = component.records.stretch(turn)
        else:
            turn, place = divmod(visit, len(component.records))
            records = component.records
        order = self._order(number, turn)
        record = records[int(order[place])]
        if component.objective in IN_COMPANY:  # of the one whose turn is next, which is another one each time
            record = _in_company(record, records[int(order[(place + 1) % len(records)])])
        return number, record

    def bookmarks(self, index: int) -> list[dict | None]:
        """For each component, from where its stream is read by examples from `index` on; None for a table."""
        if index >= self.num_examples:
            return [None] * len(self.components)
        found: list[dict | None] = []
        for number, component in enumerate(self.components):
            if isinstance(component.records, Stream):
                found.append(component.records.bookmark(self._visits_before(number, index) // STRETCH))
            else:
                found.append(None)
        return found

    def go_on(self, bookmarks: Sequence[dict | None]) -> None:
        """Open streams where `bookmarks` said that they are to be read from."""
        for component, bookmark in zip(self.components, bookmarks, strict=True):
            if isinstance(component.records, Stream) and bookmark is not None:
                component.records.go_on(bookmark)

    def _plan(self) -> list[_Phase]:
        """The phases of the run, from the parts of it in which components are active."""
        shares = np.array([component.weight for component in self.components], dtype=np.float64)
        if len(self.components) > 1:
            shares /= [_mean_loss(component, self.block_size, self.writer) for component in self.components]
        borders = {0.0, 1.0} | {edge for c in self.components for edge in (c.begin, c.end)}
        phases: list[_Phase] = []
        served = np.zeros(len(self.components), dtype=np.int64)
        for begin, end in pairwise(sorted(borders)):
            active = np.array([c.begin <= begin and end <= c.end for c in self.components])
            if not active.any():
                raise ValueError(f"no component is active between {begin} and {end} of the run")
            start, stop = round(begin * self.num_examples), round(end * self.num_examples)
            if start == stop:
                continue
            phase = _Phase(start, _quotas(np.where(active, shares, 0.0)), served)
            phases.append(phase)
            blocks, rest = divmod(stop - start, MIXTURE_BLOCK)
            order, _ = self._block(len(phases) - 1, blocks, phase)
            served = served + blocks * phase.quotas + np.bincount(order[:rest], minlength=len(served))
        return phases

    def _component_and_visit(self, index: int) -> tuple[int, int]:
        """Which component serves example `index`, and how many examples it has served before."""
        if len(self.components) == 1:
            return 0, index
        number = bisect_right(self._phase_starts, index) - 1
        phase = self._phases[number]
        block, place = divmod(index - phase.start, MIXTURE_BLOCK)
        order, counts = self._block(number, block, phase)
        component = int(order[place])
        return component, int(phase.served[component] + block * phase.quotas[component] + counts[place])

    def _visits_before(self, component: int, index: int) -> int:
        """How many of the examples before `index` component number `component` serves."""
        if len(self.components) == 1:
            return index
        number = bisect_right(self._phase_starts, index) - 1
        phase = self._phases[number]
        block, place = divmod(index - phase.start, MIXTURE_BLOCK)
        order, _ = self._block(number, block, phase)
        before = int(np.count_nonzero(order[:place] == component))
        return int(phase.served[component] + block * phase.quotas[component]) + before

    def _block(self, number: int, block: int, phase: _Phase) -> tuple[np.ndarray, np.ndarray]:
        """Block `block` of a phase: the component at each place, and how often it stood before in the block."""
        key = (number, block)
        if key not in self._blocks:
            if len(self._blocks) >= KEPT:
                self._blocks.clear()
            generator = np.random.default_rng([self.seed, number, block])
            order = generator.permutation(np.repeat(np.arange(len(phase.quotas)), phase.quotas))
            counts = np.empty_like(order)
            for component, quota in enumerate(phase.quotas):
                counts[order == component] = np.arange(quota)
            self._blocks[key] = order, counts
        return self._blocks[key]

    def _order(self, number: int, turn: int) -> np.ndarray | Order:
        """The order in which component `number` visits its records in pass, or stretch, `turn`."""
        key = (number, turn)
        if key not in self._orders:
            if len(self._orders) >= KEPT:
                self._orders.clear()
            records = self.components[number].records
            size = STRETCH if isinstance(records, Stream) else len(records)
            if size < ORDERED_BY_FUNCTION:
                self._orders[key] = np.random.default_rng([self.seed, number, turn]).permutation(size)
            else:
                self._orders[key] = Order(size, self.seed, number, turn)
        return self._orders[key]


def _check(component: Component) -> None:
    """Raises `ValueError` for a component that cannot be part of a mixture."""
    name = component.name
    if component.objective not in OBJECTIVES:
        raise ValueError(
            f"unknown objective {component.objective!r} of component {name!r}; known: {', '.join(OBJECTIVES)}"
        )
    if not isinstance(component.records, Stream) and not len(component.records):
        raise ValueError(f"component {name!r} has no records")
    if not 0 < component.weight < float("inf"):
        raise ValueError(f"component {name!r} has weight {component.weight}, need a finite one above 0")
    if not 0 <= component.begin < component.end <= 1:
        raise ValueError(
            f"component {name!r} is active from {component.begin} to {component.end} of the run; "
            "need 0 <= begin < end <= 1"
        )


def _in_company(record: dict, other: dict) -> dict:
    """A record with the text of another one; alone where that is about the same."""
    is_same = entity_key(other["title"]) == entity_key(record["title"])
    return dict(record) if is_same else dict(record) | {"company": other["text"]}


def _mean_loss(component: Component, block_size: int, writer: TokenWriter | None) -> float:
    """Mean tokens to be predicted in an example, from a fixed draw that is the same for every seed."""
    records = component.records.first() if isinstance(component.records, Stream) else component.records
    count = min(SAMPLED, len(records))
    random = Random(0)
    total = 0
    for place in np.linspace(0, len(records) - 1, count).astype(int):
        record = records[int(place)]
        if component.objective in IN_COMPANY:
            record = _in_company(record, records[(int(place) + 1) % len(records)])
        example: Example | TokenExample
        if writer is None:
            example = OBJECTIVES[component.objective](record, random, block_size)
        else:
            example = writer.make(component.objective, record, str(random.random()), block_size)
        total += len(example) - max(1, example.loss_start)
    return max(total, 1) / count


def _quotas(shares: np.ndarray) -> np.ndarray:
    """Examples of each component in a block, by largest remainders; at least one where the share is above 0."""
    exact = shares / shares.sum() * MIXTURE_BLOCK
    quotas = np.maximum(shares > 0, np.floor(exact)).astype(int)
    for number in np.argsort(quotas - exact, kind="stable")[: max(0, MIXTURE_BLOCK - int(quotas.sum()))]:
        quotas[number] += 1
    quotas[int(np.argmax(quotas))] += MIXTURE_BLOCK - int(quotas.sum())
    return quotas
