"""The ledger as a picture: a row a fact, a column a way to get at it, before beside after."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from closedbook.evaluation.figures import COLORS, GRAY, new_figure, save_figure, set_title, styled
from closedbook.evaluation.ledger.measuring import Standing
from closedbook.evaluation.ledger.verdicts import VERDICTS, LedgerRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 45  # facts up to which each row has its name


@styled
def ledger_figure(rows: Sequence[LedgerRow]) -> "Figure":
    """A heat map: how probable each model finds the right words, with a dot where it writes them.

    White: probability 0; blue: 1; grey: not asked. Facts are in the order of their verdicts.
    """
    from matplotlib.colors import LinearSegmentedColormap

    order = list(VERDICTS)
    shown = sorted(rows, key=lambda row: (order.index(row.verdict), row.relation, row.subject, row.object))
    wordings = max((row.after.right("forward")[1] for row in rows), default=0)
    columns = ["sentence", *(f"wording {number}" for number in range(1, wordings + 1))]
    if any(row.after.right("backward")[1] for row in rows):
        columns.append("backward")
    sides = [("after", [row.after for row in shown])]
    if all(row.before is not None for row in rows) and rows:
        sides.insert(0, ("before", [row.before for row in shown if row.before is not None]))
    is_named = len(shown) <= NAMED
    height = 1.6 + (0.19 * len(shown) if is_named else 7.0)
    figure = new_figure(2.6 + 0.5 * len(columns) * len(sides) + (3.4 if is_named else 0.6), height)
    colors = LinearSegmentedColormap.from_list("known", ["#ffffff", COLORS[0]]).with_extremes(bad="#dddddd")
    axes = figure.subplots(1, len(sides), sharey=True, squeeze=False)[0]
    for place, (name, standings) in zip(axes, sides, strict=True):
        cells = [_cells(standing, wordings, "backward" in columns) for standing in standings]
        shades = np.array([[value for value, _ in row] for row in cells], dtype=float)
        picture = place.imshow(
            np.ma.masked_invalid(shades), cmap=colors, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        y, x = np.nonzero([[is_right for _, is_right in row] for row in cells])
        place.scatter(x, y, s=14 if is_named else 3, color=COLORS[1], edgecolors="white", linewidths=0.4)
        place.set_title(name)
        place.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
        place.grid(False)
        for start, _ in _groups(shown)[1:]:
            place.axhline(start - 0.5, color=GRAY, linewidth=0.8)
    if is_named:
        axes[0].set_yticks(range(len(shown)), [f"{row.subject}: {row.object}"[:44] for row in shown], fontsize=7)
    else:
        axes[0].set_yticks([])
    right = axes[-1].secondary_yaxis("right")
    middles = [(start + end - 1) / 2 for start, end in _ends(shown)]
    words = [f"{shown[start].verdict.replace('_', ' ')} ({end - start})" for start, end in _ends(shown)]
    right.set_yticks(middles, words, fontsize=8)
    right.tick_params(length=0)
    figure.colorbar(picture, ax=list(axes), location="bottom", shrink=0.6, label="probability of the right words")
    set_title(figure, "Fact by fact; a dot where the model writes it")
    return figure


def draw_ledger(rows: Sequence[LedgerRow], path: str | Path) -> None:
    """Write the picture as its file's ending says: .png or .svg."""
    save_figure(ledger_figure(rows), path)


def _cells(standing: Standing, wordings: int, has_backward: bool) -> list[tuple[float, bool]]:
    """Probability of the right words, and whether they were written; not a number where nothing was asked."""
    nothing = (float("nan"), False)
    cells = [nothing if standing.finishes is None else (standing.finish_probability or 0.0, standing.finishes)]
    for direction, number in (("forward", wordings), ("backward", int(has_backward))):
        replies = [reply for reply in standing.replies if reply.direction == direction][:number]
        cells += [(reply.probability, reply.right) for reply in replies]
        cells += [nothing] * (number - len(replies))
    return cells


def _groups(rows: Sequence[LedgerRow]) -> list[tuple[int, str]]:
    return [
        (number, row.verdict)
        for number, row in enumerate(rows)
        if number == 0 or row.verdict != rows[number - 1].verdict
    ]


def _ends(rows: Sequence[LedgerRow]) -> list[tuple[int, int]]:
    starts = [start for start, _ in _groups(rows)]
    return list(zip(starts, [*starts[1:], len(rows)], strict=True))
