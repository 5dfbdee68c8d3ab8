"""What size costs, as a table and a picture: from `results/benchmark-scale.json`."""

from pathlib import Path
from typing import Any

from closedbook.evaluation.reports.run import read_object


def scale_block(results: Path) -> str:
    """The table of docs/large-corpora.md.

    Raises:
        ValueError: If the file is damaged.
        FileNotFoundError: If there is none.
    """
    found = read_object(results / "benchmark-scale.json")
    given_up = "more than " if found.get("former_given_up") else ""
    at_least = "at least " if found.get("former_given_up") else ""
    lines = [
        f"| {found['gigabytes']:g} GB of text | this build | {found['former_commit']} | ratio |",
        "|---|---:|---:|---:|",
        f"| seconds until the first training step | {found['first_step_seconds']:.0f} | {given_up}"
        f"{found['former_first_step_seconds']:.0f} | {at_least}{found['first_step_seconds_ratio']:.1f} |",
        f"| peak memory until then, GiB | {found['first_step_peak_mib'] / 1024:.2f} | {given_up}"
        f"{found['former_first_step_peak_mib'] / 1024:.2f} | {at_least}{found['peak_memory_ratio']:.1f} |",
        f"| the same, started again: seconds | {found['second_start_seconds']:.0f} | | |",
    ]
    rates = _rates(found)
    names = ", ".join(f"{size}{' streamed' if streamed else ''}" for size, streamed, _ in rates)
    values = ", ".join(f"{rate:,.0f}" for *_, rate in rates)
    table = "\n".join(lines)
    return (
        f"{table}\n\nCharacters a second of a very small model, of {names}: {values} (median steps; "
        f"{found['runs']['corpora']['hardware']}). From `results/benchmark-scale.json`.\n"
    )


def _rates(found: dict[str, Any]) -> list[tuple[str, bool, float]]:
    """Size in words, whether it was streamed, characters a second."""
    rates = []
    for key, streamed in (("", False), ("streamed_", True)):
        for size, rate in found.get(f"{key}characters_per_second_by_gigabytes", {}).items():
            size = float(size)
            rates.append((f"{size:g} GB" if size >= 1 else f"{size * 1000:g} MB", streamed, rate))
    return rates
