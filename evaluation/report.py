"""Tables and plots from result files and training logs.

python -m closedbook.evaluation.report --results results --output outputs/report
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg  # draws to files; needs no screen
from matplotlib.figure import Figure

from closedbook.evaluation.intervals import wilson_interval
from closedbook.evaluation.results import load_results, open_atomic, write_jsonl_atomic, write_text_atomic

_DOTS_PER_INCH = 150
_TABLE_COLUMNS = (
    "system",
    "protocol",
    "parameters",
    "accuracy [95% interval]",
    "seeds",
    "questions",
    "training characters",
)


@dataclass(frozen=True)
class Summary:
    """The runs of one system that differ in their seeds only.

    Attributes:
        task, split, model, protocol, parameters, n: As in the results, where they are the same for all runs.
        accuracies: One accuracy a run, in [0, 1], in the order of the seeds.
        seeds: The seeds, ascending.
        train_characters: Characters seen in training, mean over the runs.
    """

    task: str
    split: str
    model: str
    protocol: str
    parameters: int
    n: int
    accuracies: tuple[float, ...]
    seeds: tuple[int, ...]
    train_characters: int

    @property
    def accuracy(self) -> float:
        """Mean accuracy over the runs."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def interval(self) -> tuple[float, float]:
        """95% Wilson interval of the mean accuracy for the `n` questions.

        The runs answer the same questions, so that more seeds do not make the questions more: the interval is
        that of `n` trials, the mean count rounded to a whole question.
        """
        return wilson_interval(round(self.accuracy * self.n), self.n)


def summarize(results: Sequence[dict[str, Any]]) -> list[Summary]:
    """Group results by system and sort them by task, split, and ascending mean accuracy.

    Raises:
        ValueError: If two results of one system have the same seed: one of them is a leftover.
    """
    fields = ("task", "split", "model", "protocol", "parameters", "n")

    def system(result: dict[str, Any]) -> tuple:
        return tuple(result[field] for field in fields)

    summaries = []
    for key, group in groupby(sorted(results, key=lambda r: (*system(r), r["seed"])), key=system):
        runs = list(group)
        seeds = tuple(run["seed"] for run in runs)
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"two results of {dict(zip(fields, key, strict=True))} share a seed: {seeds}.")
        summaries.append(
            Summary(
                *key,
                accuracies=tuple(run["accuracy"] for run in runs),
                seeds=seeds,
                train_characters=round(sum(run["train_characters"] for run in runs) / len(runs)),
            )
        )
    return sorted(summaries, key=lambda summary: (summary.task, summary.split, summary.accuracy))


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown table of results, one row a system, under a heading for every task and split."""
    lines = []
    for (task, split), group in groupby(summarize(results), key=lambda summary: (summary.task, summary.split)):
        lines += [
            f"### {task}, {split}",
            "",
            f"| {' | '.join(_TABLE_COLUMNS)} |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        lines += [_table_row(summary) for summary in group]
        lines.append("")
    return "\n".join(lines)


def _table_row(summary: Summary) -> str:
    low, high = summary.interval
    seeds = str(len(summary.seeds))
    if len(summary.seeds) > 1:
        seeds += f" ({min(summary.accuracies):.1%} to {max(summary.accuracies):.1%})"
    cells = [
        summary.model,
        summary.protocol.replace("_", " "),
        f"{summary.parameters:,}",
        f"{summary.accuracy:.1%} [{low:.1%}, {high:.1%}]",
        seeds,
        f"{summary.n:,}",
        f"{summary.train_characters:,}",
    ]
    return f"| {' | '.join(cells)} |"


def plot_accuracies(results: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Draw one bar a system with its 95% interval, and a dot a seed, as PNG.

    Raises:
        ValueError: If there are no results, or they mix tasks or splits, whose accuracies do not compare.
    """
    summaries = summarize(results)
    sets = sorted({(summary.task, summary.split) for summary in summaries})
    if len(sets) != 1:
        raise ValueError(f"a plot compares systems on one task and split, but the results hold {sets or 'none'}.")
    task, split = sets[0]
    figure = Figure(figsize=(7, 1.2 + 0.45 * len(summaries)), layout="constrained")
    axes = figure.subplots()
    _draw_accuracies(axes, summaries)
    axes.set_title(f"{task}, {split}: 95% intervals, n = {', '.join(sorted({f'{s.n:,}' for s in summaries}))}")
    _save(figure, path)


def _draw_accuracies(axes: Axes, summaries: Sequence[Summary]) -> None:
    for row, summary in enumerate(summaries):
        low, high = summary.interval
        center = summary.accuracy
        # Rounding to whole questions may put an end on the wrong side of the mean by a fraction of a
        # question.
        reach = [[100 * max(0.0, center - low)], [100 * max(0.0, high - center)]]
        axes.barh(row, 100 * center, xerr=reach, color="tab:blue", alpha=0.6, capsize=3)
        if len(summary.seeds) > 1:
            axes.plot([100 * value for value in summary.accuracies], [row] * len(summary.seeds), "k.", ms=4)
    names = [f"{summary.model}, {summary.protocol.replace('_', ' ')}" for summary in summaries]
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(left=0)
    axes.set_xlabel("exact match, %")


