"""The laboratory's figures as PNG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedbook.evaluation.figures import log_axis, new_figure, save_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[dict[str, Any]]
_MEMORISED, _ANSWERED = "tab:gray", "tab:blue"
_CELLS = {  # of the 2 x 2, with colours that tell them apart in grey too
    "both": ("memorised and answered", "tab:blue"),
    "memorised_only": ("memorised only", "tab:gray"),
    "answered_only": ("answered only", "tab:cyan"),
    "neither": ("neither", "gainsboro"),
}


@styled
def draw(figure: str, rows: Rows, path: str | Path) -> None:
    """Draw the rows of a figure of `laboratory_tables.FIGURES`; an axis says what it counts, and in which unit."""
    picture = new_figure(7.5, 5)
    axes = picture.subplots()
    _PICTURES[figure](axes, rows)
    handles, labels = axes.get_legend_handles_labels()
    picture.legend(handles, labels, fontsize="small", loc="outside lower center", ncols=2)
    axes.grid(visible=False, axis="x")
    save_figure(picture, path)


def _attributes(axes: Axes, rows: Rows) -> None:
    _share_bars(axes, rows, [row["attribute"].replace("_", " ") for row in rows], ("memorised", "answered"))
    axes.set_title("Facts memorised and answered, by attribute")


def _extraction(axes: Axes, rows: Rows) -> None:
    places = range(len(rows))
    base = [0.0] * len(rows)
    for name, (label, colour) in _CELLS.items():
        heights = [100 * row[name] / row["n"] for row in rows]
        axes.bar(places, heights, 0.6, bottom=base, label=label, color=colour)
        base = [low + height for low, height in zip(base, heights, strict=True)]
    axes.set_xticks(places, [f"{_count(row['wordings'], 'wording')},\n{row['order']} order" for row in rows])
    _percent_axis(axes, "facts of people not fine-tuned on, %")
    axes.set_title("Does it finish the sentence? Does it answer the question?")


def _wordings(axes: Axes, rows: Rows) -> None:
    told = rows[0]["objectives"]  # the arms of further objectives stand apart, one beside the other
    numbers = sorted({row["wordings"] for row in rows})
    apart = list(dict.fromkeys(row["objectives"] for row in rows if row["objectives"] != told))
    places: dict[Any, float] = {number: place for place, number in enumerate(numbers)}
    places |= {name: len(numbers) + 0.3 + 1.2 * place for place, name in enumerate(apart)}
    placed = [
        row | {"place": places[row["wordings"] if row["objectives"] == told else row["objectives"]]}
        for row in rows
    ]
    orders = [order for order in ("fixed", "shuffled") if any(row["order"] == order for row in rows)]
    for order, line, alone in zip(orders, ("o--", "s-"), ("D", "P"), strict=False):
        own = sorted((row for row in placed if row["order"] == order), key=lambda row: row["place"])
        of_order = f", {order} order" if len(orders) > 1 else ""
        for name, colour in (("memorised", _MEMORISED), ("answered", _ANSWERED)):
            for is_told, style, kind in ((True, line, ""), (False, alone, ", other objectives")):
                part = [row for row in own if (row["objectives"] == told) == is_told]
                _share_line(axes, part, "place", name, style, colour, name + kind + of_order)
            for row in own:
                seeds = [100 * share for share in row["by_seed"][name]]
                axes.plot([row["place"]] * len(seeds), seeds, ".", color=colour, alpha=0.4)
    names = [f"{numbers[0]}, with\n{name.removeprefix(f'{told}+').replace('_', ' ')}" for name in apart]
    axes.set_xticks(list(places.values()), [*map(str, numbers), *names])
    axes.set_xlabel("wordings of each fact, of which every arm reads equally many documents")
    _percent_axis(axes, "facts of people not fine-tuned on, %")
    axes.set_title("Memorised and answered, against wordings; dots are runs")


def _reversal(axes: Axes, rows: Rows) -> None:
    arms = list(dict.fromkeys(row["objectives"] for row in rows))
    width = 0.38
    for number, (direction, label) in enumerate((("forward", "person to value"), ("reverse", "value to person"))):
        own = {row["objectives"]: row["answered"] for row in rows if row["direction"] == direction}
        places = [place + (number - 0.5) * width for place, arm in enumerate(arms) if arm in own]
        _bars(axes, places, list(own.values()), width, f"asked from {label}", ("tab:blue", "tab:orange")[number])
    axes.set_xticks(range(len(arms)), [arm.replace("_", " ").replace("+", " +\n") for arm in arms])
    axes.set_xlabel("objectives of pretraining (all texts state the name first)")
    _percent_axis(axes, "questions about people not fine-tuned on, answered, %")
    axes.set_title("The reversal curse, with and without reading in reversed order")


def _frequency(axes: Axes, rows: Rows) -> None:
    for name, style, colour in (("memorised", "o--", _MEMORISED), ("answered", "s-", _ANSWERED)):
        _share_line(axes, rows, "mentions", name, style, colour, name)
    log_axis(axes, [row["mentions"] for row in rows])
    axes.set_xlabel("documents of the corpus that state the fact")
    _percent_axis(axes, "facts of people not fine-tuned on, %")
    axes.set_title("How often a fact is mentioned, and whether it is known")


def _bits(axes: Axes, rows: Rows) -> None:
    for number, size in enumerate(dict.fromkeys(row["hidden_size"] for row in rows)):
        own = sorted((row for row in rows if row["hidden_size"] == size), key=lambda row: row["exposures"])
        exposures, colour = [row["exposures"] for row in own], f"C{number}"
        label = f"{own[0]['parameters']:,} parameters"
        axes.plot(exposures, [row["bits_per_parameter"] for row in own], "o-", color=colour, label=label)
        most = [row["most_bits_per_parameter"] for row in own]
        axes.plot(exposures, most, "--", color=colour, alpha=0.7, label=f"all there is to learn ({most[0]:.2f})")
    log_axis(axes, sorted({row["exposures"] for row in rows}))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("exposures: how often each fact is read")
    axes.set_ylabel("knowledge learned (lower bound), bits per parameter")
    axes.set_title("Knowledge in bits per parameter")


_PICTURES: dict[str, Callable[[Axes, Rows], None]] = {
    "attributes": _attributes,
    "extraction": _extraction,
    "wordings": _wordings,
    "reversal": _reversal,
    "frequency": _frequency,
    "bits": _bits,
}


def _share_bars(axes: Axes, rows: Rows, labels: Sequence[str], names: Sequence[str]) -> None:
    width = 0.38
    for number, (name, colour) in enumerate(zip(names, (_MEMORISED, _ANSWERED), strict=True)):
        places = [place + (number - 0.5) * width for place in range(len(rows))]
        _bars(axes, places, [row[name] for row in rows], width, name, colour)
    axes.set_xticks(range(len(rows)), labels)
    _percent_axis(axes, "facts of people not fine-tuned on, %")


def _bars(
    axes: Axes, places: Sequence[float], shares: Sequence[dict], width: float, label: str, colour: str
) -> None:
    heights, errors = _heights(shares)
    axes.bar(places, heights, width, label=label, color=colour, yerr=errors, capsize=3)


def _share_line(axes: Axes, rows: Rows, key: str, name: str, style: str, colour: str, label: str) -> None:
    if not rows:
        return
    heights, errors = _heights([row[name] for row in rows])
    axes.errorbar(
        [row[key] for row in rows], heights, errors, fmt=style, color=colour, markersize=5, capsize=3, label=label
    )


def _heights(shares: Sequence[dict]) -> tuple[list[float], list[list[float]]]:
    """Percentages, and the reach of their intervals below and above."""
    heights: list[float] = [100 * (item["accuracy"] or 0) for item in shares]
    ends = [item["interval"] or [0, 1] for item in shares]
    below = [max(0.0, height - 100 * low) for height, (low, _) in zip(heights, ends, strict=True)]
    above = [max(0.0, 100 * high - height) for height, (_, high) in zip(heights, ends, strict=True)]
    return heights, [below, above]


def _percent_axis(axes: Axes, label: str) -> None:
    axes.set_ylim(-2, 102)
    axes.set_ylabel(label)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
