"""Ways to teach a stock model, as a table: from `results/teach/`."""

from pathlib import Path

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