def plot_stages(
    histories: dict[str, Sequence[dict[str, Any]]], results: Sequence[dict[str, Any]], path: str | Path
) -> None:
    """Draw the training loss of each stage of a run above the accuracies it led to, as PNG.

    Args:
        histories: Name of a stage -> its log history, in the order of the stages.
        results: Results on one task and split.
        path: The PNG to write.
    """
    summaries = summarize(results)
    figure = Figure(figsize=(8, 4.5 + 0.4 * len(summaries)), layout="constrained")
    upper, lower = figure.subfigures(2, height_ratios=(3, 1.2 + 0.4 * len(summaries)))
    stages = upper.subplots(1, len(histories), squeeze=False)[0]
    for axes, (name, history) in zip(stages, histories.items(), strict=True):
        points = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
        axes.plot(*zip(*points, strict=True))
        axes.set_title(name)
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
    stages[0].set_ylabel("loss, nats a character")
    axes = lower.subplots()
    _draw_accuracies(axes, summaries)
    axes.set_title(f"right answers of {summaries[0].n:,}, with 95% intervals")
    axes.set_xlim(0, 100)
    _save(figure, path)


def read_log_history(trainer_state: str | Path) -> list[dict[str, Any]]:
    """The log of a run: the `log_history` that the Trainer keeps in trainer_state.json.

    Raises:
        ValueError: If the file holds none.
    """
    state = json.loads(Path(trainer_state).read_text(encoding="utf-8"))
    if not isinstance(state, dict) or "log_history" not in state:
        raise ValueError(f"{trainer_state} holds no log_history; give the trainer_state.json of a checkpoint.")
    return state["log_history"]


def plot_run(log_history: Sequence[dict[str, Any]], path: str | Path, title: str = "") -> None:
    """Draw a run's training and evaluation loss (nats a token) and its learning rate over the steps, as PNG.

    Args:
        log_history: The Trainer's `state.log_history`: dicts with `step` and any of `loss`, `eval_loss` and
            `learning_rate`. Quantities that were never logged are left out.
        path: The PNG to write.
        title: Text above the plot.

    Raises:
        ValueError: If no loss was logged.
    """
    curves = {
        name: [(entry["step"], entry[name]) for entry in log_history if name in entry]
        for name in ("loss", "eval_loss", "learning_rate")
    }
    if not curves["loss"] and not curves["eval_loss"]:
        raise ValueError("the log holds no loss; set logging_steps below the number of training steps.")
    figure = Figure(figsize=(7, 5), layout="constrained")
    losses, rates = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    for name, label, style in (("loss", "training", "-"), ("eval_loss", "evaluation", "o-")):
        if curves[name]:
            losses.plot(*zip(*curves[name], strict=True), style, label=label, markersize=3)
    losses.set_ylabel("loss, nats a token")
    losses.legend()
    losses.set_title(title)
    if curves["learning_rate"]:
        rates.plot(*zip(*curves["learning_rate"], strict=True), color="tab:gray")
    rates.set_ylabel("learning rate")
    rates.set_xlabel("step")
    _save(figure, path)


def _save(figure: Figure, path: str | Path) -> None:
    with open_atomic(path, "wb") as file:
        FigureCanvasAgg(figure).print_figure(file, format="png", dpi=_DOTS_PER_INCH)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write results.md, one accuracy plot a task and split, and the curves of the runs named."""
    parser = argparse.ArgumentParser(description="Write a table and plots from a folder of results.")
    parser.add_argument("--results", type=Path, required=True, help="folder of <task>/<name>.json results")
    parser.add_argument("--output", type=Path, required=True, help="folder for results.md and the plots")
    parser.add_argument(
        "--runs", type=Path, nargs="*", default=[], help="run folders: draw their loss and keep their log"
    )
    options = parser.parse_args(arguments)
    results = load_results(options.results)
    table = results_table(results)
    write_text_atomic(options.output / "results.md", table)
    for task, split in sorted({(result["task"], result["split"]) for result in results}):
        chosen = [result for result in results if (result["task"], result["split"]) == (task, split)]
        plot_accuracies(chosen, options.output / f"accuracy-{task}-{split}.png")
    for run in options.runs:
        history = read_log_history(run / "trainer_state.json")
        plot_run(history, options.output / f"{run.name}.png", title=run.name)
        write_jsonl_atomic(options.output / f"{run.name}.jsonl", history)
    print(table)


if __name__ == "__main__":
    main()
