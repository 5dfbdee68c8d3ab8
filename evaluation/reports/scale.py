"""A picture of what a large corpus takes before the first training step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from closedbook.evaluation.figures import COLORS, new_figure, set_title, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def memory_figure(found: dict[str, Any]) -> Figure:
    """Memory against seconds until the first step, of this build, of its second start and of a former one.

    Args:
        found: What `scripts/size/scale.py` writes.
    """
    figure = new_figure(8, 3.4)
    axes = figure.subplots()
    former = f"{found.get('former_commit', 'former')}{', given up' if found.get('former_given_up') else ''}"
    kinds = {"former_first_step": former, "first_step": "this build", "second_start": "this build, started again"}
    for color, (key, label) in zip(COLORS, kinds.items(), strict=False):
        if f"{key}_memory" not in found:
            continue
        seconds, mib = zip(*found[f"{key}_memory"], strict=True)
        gib = [each / 1024 for each in mib]
        axes.plot(seconds, gib, color=color, label=f"{label}: {found[f'{key}_seconds']:.0f} s")
        if not (key.startswith("former") and found.get("former_given_up")):
            axes.plot(seconds[-1], gib[-1], marker="o", color=color)
    axes.set_xlabel("seconds")
    axes.set_ylabel("memory, GiB")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend()
    set_title(figure, f"Until the first training step on {found['gigabytes']:g} GB of text")
    return figure
