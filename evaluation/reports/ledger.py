"""The part of a page that goes through the facts of the documents: verdicts, before against after, forgotten."""

from closedbook.evaluation.ledger.summary import MEASURES, notes
from closedbook.evaluation.ledger.verdicts import VERDICTS
from closedbook.evaluation.reports.parts import Part, between, missing, percent, table, text
from closedbook.evaluation.reports.run import RunFiles
from closedbook.evaluation.statistics.paired import p_value_text


def ledger_parts(files: RunFiles) -> list[Part]:
    """Tables of ledger.json, and what a reader has to know beside them."""
    ledger = files.ledger
    if ledger is None:
        words = "Nobody has gone through the facts of its documents."
        return [missing(words, "python", "scripts/ledger.py", "--model", files.folder)]
    rows = [
        [
            f"{verdict.replace('_', ' ')}: {VERDICTS[verdict]}",
            f"{entry['count']:,}",
            percent(entry["share"]),
            between(entry["interval"]),
        ]
        for verdict, entry in ledger["verdicts"].items()
    ]
    parts = [
        text(
            f"{ledger['facts']:,} facts of {ledger['documents']:,} documents; {ledger['asked']:,} could be asked."
        ),
        table(("verdict", "facts", "share", "95% interval"), rows),
    ]
    if ledger["paired"]:
        compared = [
            [
                MEASURES[name],
                f"{entry['n']:,}",
                percent(entry["before"]),
                percent(entry["after"]),
                f"{entry['gained']:,}",
                f"{entry['lost']:,}",
                p_value_text(entry["p_holm"]),
            ]
            for name, entry in ledger["paired"].items()
        ]
        columns = ("what the model does", "asked", "before", "after", "gained", "lost", "p (McNemar, Holm)")
        parts.append(table(columns, compared))
    return [*parts, *(text(sentence) for sentence in notes(ledger))]
