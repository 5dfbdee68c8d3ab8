"""How well each confidence tells strangers from people who were read about, by kind of stranger."""

from collections.abc import Mapping, Sequence
from typing import Any

from closedbook.evaluation.knowing.provenance import is_declined, share
from closedbook.evaluation.predictions import confidence_of
from closedbook.evaluation.statistics.ranking import area_under_roc

RECOMBINED = "recombined"  # the kind of the group `invented`
_BELOW = -1.0  # a refusal ranks below every answer


def kind_of(row: Mapping[str, Any]) -> str:
    """The kind of a stranger; of rows without one, recombined names."""
    return row.get("kind", RECOMBINED)


def ranked(row: Mapping[str, Any], confidence: str) -> float:
    """The confidence by which an answer is ranked."""
    return _BELOW if row.get("refused") else confidence_of(row, confidence)


def summarise_strangers(
    known: Sequence[Mapping[str, Any]],
    strangers: Sequence[Mapping[str, Any]],
    threshold: float | None,
    confidence: str,
) -> dict[str, dict[str, Any]]:
    """What becomes of strangers of each kind.

    Args:
        known: rows about people who were read about: those asked.
        strangers: rows about those who were not, of all kinds.
        threshold: of abstention; None: nobody is answered.
        confidence: which one it is about.

    Returns:
        By kind: `n`, `answered` (not refused by the model itself), `answered_after_abstention` (each as `share`),
        and `auroc`: by confidence, how well it ranks the known above these.
    """
    names = list(known[0]["confidences"]) if known else []
    found = {}
    for kind in dict.fromkeys(map(kind_of, strangers)):
        rows = [row for row in strangers if kind_of(row) == kind]
        found[kind] = {
            "n": len(rows),
            "answered": share(sum(not is_declined(row) for row in rows), len(rows)),
            "answered_after_abstention": share(
                sum(not is_declined(row, threshold, confidence) for row in rows), len(rows)
            ),
            "auroc": {
                name: area_under_roc([ranked(row, name) for row in known], [ranked(row, name) for row in rows])
                for name in names
            },
        }
    return found
