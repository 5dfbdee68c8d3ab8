"""What the arms of a laboratory figure say together: rows, and a table in Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from closedbook.evaluation.laboratory.memorisation import two_by_two


@dataclass(frozen=True)
class FigureKind:
    """What a figure compares.

    Attributes:
        keys: what sets its rows apart: settings of an arm, or properties of a fact.
        caption: stands above the table and says how to read it.
    """

    keys: tuple[str, ...]
    caption: str


_SHARES = (
    "Facts about people whose questions were never trained on. Memorised: greedy decoding finishes the training "
    "text that states the fact. Answered: the fine-tuned model's answer is exactly right. In % with 95% Wilson "
    "intervals."
)
FIGURES = {
    "attributes": FigureKind(("attribute",), _SHARES),
    "extraction": FigureKind(("wordings", "order"), _SHARES),
    "wordings": FigureKind(
        ("objectives", "wordings", "order"),
        _SHARES + " Every arm reads equally many documents about each fact; several objectives share them.",
    ),
    "reversal": FigureKind(
        ("objectives", "direction"),
        _SHARES
        + " Forward asks from the person to the value, reverse from a value that one person has to the person; "
        "all texts state the name first, and both kinds of questions are taught.",
    ),
    "frequency": FigureKind(("mentions",), _SHARES + " Mentions: documents of the corpus that state the fact."),
    "bits": FigureKind(
        ("hidden_size", "exposures"),
        "Knowledge learned, a lower bound from the losses on names and values (Physics of Language Models 3.3, "
        "definition 4.3; see evaluation/laboratory/knowledge_bits.py), and all there is to learn, in bits.",
    ),
}


def summarise(figure: str, results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a figure, in the order in which its arms were run.

    Seeds are put together: facts are counted over all of them, bits are means.

    Args:
        figure: a key of `FIGURES`.
        results: as `result.json` of the arms holds them.
    """
    keys = FIGURES[figure].keys
    groups: dict[tuple, list[dict]] = {}
    for result in results:
        for part in [result] if figure == "bits" else result["cells"]:
            known = result["arm"] | part
            part = part if figure == "bits" else part | {"seed": known["seed"]}
            groups.setdefault(tuple(known[key] for key in keys), []).append(part)
    summary = _mean_knowledge if figure == "bits" else _counted
    rows = [dict(zip(keys, values, strict=True)) | summary(group) for values, group in groups.items()]
    return sorted(rows, key=lambda row: row["mentions"]) if figure == "frequency" else rows


def _counted(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The facts of all seeds in one 2 x 2, and as `by_seed` the shares of each, in the order of the seeds.

    The intervals are those of the facts asked; how much one training run differs from the next shows by seed.
    """
    seeds = {seed: two_by_two(cell for cell in cells if cell["seed"] == seed) for seed in _seeds(cells)}
    shares = {name: [of[name]["accuracy"] for of in seeds.values()] for name in ("memorised", "answered")}
    return two_by_two(cells) | {"by_seed": {"seeds": list(seeds), **shares}}


def _seeds(cells: Sequence[dict[str, Any]]) -> list[int]:
    return sorted({cell["seed"] for cell in cells})


def _mean_knowledge(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = ("bits", "most_bits", "bits_per_parameter", "most_bits_per_parameter")
    means = {name: sum(result["knowledge"][name] for result in results) / len(results) for name in names}
    seeds = [result["knowledge"]["bits_per_parameter"] for result in results]
    return {"parameters": results[0]["parameters"], "runs": len(results)} | means | {"each_run": seeds}


def table(figure: str, rows: Sequence[dict[str, Any]]) -> str:
    """The rows in Markdown, under the figure's caption."""
    keys = FIGURES[figure].keys
    if figure == "bits":
        columns = ["parameters", "bits", "bits to learn", "bits a parameter", "at most", "share learned"]
        cells = [
            [
                f"{row['parameters']:,}",
                f"{row['bits']:,.0f}",
                f"{row['most_bits']:,.0f}",
                f"{row['bits_per_parameter']:.3f}",
                f"{row['most_bits_per_parameter']:.3f}",
                f"{row['bits'] / row['most_bits']:.1%}",
            ]
            for row in rows
        ]
    elif figure == "extraction":
        columns = [
            "facts",
            "memorised and answered",
            "memorised only",
            "answered only",
            "neither",
            "answered of memorised",
        ]
        cells = [
            [
                *(str(row[name]) for name in ("n", "both", "memorised_only", "answered_only", "neither")),
                percent(row["answered_if_memorised"]),
            ]
            for row in rows
        ]
    else:
        columns = ["facts", "memorised", "answered", "answered of memorised", "answered, by seed"]
        names = ("memorised", "answered", "answered_if_memorised")
        cells = [[str(row["n"]), *(percent(row[name]) for name in names), _by_seed(row)] for row in rows]
    heads = [key.replace("_", " ") for key in keys]
    lines = [FIGURES[figure].caption, "", f"| {' | '.join([*heads, *columns])} |"]
    lines.append(f"|{'---|' * len(heads)}{'---:|' * len(columns)}")
    for row, values in zip(rows, cells, strict=True):
        lines.append(f"| {' | '.join([*(str(row[key]) for key in keys), *values])} |")
    return "\n".join(lines) + "\n"


def _by_seed(row: dict[str, Any]) -> str:
    return ", ".join(f"{100 * share:.1f}" for share in row["by_seed"]["answered"])


def percent(share: dict[str, Any]) -> str:
    """`97.5 [92.9, 99.1]`, or a dash where nothing was counted."""
    if share["accuracy"] is None:
        return "-"
    low, high = share["interval"]
    return f"{100 * share['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
