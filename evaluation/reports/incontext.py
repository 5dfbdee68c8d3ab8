"""Pictures of an in-context sweep: accuracy against shots, and how far runs of one arm lie apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from closedbook.evaluation.figures import COLORS, GRAY, MARKERS, new_figure, save_figure, set_title, styled
from closedbook.evaluation.prompting.incontext_arms import NO_SELECTION, decoding_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS = ((), (2,), (2, 1))  # the parts of a line that may have panels: none; decoding; decoding and order
_REACH = 1.96  # of a normal distribution, 95% lie within so many standard deviations


Line = tuple[str, str, str]  # selection, order, decoding


@styled
def draw_accuracy(summary: dict[str, Any], path: str | Path) -> None:
    """Accuracy against shots with 95% intervals: a line an arm, single runs as small faint marks beside it.

    A line is a selection, an order and a decoding. Zero-shot arms stand at the beginning of every line with their
    decoding. Where there are more lines than colours, every decoding has its own panel, and where these have more
    lines than colours, every order too.

    Args:
        summary: As `incontext_summary.summarise_arms` makes it.
        path: Ends in .png or .svg.
    """
    lines, metric = _lines(summary["arms"]), summary["metric"]
    roomy = [parts for parts in _PANELS if _most_lines(lines, parts) <= len(COLORS)]
    panelled = roomy[0] if roomy else _PANELS[-1]
    varied = [part for part in range(3) if len({line[part] for line in lines}) > 1]
    decodings = list(dict.fromkeys(line[2] for line in lines))
    by_decoding = sorted(lines, key=lambda line: decodings.index(line[2]))
    panels = list(dict.fromkeys(_words(line, panelled) for line in by_decoding))
    told = [part for part in varied if part not in panelled]
    labels = list(dict.fromkeys(_words(line, told) for line in lines))
    columns = min(2, len(panels))
    height = -(-len(panels) // columns)
    figure = new_figure(7.5 if columns == 1 else 10, 1.6 + 3.2 * height)
    grid = figure.subplots(height, columns, sharex=True, sharey=True, squeeze=False)
    shots = sorted({arm["arm"]["num_shots"] for arm in summary["arms"]})
    handles = {}
    for axes, panel in zip(grid.flat, panels, strict=False):
        for line, arms in lines.items():
            if _words(line, panelled) == panel:
                label = _words(line, told)
                handles[label] = _draw_line(axes, arms, shots, metric, labels.index(label), len(labels))
        axes.set_xticks(range(len(shots)), [str(number) for number in shots])
        axes.grid(visible=False, axis="x")
        axes.set_title(panel)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel("demonstrations in the prompt")
    found = [arm["metrics"][metric] for arm in summary["arms"]]
    tops = [max(*part["each_run"], part["interval"][1]) for part in found]
    grid[0, 0].set(xlim=(-0.5, len(shots) - 0.5), ylim=(0, 105 * max(tops)))
    figure.supylabel(f"{metric.replace('_', ' ')}, % of the questions", fontsize=10)
    several = any(len(arm["draws"]) > 1 for arm in summary["arms"])
    constant = _words(next(iter(lines)), [part for part in range(3) if part not in (*varied, *panelled)])
    title = f"{summary['num_questions']} questions, 95% intervals{'; faint marks: single runs' if several else ''}"
    set_title(figure, f"{title} ({constant})" if constant else title)
    if len(handles) > 1:
        ordered = [handles[label] for label in labels]
        figure.legend(ordered, labels, loc="outside lower center", fontsize=9, ncols=3 if columns > 1 else 2)
    save_figure(figure, path)


def _lines(arms: Sequence[dict[str, Any]]) -> dict[Line, list[dict[str, Any]]]:
    """Arms by line, ascending in shots; an arm without a choice of demonstrations or order is in all lines."""
    lines: dict[Line, list[dict[str, Any]]] = {}
    # those with a choice come first: one without makes a line of its own only where there is no other
    for own in sorted(arms, key=lambda arm: [arm["arm"][name] == NO_SELECTION for name in ("selection", "order")]):
        fits = [arm for arm in arms if _belongs(arm["arm"], own["arm"])]
        if any(own in found for found in lines.values()) and NO_SELECTION in own["arm"].values():
            continue
        lines.setdefault(_line(own["arm"]), sorted(fits, key=lambda arm: arm["arm"]["num_shots"]))
    return lines


def _line(arm: dict[str, Any]) -> Line:
    selection, order = ("" if arm[name] == NO_SELECTION else arm[name] for name in ("selection", "order"))
    return selection.replace("_", " "), order.replace("_", " "), decoding_label(arm)


def _belongs(arm: dict[str, Any], line: dict[str, Any]) -> bool:
    same = all(arm[name] in (line[name], NO_SELECTION) for name in ("selection", "order"))
    return same and decoding_label(arm) == decoding_label(line)


def _most_lines(lines: Iterable[Line], panelled: Sequence[int]) -> int:
    return max(Counter(_words(line, panelled) for line in lines).values())


def _words(line: Line, parts: Sequence[int]) -> str:
    return ", ".join(line[part] for part in parts if line[part])


def _draw_line(
    axes: Axes, arms: Sequence[dict[str, Any]], shots: Sequence[int], metric: str, number: int, count: int
) -> Any:
    colour, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    style = ("-", "--", ":")[number // len(COLORS) % 3]
    shift = (number - (count - 1) / 2) * min(
        0.14, 0.75 / count
    )  # beside each other, so that intervals can be read
    places = [shots.index(arm["arm"]["num_shots"]) + shift for arm in arms]
    for place, arm in zip(places, arms, strict=True):
        runs = [100 * value for value in arm["metrics"][metric]["each_run"]]
        if len(runs) > 1:  # beside the interval, which would hide them
            beside = [place - 0.045] * len(runs)
            axes.plot(beside, runs, marker, color=colour, markersize=4, alpha=0.45, markeredgewidth=0)
    means = np.array([100 * arm["metrics"][metric]["mean"] for arm in arms])
    ends = 100 * np.array([arm["metrics"][metric]["interval"] for arm in arms])
    reach = np.abs(ends.T - means)
    return axes.errorbar(
        places, means, reach, fmt=marker, linestyle=style, color=colour, markersize=5, capsize=2.5, linewidth=1.3
    )


@styled
def draw_prompt_luck(summary: dict[str, Any], path: str | Path) -> None:
    """The runs of every arm as dots, on the two spreads that chance alone would give: a row an arm.

    "Luck" is the standard deviation that is left, in points, where Cochran's test finds any (p < 0.05).

    Args:
        summary: As `incontext_summary.summarise_arms` makes it.
        path: Ends in .png or .svg.

    Raises:
        ValueError: If no arm has two runs.
    """
    arms = [arm for arm in summary["arms"] if arm["spread"]["runs"]]
    if not arms:
        raise ValueError("no arm has two runs, so there is no spread to draw; ask with more seeds.")
    figure = new_figure(8, 1.9 + 0.34 * len(arms))
    axes = figure.subplots()
    edges = []
    for row, arm in enumerate(arms):
        found, luck = arm["metrics"][summary["metric"]], arm["spread"]["runs"]
        mean = 100 * float(np.mean(found["each_run"]))
        for name, height, colour, label in (
            ("binomial_deviation", 0.7, "#dbe9f4", "95% of runs, by chance alone, other questions for every run"),
            ("chance_deviation", 0.7, "#9cc3e0", "95% of runs, by chance alone, same questions"),
        ):
            reach = 100 * _REACH * luck[name]
            low = max(0.0, mean - reach)
            axes.barh(row, mean + reach - low, height, low, color=colour, label=label if row == 0 else None)
        axes.plot([mean, mean], [row - 0.35, row + 0.35], color=COLORS[0], linewidth=1.5)
        runs = [100 * value for value in found["each_run"]]
        points = {"color": COLORS[1], "markersize": 5.5, "markeredgecolor": "white", "markeredgewidth": 0.6}
        stacked = [runs[:place].count(run) - (runs.count(run) - 1) / 2 for place, run in enumerate(runs)]
        axes.plot(
            runs, [row + 0.14 * step for step in stacked], "o", **points, label="a run" if row == 0 else None
        )
        text = f"luck ±{100 * luck['luck_deviation']:.1f}" if luck["p_value"] < 0.05 else "within chance"
        edges.append(max(mean + 100 * _REACH * max(luck["binomial_deviation"], luck["chance_deviation"]), *runs))
        axes.annotate(
            text, (edges[-1], row), (5, 0), textcoords="offset points", va="center", fontsize=8.5, color=GRAY
        )
    axes.set_yticks(range(len(arms)), [arm["label"] for arm in arms])
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.set_xlim(0, 1.3 * max(*edges, 1))  # room for the words, also where nothing is right
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"{summary['metric'].replace('_', ' ')}, % of {summary['num_questions']} questions")
    set_title(figure, "Prompt luck: runs of an arm, which differ in their random draws only")
    figure.legend(loc="outside lower left", fontsize=8.5, ncols=1)
    save_figure(figure, path)
