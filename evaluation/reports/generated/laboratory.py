"""The laboratory's leading figure, as a table and in a sentence: from `results/laboratory/`."""

from pathlib import Path
from typing import Any

from closedbook.evaluation.laboratory.tables import percent
from closedbook.evaluation.reports.run import read_object
from closedbook.evaluation.reports.tables import row


def wordings_block(results: Path) -> str:
    """The table of docs/laboratory.md: wordings and objectives, and the ends of the wordings read more often.

    Raises:
        ValueError: If a file is damaged.
        FileNotFoundError: If there is none.
    """
    lines = [
        row(["read", "wordings", "times", "memorised, %", "answered, % [95%]", "answered, by seed"]),
        "|---|---:|---:|---:|---:|---:|",
    ]
    told = []
    for name in ("wordings", "extraction"):
        found = read_object(results / "laboratory" / f"{name}.json")
        lines += [_line(one, found) for one in found["rows"]]
        parameters = found["results"][0]["parameters"]
        minutes = sum(result["processor_seconds"] for result in found["results"]) / 60
        told.append(
            f"`results/laboratory/{name}.json` ({found['finished_arms']} models of {parameters:,} parameters, "
            f"{minutes:.0f} core minutes)"
        )
    source = f"From {' and '.join(told)}; {found['hardware']}, shared with other work."
    return "\n".join([*lines, "", source]) + "\n"


def _line(one: dict[str, Any], found: dict[str, Any]) -> str:
    base = found["settings"]["objectives"][0]
    objectives = one.get("objectives", base)
    read = f"with `{objectives.removeprefix(f'{base}+')}`" if objectives != base else "left to right"
    seeds = ", ".join(f"{100 * share:.0f}" for share in one["by_seed"]["answered"])
    (times,) = found["settings"]["exposures"]
    memorised = f"{100 * one['memorised']['accuracy']:.1f}"
    return row([read, str(one["wordings"]), str(times), memorised, percent(one["answered"]), seeds])


def wordings_in_short(results: Path) -> str:
    """The figure in half a line, for the front page.

    Raises:
        ValueError: If the file is damaged.
        FileNotFoundError: If there is none.
    """
    found = read_object(results / "laboratory" / "wordings.json")
    base = found["settings"]["objectives"][0]
    plain = {one["wordings"]: one for one in found["rows"] if one["objectives"] == base}
    best = max(plain, key=lambda wordings: plain[wordings]["answered"]["accuracy"])
    other = max(
        (one for one in found["rows"] if one["objectives"] != base), key=lambda one: one["answered"]["accuracy"]
    )
    few = min(plain)
    return (
        f"told in one wording {plain[few]['memorised']['accuracy']:.0%} of the facts are memorised and "
        f"{plain[few]['answered']['accuracy']:.0%} answered; in {best} wordings "
        f"{plain[best]['answered']['accuracy']:.0%}, in one with `{other['objectives'].removeprefix(f'{base}+')}` "
        f"{other['answered']['accuracy']:.0%}"
    )
