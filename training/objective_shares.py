"""Objectives and their shares as a recipe writes them: `span_corruption=3 question_answering=1@0.7`."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectiveShare:
    """`weight` of the predicted characters while active, which is from `begin` to `end` of the run (in [0, 1])."""

    objective: str
    weight: float
    begin: float
    end: float


def parse_objectives(objectives: list[str]) -> list[ObjectiveShare]:
    """`["span_corruption=3", "left_to_right=1@0.7", "entity_list=1@0-0.5"]` -> what they say.

    A weight is relative to those of the other objectives that are active at the same time, and 1 where none is
    given. `@0.7` is active from 70% of the run on, `@0-0.5` in its first half.

    Raises:
        ValueError: for no objectives, a weight that is no positive number, or a part that is none of the run.
    """
    if not objectives:
        raise ValueError("no objectives are given: name at least one, such as span_corruption")
    return [_parse(item) for item in objectives]


def _parse(item: str) -> ObjectiveShare:
    rule, _, part = item.partition("@")
    name, _, weight = rule.partition("=")
    share = _number(weight or "1")
    if not 0 < share < math.inf:
        raise ValueError(f"objective {item!r}: {weight!r} is not a positive number")
    begin, _, end = part.partition("-")
    first, last = _number(begin or "0"), _number(end or "1")
    if not 0 <= first < last <= 1:
        raise ValueError(f"objective {item!r}: {part!r} is no part of the run, such as @0.7 or @0-0.5")
    return ObjectiveShare(name, share, first, last)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
