"""The leaderboard of the training loop: a row for each recorded run of `time_to_knowledge.py`."""

from pathlib import Path
from typing import Any

from closedbook.evaluation.reports.run import read_object
from closedbook.evaluation.reports.tables import row

NAMES = "benchmark-time-to-knowledge*.json"
TARGETS = ("23", "80")


def leaderboard_block(results: Path) -> str:
    """Rows by date; what a run did not measure is left blank, and where there is none it is said."""
    paths = sorted(results.glob(NAMES))
    if not paths:
        return "*No run has been recorded yet.*\n"
    heads = ["date", "commit", "idea", "times as fast as"]
    heads += [f"seconds to {target}%" for target in TARGETS]
    lines = [row([*heads, "file"]), "|---|---|---|---|" + "---:|" * len(TARGETS) + "---|"]
    for _, found in sorted((read_object(path)["date"], path) for path in paths):
        record = read_object(found)
        cells = [record["date"], str(record["commit"])[:7], record["idea"], _ratios(record)]
        cells += [_seconds(record.get(f"cpu_seconds_to_{target}", {})) for target in TARGETS]
        lines.append(row([*cells, f"`results/{found.name}`"]))
    return "\n".join(lines) + "\n"


def _ratios(record: dict[str, Any]) -> str:
    """Ratios of characters a second of the processors, which other work on the machine disturbs least."""
    unit = "characters_per_cpu_second_ratio"
    former = record["settings"]["commits"].get("former")
    parts = [f"{record[unit]:.2f} ({former[:7]})"] if unit in record and former else []
    if f"{unit}_starter" in record:
        parts.append(f"{record[f'{unit}_starter']:.2f} (starter's loop)")
    return ", ".join(parts)


def _seconds(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:,.0f}" for name, value in seconds.items())
