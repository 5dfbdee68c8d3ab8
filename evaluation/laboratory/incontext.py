"""Accuracy against the number of shots: what is right, what could be at best, and the laboratory's figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from closedbook.data.generated.mappings import FAMILIES, SPLITS, MappingExample, MappingExamples, split_mappings
from closedbook.evaluation.figures import log_axis, new_figure, save_figure, styled
from closedbook.evaluation.laboratory.recall import as_batch, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[dict[str, Any]]
_GROUPS = ("softmax over tokens", "synthesizers and Linformer", "Perceivers")
_PERCENT = (-2, 102)


@torch.no_grad()
def right_by_shots(model, examples: MappingExamples, batch_size: int) -> list[dict[str, int]]:
    """Count right answers by the number of shots before them, over the questions that count.

    Right means that the likeliest token is the answer, given all true tokens up to the question.

    Returns:
        `{"shots", "n", "correct"}` for each number of shots from 0 on; n is 0 where no question counts.
    """
    counts = [{"shots": shots, "n": 0, "correct": 0} for shots in range(examples.num_pairs)]
    for first in range(0, len(examples), batch_size):
        batch = [examples[index] for index in range(first, min(first + batch_size, len(examples)))]
        ids, rows, places, answers = as_batch(batch)
        guesses = model(input_ids=ids, use_cache=False).logits[rows, places].argmax(-1)
        right = (guesses == answers).view(len(batch), -1).tolist()
        for example, row in zip(batch, right, strict=True):
            for count, counted, is_right in zip(counts, example.counted, row, strict=True):
                count["n"] += int(counted)
                count["correct"] += int(counted and is_right)
    return counts


def bayes_accuracies(mappings: Sequence[tuple[int, ...]], inputs: Sequence[int]) -> list[float]:
    """How often the best possible reader is right about a sequence of inputs, by the number of shots.

    It knows that the mapping is one of `mappings`, each as likely as another, and after every shot keeps those
    that agree with it; exact, by enumeration. With m mappings and v outputs it is the sum, over what the shots
    can have shown, of the number of mappings that agree with it and with the most frequent answer, over m.

    Args:
        mappings: the output of every input, for each mapping.
        inputs: those of the sequence, in order; the k-th, counted from 0, has k shots.
    """
    outputs = np.asarray(mappings)
    width = int(outputs.max()) + 1
    seen = np.zeros(len(outputs), dtype=np.int64)  # mappings with the same number agree on all shots so far
    accuracies = []
    for x in inputs:
        cells, cell_of, sizes = np.unique(seen * width + outputs[:, x], return_inverse=True, return_counts=True)
        most = np.zeros(int(seen.max()) + 1, dtype=np.int64)
        np.maximum.at(most, cells // width, sizes)
        accuracies.append(float(most.sum() / len(outputs)))
        seen = cell_of.reshape(-1)
    return accuracies


def most_frequent_output_accuracies(example: MappingExample, num_outputs: int) -> list[float]:
    """How often a reader is right who guesses the output shown most often, whatever was asked, by shots.

    Ties are broken at random, and with nothing shown every output is as good a guess.
    """
    accuracies = []
    for shots, answer in enumerate(example.answers):
        shown = example.answers[:shots]
        most = max((shown.count(output) for output in shown), default=0)
        ties = [output for output in set(shown) if shown.count(output) == most]
        accuracies.append((answer in ties) / len(ties) if ties else 1 / num_outputs)
    return accuracies


def reference_accuracies(family: str, seed: int, num_pairs: int, num_examples: int) -> dict[str, Any]:
    """What the accuracies of a family are to be read against, on the very questions that models are asked.

    Returns:
        `num_mappings` to train on; `chance`, one over the outputs; `bayes`, for each split: about mappings trained
        on, of a reader who knows all training mappings; about held-out ones, of one who knows the family but not
        what was held out; and `most_frequent_output` for each split. The latter two are lists by shots, None where
        no question counts.
    """
    facts = FAMILIES[family]
    known = {"training": split_mappings(family)["training"], "held_out": facts.mappings}
    result: dict[str, Any] = {"num_mappings": len(known["training"]), "chance": 1 / facts.num_outputs}
    result |= {"bayes": {}, "most_frequent_output": {}}
    for split in SPLITS:
        examples = list(MappingExamples(family, split, seed, num_pairs, num_examples))
        bayes = [bayes_accuracies(known[split], example.inputs) for example in examples]
        guess = [most_frequent_output_accuracies(example, facts.num_outputs) for example in examples]
        counted = [example.counted for example in examples]
        result["bayes"][split] = _means(bayes, counted)
        result["most_frequent_output"][split] = _means(guess, counted)
    return result


def _means(values: Iterable[Sequence[float]], counted: Sequence[Sequence[bool]]) -> list[float | None]:
    kept = np.asarray(counted, dtype=bool)
    numbers = np.where(kept, np.asarray(list(values), dtype=float), 0.0).sum(0)
    return [float(total / n) if n else None for total, n in zip(numbers, kept.sum(0), strict=True)]


def pool(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Runs that differ in their seeds alone, put together.

    The answers of all runs are pooled, by split and number of shots; the intervals are those of the answers
    asked. How much one training run differs from the next shows in `by_seed`: the accuracy after the most shots,
    one a seed.
    """
    same = ("family", "variant", "num_mappings", "parameters")
    pooled = {name: runs[0][name] for name in same} | {"seeds": [run["seed"] for run in runs]}
    pooled["seconds"] = sum(run["seconds"] for run in runs) / len(runs)
    pooled["by_seed"] = {split: [with_interval(run[split][-1])["accuracy"] for run in runs] for split in SPLITS}
    for split in SPLITS:
        columns = zip(*(run[split] for run in runs), strict=True)
        pooled[split] = [
            with_interval(column[0] | {name: sum(count[name] for count in column) for name in ("n", "correct")})
            for column in columns
        ]
    return pooled


