"""What the rows of a ledger come to: shares with intervals, before against after, and what was forgotten."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from closedbook.evaluation.ledger.verdicts import VERDICTS, LedgerRow
from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.evaluation.statistics.paired import compare_paired, p_value_text
from closedbook.evaluation.statistics.prompt_luck import holm

LEARNABLE = [verdict for verdict in VERDICTS if verdict != "not_asked"]


def share(count: int, n: int) -> dict[str, Any]:
    """A count with its share and 95% interval (Wilson's); None for both of nothing."""
    return {
        "count": count,
        "n": n,
        "share": count / n if n else None,
        "interval": list(wilson_interval(count, n)) if n else None,
    }


def summarise_ledger(
    rows: Sequence[LedgerRow], control: Sequence[tuple[bool, bool]] | None = None
) -> dict[str, Any]:
    """The figures of a ledger, ready for JSON.

    Args:
        rows: one a fact.
        control: of each control question whether the base model and the model answer it; None without any.

    Returns:
        `facts`, `asked`, `unasked` (reason -> count), `verdicts` (share of the facts that were asked), `relations`
        (the same for each), `finished`, `answered`, `answered_in_every_wording`, `answered_backward`,
        `first_of_alternatives`, each a share; `guessed_by` (name -> count), `known_before` (a share, None without
        a base model), `paired` (what -> the comparison before and after, `p_holm` adjusted for their number) and
        `control`.
    """
    asked = [row for row in rows if row.verdict != "not_asked"]
    counts = Counter(row.verdict for row in asked)
    every = [row.after.right("forward") for row in asked]
    backward = [row.after.right("backward") for row in rows if row.after.right("backward")[1]]
    finishing = [row.after.finishes for row in rows if row.after.finishes is not None]
    ranked = [row.after.rank for row in asked if row.after.rank is not None and row.after.candidates > 1]
    known = [row.before.answers for row in asked if row.before is not None and row.before.answers is not None]
    relations = Counter(row.relation for row in asked)
    return {
        "facts": len(rows),
        "asked": len(asked),
        "unasked": dict(Counter(row.unasked for row in rows if row.verdict == "not_asked").most_common()),
        "verdicts": {verdict: share(counts[verdict], len(asked)) for verdict in LEARNABLE},
        "relations": {
            relation: {
                verdict: share(sum(row.verdict == verdict for row in asked if row.relation == relation), number)
                for verdict in LEARNABLE
            }
            for relation, number in sorted(relations.items(), key=lambda item: (-item[1], item[0]))
        },
        "finished": share(sum(finishing), len(finishing)),
        "answered": share(sum(bool(row.after.answers) for row in asked), len(asked)),
        "answered_in_every_wording": share(sum(right == n for right, n in every), len(asked)),
        "answered_backward": share(sum(right > 0 for right, _ in backward), len(backward)),
        "first_of_alternatives": share(sum(rank == 1 for rank in ranked), len(ranked)),
        "guessed_by": dict(Counter(name for row in asked for name in row.guessed_by).most_common()),
        "known_before": share(sum(known), len(known)) if known else None,
        "forgotten": share(sum(bool(row.forgotten) for row in asked), sum(known)) if known else None,
        "paired": paired_comparisons(rows, control),
        "control": summarise_control(control),
    }


def summarise_control(control: Sequence[tuple[bool, bool]] | None) -> dict[str, Any] | None:
    """Of the control questions that the base model answers, how many the model does not."""
    if control is None:
        return None
    known = [after for before, after in control if before]
    return {
        "asked": len(control),
        "known_before": share(len(known), len(control)),
        "known_after": share(sum(after for _, after in control), len(control)),
        "forgotten": share(len(known) - sum(known), len(known)),
    }


def paired_comparisons(
    rows: Sequence[LedgerRow], control: Sequence[tuple[bool, bool]] | None
) -> dict[str, dict[str, Any]]:
    """Before against after of what both were asked: McNemar's exact tests, with Holm's adjustment."""
    both = [row for row in rows if row.before is not None]
    measured: dict[str, Callable[[Any], bool | None]] = {
        "finished": lambda standing: standing.finishes,
        "answered": lambda standing: standing.answers,
        "answered_backward": _answers_backward,
    }
    pairs = {
        name: [
            (bool(one), bool(other))
            for row in both
            if (one := get(row.before)) is not None and (other := get(row.after)) is not None
        ]
        for name, get in measured.items()
    }
    pairs["control"] = list(control or [])
    found = {
        name: compare_paired([one for one, _ in each], [other for _, other in each])
        for name, each in pairs.items()
        if each
    }
    adjusted = holm([comparison.p_value for comparison in found.values()])
    return {
        name: {
            "n": comparison.n,
            "before": comparison.accuracies[0],
            "after": comparison.accuracies[1],
            "gained": comparison.only_second,
            "lost": comparison.only_first,
            "difference": comparison.difference,
            "interval": list(comparison.interval),
            "p_value": comparison.p_value,
            "p_holm": p_holm,
        }
        for (name, comparison), p_holm in zip(found.items(), adjusted, strict=True)
    }


def _answers_backward(standing: Any) -> bool | None:
    right, asked = standing.right("backward")
    return right > 0 if asked else None


MEASURES = {
    "finished": "finishes the sentence",
    "answered": "answers when asked",
    "answered_backward": "names the subject when asked for it",
    "control": "answers the control questions",
}


def describe_ledger(summary: Mapping[str, Any]) -> str:
    """A summary in Markdown: verdicts, before against after, and what was forgotten."""
    lines = [
        f"{summary['facts']:,} facts, {summary['asked']:,} of them asked "
        f"({summary['documents_without_facts']['count']:,} of {summary['documents']:,} documents without a fact).",
        "",
        "| verdict | facts | share | 95% interval |",
        "|---|---:|---:|---:|",
    ]
    for verdict, entry in summary["verdicts"].items():
        lines.append(f"| {verdict.replace('_', ' ')} | {entry['count']:,} | {_share(entry)} | {_between(entry)} |")
    if summary["paired"]:
        lines += [
            "",
            "| | n | before | after | gained | lost | p (Holm) |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for name, entry in summary["paired"].items():
            cells = [MEASURES[name], f"{entry['n']:,}", f"{entry['before']:.1%}", f"{entry['after']:.1%}"]
            cells += [f"{entry['gained']:,}", f"{entry['lost']:,}", p_value_text(entry["p_holm"])]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *notes(summary)]
    return "\n".join(lines) + "\n"


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What a reader has to know beside the tables, a sentence each."""
    said = []
    if summary["before"] is None:
        said.append("No base model was asked (--before), so what it knew already counts as learned.")
    elif summary["known_before"] and summary["known_before"]["count"]:
        known = summary["known_before"]
        said.append(
            f"The base model answers {known['count']:,} of {known['n']:,} already, which do not count as learned."
        )
    if summary["control"] is not None:
        forgotten = summary["control"]["forgotten"]
        said.append(
            f"Forgotten: {forgotten['count']:,} of the {forgotten['n']:,} control questions that the base model "
            "answers."
        )
    said += [
        f"Not asked: {count:,} fact{'s' * (count != 1)}, because {reason}."
        for reason, count in summary["unasked"].items()
    ]
    if summary["about_nothing"]["count"]:
        first = ", ".join(subject for subject, _ in summary["about_nothing"]["list"][:3])
        said.append(
            f"About nothing in the documents, and left out: {summary['about_nothing']['count']:,} facts or "
            f"questions ({first})."
        )
    return said


def _share(entry: Mapping[str, Any]) -> str:
    return "" if entry["share"] is None else f"{entry['share']:.1%}"


def _between(entry: Mapping[str, Any]) -> str:
    return "" if entry["interval"] is None else f"{entry['interval'][0]:.1%} to {entry['interval'][1]:.1%}"
