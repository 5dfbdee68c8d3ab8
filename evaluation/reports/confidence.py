"""Pictures of confidence: does it say how often an answer is right, and what does not answering buy?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from closedbook.evaluation.figures import COLORS, GRAY, MARKERS, new_figure, set_title, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROVENANCE_WORDS = {  # what a reader sees for the classes of provenance.py
    "stated": "stated in the text",
    "entity_only": "person in the text, fact not",
    "unseen": "person never read about",
    "fine_tuned": "answered in fine-tuning",
}


def confidence_words(name: str) -> str:
    """The name of a confidence as a reader sees it."""
    return name.replace("_", " ")


@styled
def reliability_figure(bins: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Accuracy against confidence, one line a confidence, with 95% intervals of every bin.

    Args:
        bins: Name of a confidence -> its bins, each with `confidence` and `accuracy` (means, in [0, 1]) and
            `interval` (low, high) of the accuracy.
    """
    figure = new_figure(6.4, 5.6)
    axes = figure.subplots()
    axes.plot([0, 100], [0, 100], color=GRAY, linestyle="--", linewidth=1, label="as sure as right")
    for number, (name, entries) in enumerate(bins.items()):
        right = [100 * entry["accuracy"] for entry in entries]
        reach = [
            [max(0.0, value - 100 * entry["interval"][0]) for value, entry in zip(right, entries, strict=True)],
            [max(0.0, 100 * entry["interval"][1] - value) for value, entry in zip(right, entries, strict=True)],
        ]
        axes.errorbar(
            [100 * entry["confidence"] for entry in entries],
            right,
            yerr=reach,
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=5,
            linewidth=1.2,
            elinewidth=0.8,
            capsize=2,
            label=confidence_words(name),
        )
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set_xlabel("mean confidence of the answers in a bin, %")
    axes.set_ylabel("right answers in the bin, %")
    axes.set_title("Right answers by confidence; below the diagonal: too sure")
    axes.legend(fontsize=9)
    return figure


@styled
def risk_coverage_figure(
    curves: Mapping[str, Sequence[tuple[float, float]]], marks: Sequence[tuple[float, float, str]] = ()
) -> Figure:
    """Wrong answers among those given, against the share of questions that are answered.

    Args:
        curves: Words for a confidence, or the name of a run -> (coverage, risk), both in [0, 1], ascending in
            coverage.
        marks: Points to point out: coverage, risk and words.
    """
    figure = new_figure(7.5, 4.6)
    axes = figure.subplots()
    for number, (name, points) in enumerate(curves.items()):
        axes.plot(
            [100 * coverage for coverage, _ in points],
            [100 * risk for _, risk in points],
            color=COLORS[number % len(COLORS)],
            linestyle=("-", "--", "-.", ":")[number % 4],
            label=name,
        )
    for coverage, risk, words in marks:
        axes.plot(100 * coverage, 100 * risk, "k*", markersize=11, label=words)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.set_xlabel("questions answered, % (the surest first)")
    axes.set_ylabel("wrong among the answers given, %")
    axes.set_title("Errors against coverage: what abstaining buys")
    axes.legend(fontsize=9)
    return figure


@styled
def invented_figure(summaries: Mapping[str, Mapping[str, Any]]) -> Figure:
    """How many people who do not exist get an answer, without and with abstention.

    Args:
        summaries: Name of a run -> what `summarise_invented` says of it.
    """
    rows = []
    for name, summary in summaries.items():
        prefix = f"{name}: " if len(summaries) > 1 else ""
        for kind, words in (("answered", "any answer"), ("answered_confidently", _confident(summary))):
            rows.append((prefix + words, summary[kind], summary[f"{kind}_after_abstention"]))
    figure = new_figure(8, 1.9 + 0.5 * len(rows))
    axes = figure.subplots()
    for line, (_, before, after) in enumerate(reversed(rows)):
        shifts = (
            (before, 0.12, COLORS[1], "s", "without abstention"),
            (after, -0.12, COLORS[0], "o", "with abstention"),
        )
        for value, shift, color, marker, words in shifts:
            _draw_share(axes, value, line + shift, color, marker, words if line == 0 else "_nolegend_")
    axes.set_yticks(range(len(rows)), [words for words, _, _ in reversed(rows)])
    axes.set(xlim=(0, 108), ylim=(-0.6, len(rows) - 0.4))
    axes.set_xticks(range(0, 101, 20))
    axes.grid(visible=False, axis="y")
    numbers = ", ".join(sorted({f"{summary['n']:,}" for summary in summaries.values()}))
    axes.set_xlabel("% of the invented people, with 95% intervals")
    set_title(figure, f"Questions about {numbers} people who do not exist: how many get an answer")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _confident(summary: Mapping[str, Any]) -> str:
    return f"an answer with confidence\nof {summary['confident_at']:.0%} or more"


def _draw_share(axes, share: Mapping[str, Any], line: float, color: str, marker: str, label: str) -> None:
    """A count's share with its interval and its number; nothing where nobody was asked."""
    if share["share"] is None:
        return
    low, high = share["interval"]
    value = share["share"]
    reach = [[100 * max(0.0, value - low)], [100 * max(0.0, high - value)]]
    style = {
        "color": color,
        "fmt": marker,
        "markersize": 5,
        "capsize": 2,
        "elinewidth": 1,
        "label": label,
        "clip_on": False,
    }
    axes.errorbar(100 * value, line, xerr=reach, **style)
    axes.annotate(
        f"{value:.0%}",
        (100 * high, line),
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=color,
    )


@styled
def provenance_figure(classes: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Right answers, confidence and abstention by where an answer could come from.

    Args:
        classes: What `summarise_provenance` says.
    """
    names = list(classes)
    figure = new_figure(8, 1.9 + 0.65 * len(names))
    axes = figure.subplots()
    for line, name in enumerate(reversed(names)):
        summary = classes[name]
        label = {True: lambda words: words, False: lambda words: "_nolegend_"}[line == 0]
        _draw_share(axes, summary["accuracy"], line + 0.22, COLORS[2], "^", label("right answers"))
        if summary["mean_confidence"] is not None:
            axes.plot(
                100 * summary["mean_confidence"], line, "D", color=COLORS[0], ms=5, label=label("mean confidence")
            )
        _draw_share(axes, summary["declined"], line - 0.22, COLORS[1], "s", label("not answered (abstention)"))
    labels = [f"{PROVENANCE_WORDS.get(name, name)}\n(n = {classes[name]['n']:,})" for name in reversed(names)]
    axes.set_yticks(range(len(names)), labels)
    axes.set(xlim=(0, 108), ylim=(-0.6, len(names) - 0.4))
    axes.set_xticks(range(0, 101, 20))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("% of the questions, with 95% intervals; confidence: mean, %")
    set_title(figure, "Answers by where they can come from")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure
