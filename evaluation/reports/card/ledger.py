"""What a model card says of the facts of the documents: a sentence for each verdict, and what was forgotten."""

from collections.abc import Mapping
from typing import Any

from closedbook.evaluation.ledger.summary import notes
from closedbook.evaluation.reports.card.text import cell
from closedbook.evaluation.reports.parts import between


def ledger_lines(ledger: Mapping[str, Any] | None) -> list[str]:
    """Sentences for the card's results; none without what ledger.py wrote."""
    if ledger is None:
        return []
    told = "; ".join(
        f"{verdict.replace('_', ' ')} {entry['count']:,}"
        + (f" ({entry['share']:.1%}, 95% interval {between(entry['interval'])})" if entry["n"] else "")
        for verdict, entry in ledger["verdicts"].items()
    )
    return [
        f"Facts of its documents, one by one ({ledger['asked']:,} that can be asked): {cell(told)}.",
        *(cell(sentence) for sentence in notes(ledger)),
    ]
