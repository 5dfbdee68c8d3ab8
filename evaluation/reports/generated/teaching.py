"""Ways to teach a stock model, as a table: from `results/teach/`."""

from pathlib import Path
from typing import Any

from closedbook.evaluation.reports.run import read_object


def teach_block(results: Path) -> str:
    """The table of docs/teach.md, and what it was measured with.

    Raises:
        ValueError: If a file is damaged.
        FileNotFoundError: If there is none.
    """
    folder = results / "teach"
    found, table = read_object(folder / "summary.json"), (folder / "summary.md").read_text(encoding="utf-8")
    budget = found["budget"]
    seeds = sorted({seed for arm in found["arms"].values() for seed in arm["seeds"]})
    told = (
        f"{budget['num_people']} people with {len(budget['attributes'])} facts each a seed (seeds "
        f"{', '.join(map(str, seeds))}), {budget['tokens']:,} tokens in rows of {budget['row_length']}, "
        f"{budget['wordings']} wordings of every question; {found['hardware']}. From `results/teach/summary.json`."
    )
    return f"{table.strip()}\n\n{told}\n"


def teach_front(results: Path) -> str:
    """The comparison in one sentence, for the front page.

    Raises:
        ValueError: If the file is damaged.
        FileNotFoundError: If there is none.
    """
    found = read_object(results / "teach" / "summary.json")
    ours, peer = found["arms"]["ours"], found["arms"]["trl"]

    def answered(arm: dict[str, Any]) -> str:
        low, high = arm["interval"]
        return f"{arm['heldout_correct']} of {arm['heldout_n']} [{low:.0%}, {high:.0%}]"

    def lost(arm: dict[str, Any]) -> str:
        return f"{arm['control_loss_after'] - arm['control_loss_before']:.2f}"

    return (
        f"SmolLM2-135M, taught {found['budget']['num_people']} documents about people who do not exist, answers "
        f"**{answered(ours)}** held-out questions; after trl's SFTTrainer, no fewer tokens, {answered(peer)}. "
        f"Loss on another text rises by {lost(ours)} and {lost(peer)} nats ({len(ours['seeds'])} seeds, "
        "[teach](docs/teach.md)).\n"
    )