def incontext_tables(pooled: Rows, references: dict[str, dict[str, Any]]) -> str:
    """Markdown: for each family a table over the architectures, and one over the numbers of training mappings.

    Args:
        pooled: as `pool` gives them.
        references: as `reference_accuracies` gives them, by family.
    """
    lines = []
    for family, reference in references.items():
        own = [row for row in pooled if row["family"] == family]
        whole = _whole(own, reference)
        if whole:
            lines += [f"{family}: accuracy in % about held-out mappings, by number of shots.", ""]
            lines += _shots_table(whole, reference)
        swept = _swept(own, reference)
        if swept:
            shots = len(swept[0]["held_out"]) - 1
            lines += [f"{family}: accuracy in % after {shots} shots, by number of mappings trained on.", ""]
            lines += [
                "| variant | mappings | trained on [95%] | held out [95%] | seeds |",
                "|---|---:|---:|---:|---|",
            ]
            for row in sorted(swept, key=lambda row: (row["variant"], row["num_mappings"])):
                cells = [row["variant"], f"{row['num_mappings']:,}", *(_share(row[name][-1]) for name in SPLITS)]
                lines.append(f"| {' | '.join([*cells, _seeds(row['by_seed']['held_out'])])} |")
            lines.append("")
    return "\n".join(lines)


