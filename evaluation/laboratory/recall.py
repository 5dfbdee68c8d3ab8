"""How often the right token was recalled, and from how far: counts, a table and a plot for the probes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from closedbook.data.generated.probes import ProbeExample, ProbeExamples
from closedbook.evaluation.figures import new_figure, save_figure, styled
from closedbook.evaluation.statistics.intervals import wilson_interval

_STYLES = ("-", "--", "-.", ":")


def as_batch(examples: Sequence[ProbeExample]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Token ids `(examples, block)`, and for all questions their rows, places and answers, `(questions,)` each."""
    rows = [row for row, example in enumerate(examples) for _ in example.places]
    places = [place for example in examples for place in example.places]
    answers = [answer for example in examples for answer in example.answers]
    ids = torch.tensor([example.tokens for example in examples])
    return ids, torch.tensor(rows), torch.tensor(places), torch.tensor(answers)


@torch.no_grad()
def recall(model, examples: ProbeExamples, batch_size: int) -> tuple[list[int], list[int], list[bool]]:
    """For every question of the examples: how far the answer's source lies back, its place, and the outcome.

    Right means that the likeliest token is the answer, given all true tokens up to the question.
    """
    distances, sources, right = [], [], []
    for first in range(0, len(examples), batch_size):
        batch = [examples[index] for index in range(first, min(first + batch_size, len(examples)))]
        ids, rows, places, answers = as_batch(batch)
        guesses = model(input_ids=ids, use_cache=False).logits[rows, places].argmax(-1)
        right += (guesses == answers).tolist()
        sources += [source for example in batch for source in example.sources]
        distances += [distance for example in batch for distance in example.distances]
    return distances, sources, right


def count_recall(places: Iterable[int], right: Iterable[bool], block_size: int, width: int) -> list[dict]:
    """Count right answers in buckets of `width` tokens.

    Args:
        places: of each answer, what it is sorted by: its distance from its source, or its source's place; in
            0 .. block_size - 1.
        right: whether each answer was right.
        block_size: tokens of the block.
        width: tokens of a bucket.

    Returns:
        a dict `{"from", "to", "n", "correct"}` for each bucket, the last token included in it, from 0 on.
    """
    buckets = [
        {"from": start, "to": min(start + width, block_size) - 1, "n": 0, "correct": 0}
        for start in range(0, block_size, width)
    ]
    for place, is_right in zip(places, right, strict=True):
        buckets[place // width]["n"] += 1
        buckets[place // width]["correct"] += int(is_right)
    return buckets


def with_interval(count: dict[str, Any]) -> dict[str, Any]:
    """Add `accuracy` and its 95% Wilson `interval`; None where nothing was asked."""
    if not count["n"]:
        return count | {"accuracy": None, "interval": None}
    interval = list(wilson_interval(count["correct"], count["n"]))
    return count | {"accuracy": count["correct"] / count["n"], "interval": interval}


def pool(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One variant's runs, which differ in their seeds, put together.

    The answers of all runs are pooled, in all and bucket by bucket. The intervals are those of the answers
    asked; how much one training run differs from the next shows in `accuracies`, one a seed.
    """
    first = runs[0]
    pooled = {"variant": first["variant"], "parameters": first["parameters"], "seeds": [r["seed"] for r in runs]}
    pooled["accuracies"] = [run["accuracy"] for run in runs]
    pooled["seconds"] = sum(run["seconds"] for run in runs) / len(runs)
    pooled |= with_interval({name: sum(run[name] for run in runs) for name in ("n", "correct")})
    for axis in ("by_distance", "by_source"):
        columns = zip(*(run[axis] for run in runs), strict=True)
        pooled[axis] = [
            with_interval({**bucket[0], **{name: sum(item[name] for item in bucket) for name in ("n", "correct")}})
            for bucket in columns
        ]
    return pooled


def recall_table(pooled: Sequence[dict[str, Any]], unit: str) -> str:
    """Markdown: a row a variant; in all with the interval, then by distance and by place of the source.

    Args:
        pooled: as `pool` gives them.
        unit: what a bucket is called, for the line above the table.
    """
    lines = []
    for axis, title in (("by_distance", "distance from source to answer"), ("by_source", "place of the source")):
        asked = [number for number in range(len(pooled[0][axis])) if any(row[axis][number]["n"] for row in pooled)]
        names = [f"{pooled[0][axis][number]['from']}-{pooled[0][axis][number]['to']}" for number in asked]
        lines += [f"Accuracy in % by {title}, in tokens ({unit}):", ""]
        lines.append(f"| variant | parameters | all [95% interval] | seeds | {' | '.join(names)} |")
        lines.append(f"|---|---:|---:|---:|{'---:|' * len(names)}")
        for row in pooled:
            low, high = row["interval"]
            cells = [row["variant"], f"{row['parameters']:,}"]
            cells.append(f"{100 * row['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
            cells.append(", ".join(f"{100 * value:.1f}" for value in row["accuracies"]))
            shares = [row[axis][number]["accuracy"] for number in asked]
            cells += ["" if share is None else f"{100 * share:.0f}" for share in shares]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


@styled
def plot_recall(pooled: Sequence[dict[str, Any]], title: str, path: str | Path) -> None:
    """Draw accuracy over distance and over the place of the source, a line a variant, as PNG."""
    figure = new_figure(11, 4.5)
    panels = figure.subplots(1, 2, sharey=True)
    labels = ("distance from source to answer, tokens", "place of the source in the block")
    for axes, axis, label in zip(panels, ("by_distance", "by_source"), labels, strict=True):
        for number, row in enumerate(pooled):
            asked = [bucket for bucket in row[axis] if bucket["n"]]
            middles = [(bucket["from"] + bucket["to"]) / 2 for bucket in asked]
            low, high = ([100 * bucket["interval"][end] for bucket in asked] for end in (0, 1))
            style = _STYLES[number // 10 % len(_STYLES)]
            accuracies = [100 * bucket["accuracy"] for bucket in asked]
            (line,) = axes.plot(middles, accuracies, "o" + style, markersize=3, label=row["variant"])
            axes.fill_between(middles, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
        axes.set_xlabel(label)
        axes.set_ylim(-2, 102)
    panels[0].set_ylabel("recalled, %")
    figure.suptitle(title)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    save_figure(figure, path)
