"""Memorised or extractable: does a model finish the sentence it read, and does it answer the question about it?

The two come apart (Allen-Zhu & Li, Physics of Language Models, part 3.1, arXiv:2309.14316): a model may write
every training text on word for word and still be unable to answer, however it is fine-tuned.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from closedbook.evaluation.statistics.intervals import wilson_interval


@dataclass(frozen=True)
class StatedFact:
    """A fact at its place in the first text that leads from the name to it.

    Attributes:
        entity: whom it is about.
        attribute: which fact.
        value: its value.
        prompt: the training text up to the value.
        continuation: the value and the character after it, which says that the value ends there.
    """

    entity: str
    attribute: str
    value: str
    prompt: str
    continuation: str


def find_stated_facts(documents: Iterable[dict[str, str]], facts: dict[str, dict[str, str]]) -> list[StatedFact]:
    """Where each fact is first stated behind the name, in the order of `facts`.

    Texts with the value before the name are passed over: what leads to it there says nothing about whom.

    Args:
        documents: records with `title` (the entity) and `text`.
        facts: entity -> attribute -> value.

    Raises:
        ValueError: if no text states a fact behind the name, or one states it twice or at its very end.
    """
    texts: dict[str, list[str]] = {}
    for document in documents:
        texts.setdefault(document["title"], []).append(document["text"])
    return [
        _find(entity, attribute, value, texts.get(entity, []))
        for entity, known in facts.items()
        for attribute, value in known.items()
    ]


def _find(entity: str, attribute: str, value: str, texts: Sequence[str]) -> StatedFact:
    pattern = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
    for text in texts:
        places = list(pattern.finditer(text))
        if len(places) > 1 or (places and places[0].end() == len(text)):
            raise ValueError(f"{value!r}, the {attribute} of {entity}, cannot be asked for by completing {text!r}")
        if places and entity in text[: places[0].start()]:
            start, end = places[0].span()
            return StatedFact(entity, attribute, value, text[:start], text[start : end + 1])
    raise ValueError(f"no text about {entity} states the {attribute} {value!r} behind the name")


def two_by_two(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count facts by whether they are `memorised` and whether they are `answered`.

    Args:
        rows: those two truth values, of `n` facts alike (1 where there is no `n`).

    Returns:
        `n`, the four counts `both`, `memorised_only`, `answered_only`, `neither`, and for `memorised`, `answered`
        and `answered_if_memorised` a dict of `correct`, `n`, `accuracy` and 95% Wilson `interval`.
    """
    counts: Counter[tuple[bool, bool]] = Counter()
    for row in rows:
        counts[bool(row["memorised"]), bool(row["answered"])] += row.get("n", 1)
    both, memorised_only = counts[True, True], counts[True, False]
    answered_only, neither = counts[False, True], counts[False, False]
    return {
        "n": counts.total(),
        "both": both,
        "memorised_only": memorised_only,
        "answered_only": answered_only,
        "neither": neither,
        "memorised": share(both + memorised_only, counts.total()),
        "answered": share(both + answered_only, counts.total()),
        "answered_if_memorised": share(both, both + memorised_only),
    }


def share(correct: int, n: int) -> dict[str, Any]:
    """A proportion with its 95% Wilson interval; None where there is nothing to count."""
    if not n:
        return {"correct": 0, "n": 0, "accuracy": None, "interval": None}
    return {"correct": correct, "n": n, "accuracy": correct / n, "interval": list(wilson_interval(correct, n))}