def _whole(rows: Rows, reference: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a family's rows those that trained on all training mappings."""
    return [row for row in rows if row["num_mappings"] == reference["num_mappings"]]


def _swept(rows: Rows, reference: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a family's rows those of variants that also trained on fewer mappings."""
    variants = {row["variant"] for row in rows if row["num_mappings"] < reference["num_mappings"]}
    return [row for row in rows if row["variant"] in variants]


def _shots_table(rows: Rows, reference: dict[str, Any]) -> list[str]:
    asked = [count["shots"] for count in rows[0]["held_out"] if count["n"]]
    last = asked[-1]
    header = [
        "variant",
        "parameters",
        *map(str, asked),
        f"{last} [95%]",
        "seeds",
        f"mappings trained on, {last} [95%]",
    ]
    lines = [f"| {' | '.join(header)} |", f"|---|{'---:|' * (len(header) - 1)}"]
    for row in rows:
        cells = [row["variant"], f"{row['parameters']:,}"]
        cells += [f"{100 * row['held_out'][shots]['accuracy']:.0f}" for shots in asked]
        cells += [_share(row["held_out"][last]), _seeds(row["by_seed"]["held_out"]), _share(row["training"][last])]
        lines.append(f"| {' | '.join(cells)} |")
    named = {"best possible": "bayes", "most frequent output shown": "most_frequent_output"}
    for label, name in named.items():
        held_out, trained = reference[name]["held_out"], reference[name]["training"]
        cells = [label, "", *(f"{100 * held_out[shots]:.0f}" for shots in asked)]
        lines.append(f"| {' | '.join([*cells, '', '', f'{100 * trained[last]:.0f}'])} |")
    return [*lines, ""]


def _share(count: dict[str, Any]) -> str:
    low, high = count["interval"]
    return f"{100 * count['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _seeds(accuracies: Sequence[float]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in accuracies)


@styled
def draw_incontext(pooled: Rows, references: dict[str, dict[str, Any]], path: str | Path) -> None:
    """Draw accuracy against shots, a row of panels a family and a panel a kind of architecture; and, where runs
    with fewer training mappings are among the rows, accuracy after the most shots against their number.

    Arguments as for `incontext_tables`; writes PNG.
    """
    families = {family: [row for row in pooled if row["family"] == family] for family in references}
    families = {family: rows for family, rows in families.items() if rows}
    swept = any(_swept(rows, references[family]) for family, rows in families.items())
    columns = len(_GROUPS) + int(swept)
    figure = new_figure(4 * columns, 3.9 * len(families))
    panels = figure.subplots(len(families), columns, sharey=True, squeeze=False)
    for (family, rows), panel_row in zip(families.items(), panels, strict=True):
        reference = references[family]
        for axes, group in zip(panel_row, _GROUPS, strict=False):
            own = [row for row in _whole(rows, reference) if _group(row["variant"]) == group]
            _draw_shots(axes, own, reference)
            axes.set_title(f"{family}: {group}", fontsize="medium")
        if swept:
            _draw_mappings(panel_row[-1], _swept(rows, reference))
            panel_row[-1].set_title(f"{family}: how many mappings", fontsize="medium")
        panel_row[0].set_ylabel("right, %")
        panel_row[0].set_ylim(*_PERCENT)
    save_figure(figure, path)


def _group(variant: str) -> str:
    if variant.startswith("perceiver"):
        return _GROUPS[2]
    return _GROUPS[int("synthesizer" in variant or "linformer" in variant)]


def _draw_shots(axes: Axes, rows: Rows, reference: dict[str, Any]) -> None:
    """Solid about held-out mappings, dashed about those trained on."""
    best = reference["bayes"]["held_out"]
    asked = [shots for shots, value in enumerate(best) if value is not None]
    axes.plot(asked, [100 * best[shots] for shots in asked], color="black", linewidth=1, label="best possible")
    guess = reference["most_frequent_output"]["held_out"]
    axes.plot(asked, [100 * guess[shots] for shots in asked], "-.", color="gray", label="most frequent output")
    axes.axhline(100 * reference["chance"], linestyle=":", color="gray", label="chance")
    for number, row in enumerate(rows):
        colour = f"C{number}"
        for split, style in (("held_out", "o-"), ("training", "--")):
            heights, low, high = _band([row[split][shots] for shots in asked])
            label = row["variant"] if split == "held_out" else None
            width = 3.5 - 0.8 * number  # a line that covers another one leaves its edges to be seen
            axes.plot(asked, heights, style, markersize=3, linewidth=width, color=colour, label=label)
            axes.fill_between(asked, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("shots (dashed: mappings trained on)")
    axes.grid(visible=False, axis="x")
    axes.legend(fontsize="x-small")


def _draw_mappings(axes: Axes, rows: Rows) -> None:
    for number, variant in enumerate(dict.fromkeys(row["variant"] for row in rows)):
        own = sorted((row for row in rows if row["variant"] == variant), key=lambda row: row["num_mappings"])
        counts = [row["num_mappings"] for row in own]
        for split, style in (("held_out", "o-"), ("training", "o--")):
            heights, low, high = _band([row[split][-1] for row in own])
            label = f"{variant}, {'held out' if split == 'held_out' else 'trained on'}"
            axes.plot(counts, heights, style, markersize=3, color=f"C{number}", label=label)
            axes.fill_between(counts, low, high, color=f"C{number}", alpha=0.15, linewidth=0)
    log_axis(axes, sorted({row["num_mappings"] for row in rows}))
    axes.set_xlabel("mappings trained on; after the most shots")
    axes.grid(visible=False, axis="x")
    if rows:
        axes.legend(fontsize="x-small", handlelength=4)


def _band(counts: Sequence[dict[str, Any]]) -> tuple[list[float], list[float], list[float]]:
    """Percentages, and the ends of their intervals."""
    low, high = ([100 * count["interval"][end] for count in counts] for end in (0, 1))
    return [100 * count["accuracy"] for count in counts], low, high
