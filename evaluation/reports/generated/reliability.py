"""What was lost when things went wrong, as a table: from `results/reliability.json`."""

from pathlib import Path

from closedbook.evaluation.reports.run import read_object
from closedbook.evaluation.reports.tables import row


def reliability_block(results: Path) -> str:
    """The table of docs/reliability.md, and what took how long.

    Raises:
        ValueError: If the file is damaged.
        FileNotFoundError: If there is none.
    """
    found = read_object(results / "reliability.json")
    wrong = found["wrong_inputs"]
    kinds = found["kills"]["kinds"]
    tried = [(f"SIGKILL: {kind}", counts["tried"], counts["survived"]) for kind, counts in kinds.items()]
    for what, name in (
        ("SIGTERM", "sigterm"),
        ("two runs in one folder", "two_at_once"),
        ("full disk", "full_disk"),
    ):
        tried.append((what, found[name]["tried"], found[name]["right"]))
    tried.append(("a damaged file is found", found["damage"]["planted"], found["damage"]["found"]))
    for what, counts in wrong["kinds"].items():
        tried.append((what, sum(counts.values()), counts.get("refused in one line a problem", 0)))
    lines = [
        row(["what", "tried", "came out right"]),
        "|---|---|---|",
        *(row(list(map(str, item))) for item in tried),
    ]
    told = [
        f"Kills: {found['kills']['survived']} of {found['kills']['tried']} runs lost nothing. Wrong inputs: "
        f"{wrong['refused_in_one_line']} of {wrong['tried']} refused in one line a problem, "
        f"{wrong['silent']} silent."
    ]
    if "processes" in found:
        numbers = ", ".join(map(str, found["processes"]["processes"]))
        apart = found["processes"]["largest_relative_difference_of_losses"]
        told.append(
            f"One run carried on by {numbers} processes in turn has the losses of one process, to {apart:.1e} of "
            "themselves."
        )
    told.append(f"Seed {found['seed']}, {found['seconds'] / 60:.0f} minutes on {found['hardware']}.")
    return "\n".join([*lines, "", " ".join(told), ""])
