"""Other text, read again while a model learns: against forgetting (Ibrahim et al. 2024; Scialom et al. 2022)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from closedbook.data.mixture import Component
from closedbook.training.arguments import CorpusArguments, PopulationArguments, ReplayArguments
from closedbook.training.documents import Corpus, read_corpus

REPLAY = "replay"


def check_replay(args: ReplayArguments) -> None:
    """Refuse a share that is none, a share of nothing, or a text of which nothing is read.

    Raises:
        ValueError: naming the flag.
    """
    if not 0 <= args.replay < 1:
        raise ValueError(f"--replay must be a share from 0 to below 1, got {args.replay}")
    if args.replay and args.replay_path is None:
        raise ValueError("--replay needs --replay_path: the text that the model should go on knowing")
    if args.replay_path is not None and not args.replay:
        raise ValueError("--replay_path has no effect: it needs --replay, the share of it")


def read_replay(args: ReplayArguments) -> Corpus | None:
    """The other text; None without it."""
    if not args.replay:
        return None
    return read_corpus(CorpusArguments(corpus="text", corpus_path=args.replay_path), PopulationArguments())


def replayed(args: ReplayArguments, other: Corpus | None, components: Sequence[Component]) -> list[Component]:
    """The components, and the other text with its share of the predicted tokens in each part of the run.

    Shares of objectives are relative, so the weight of the replay follows from that of the components that are
    active together; where this changes in the course of the run, the replay has a component for every part.
    """
    if other is None:
        return list(components)
    records = other.records()
    borders = sorted({0.0, 1.0} | {edge for part in components for edge in (part.begin, part.end)})
    parts: list[Component] = []
    for begin, end in pairwise(borders):
        weight = sum(part.weight for part in components if part.begin <= begin and end <= part.end)
        weight *= args.replay / (1 - args.replay)
        if parts and parts[-1].weight == weight and parts[-1].end == begin:
            parts[-1] = replace(parts[-1], end=end)
        else:
            parts.append(Component(REPLAY, records, "left_to_right", weight, begin, end))
    return [*components, *parts]
