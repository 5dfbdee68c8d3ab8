"""Pictures of accuracies and of training: what was reached, and on the way of how many characters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedbook.evaluation.figures import COLORS, GRAY, MARKERS, new_figure, save_figure, set_title, styled
from closedbook.evaluation.files import read_json_object
from closedbook.evaluation.reports.tables import Summary, summaries_of_one_set
from closedbook.evaluation.run_record import Run, Stage, read_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def accuracy_figure(results: Sequence[dict[str, Any]], published: dict[str, Any] | None = None) -> Figure:
    """One row a system with its 95% interval, and a dot a seed.

    Args:
        results: Of one task and split.
        published: An entry of `read_published`: the best run of each system, and the ceiling, become lines.

    Raises:
        ValueError: If there are no results, or they mix tasks or splits.
    """
    summaries = summaries_of_one_set(results)
    references = _references(published)
    figure = new_figure(8, 1.5 + 0.4 * len(summaries) + 0.25 * len(references))
    axes = figure.subplots()
    _draw_accuracies(axes, summaries)
    axes.set_xlim(0, 100)
    axes.set_ylim(-0.6, len(summaries) - 0.4)
    for number, (label, value) in enumerate(references):
        axes.axvline(
            100 * value,
            color=COLORS[number % len(COLORS)],
            linestyle=(0, (4, 1 + number)),
            linewidth=1.2,
            label=label,
        )
    numbers = ", ".join(sorted({f"{summary.n:,}" for summary in summaries}))
    task, split = summaries[0].task, summaries[0].split
    set_title(figure, f"{task}, {split}: right answers to {numbers} questions, with 95% intervals")
    if references:
        figure.legend(
            loc="outside lower left", fontsize=8.5, title="published, best run", alignment="left", ncols=2
        )
    return figure


def _references(published: dict[str, Any] | None) -> list[tuple[str, float]]:
    lines = []
    for entry in (published or {}).get("systems", []):
        best = max(entry["accuracy"])
        lines.append((f"{entry['system']}: {best:.1%}", best))
    if published and "ceiling" in published:
        share = published["ceiling"]["correct"] / published["ceiling"]["n"]
        lines.append((f"ceiling: {share:.1%}", share))
    return sorted(lines, key=lambda line: line[1])


def _draw_accuracies(axes: Axes, summaries: Sequence[Summary]) -> None:
    for line, summary in enumerate(summaries):
        low, high = summary.interval
        center = summary.accuracy
        # Rounding to whole questions may put an end on the wrong side of the mean by a fraction of a
        # question.
        reach = [[100 * max(0.0, center - low)], [100 * max(0.0, high - center)]]
        axes.errorbar(100 * center, line, xerr=reach, fmt="o", color="black", markersize=5, capsize=3)
        if len(summary.seeds) > 1:
            seeds = [100 * value for value in summary.accuracies]
            axes.plot(seeds, [line - 0.2] * len(seeds), "|", color=GRAY, markersize=6)
        axes.annotate(
            f"{center:.1%}",
            (100 * max(high, center), line),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(summaries)), [summary.label for summary in summaries])
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("exact match, % of the questions")


@styled
def plot_stages(
    histories: dict[str, Sequence[dict[str, Any]]], results: Sequence[dict[str, Any]], path: str | Path
) -> None:
    """Draw the training loss of each stage of a run above the accuracies it led to, as PNG.

    Args:
        histories: Name of a stage -> its log history, in the order of the stages.
        results: Results on one task and split.
        path: The PNG to write.
    """
    summaries = summaries_of_one_set(results)
    figure = new_figure(8, 4.5 + 0.4 * len(summaries))
    upper, lower = figure.subfigures(2, height_ratios=(3, 1.2 + 0.4 * len(summaries)))
    stages = upper.subplots(1, len(histories), squeeze=False)[0]
    for axes, (name, history) in zip(stages, histories.items(), strict=True):
        axes.plot(*_columns(_series(history, "loss", 1, 0)), color=COLORS[0])
        axes.set_title(name)
        axes.set_xlabel("step")
        axes.set_ylim(bottom=0)
    stages[0].set_ylabel("loss, nats a character")
    axes = lower.subplots()
    _draw_accuracies(axes, summaries)
    axes.set_title(f"right answers of {summaries[0].n:,}, with 95% intervals")
    axes.set_xlim(0, 100)
    save_figure(figure, path)


def read_log_history(trainer_state: str | Path) -> list[dict[str, Any]]:
    """The log of a run: the `log_history` that the Trainer keeps in trainer_state.json.

    Raises:
        ValueError: If the file holds none.
    """
    state = read_json_object(trainer_state)
    if "log_history" not in state:
        raise ValueError(f"{trainer_state} holds no log_history; give the trainer_state.json of a checkpoint.")
    return state["log_history"]


def read_curve(folder: str | Path, run: Run) -> dict[str, Any]:
    """What a finished run logged, against the characters it had read.

    The log counts steps. All steps of a stage count alike, the stage's characters divided by its steps: what a
    step reads differs by a few per cent only, and by more where the mixture changes within the run.

    The pretraining of a fine-tuned run is looked for where the run file says it started from, and beside the
    folder; `missing` says so where it isn't there any more.

    Args:
        folder: The run's folder, with trainer_state.json.
        run: Its record.

    Returns:
        JSON-ready: `name`, `model`, `protocol`, `recipe`, `seed`; `stages`, each with `stage`, `begin`, `end` in
        characters; `loss` and `eval_loss`, each [characters, nats a character, number of the stage]; `accuracy`,
        each [characters, share of held-out training people's questions answered, number of the stage]; `missing`,
        a list of sentences.

    Raises:
        ValueError: If the run is not finished, or its folder holds no log.
    """
    folder = Path(folder)
    curve = {
        "name": folder.resolve().name,
        "model": run.last.model,
        "protocol": run.protocol,
        "recipe": run.recipes,
        "seed": run.last.seed,
        "stages": [],
        "loss": [],
        "eval_loss": [],
        "accuracy": [],
        "missing": [],
    }
    begin = 0
    for number, stage in enumerate(run.stages):
        if not stage.steps or not stage.train_characters:
            raise ValueError(
                f"{folder}: a stage of this run has no steps or characters in run.json: is it finished?"
            )
        end = begin + stage.train_characters
        curve["stages"].append({"stage": stage.stage or "training", "begin": begin, "end": end})
        log = folder / "trainer_state.json" if stage is run.last else _find_log(folder, run, stage)
        if log is None:
            curve["missing"].append(f"the log of stage {number + 1}, {stage.stage}, is not beside {folder.name}")
        else:
            history, characters = read_log_history(log), stage.train_characters / stage.steps
            for name, key in (("loss", "loss"), ("eval_loss", "eval_loss"), ("accuracy", "eval_exact_match")):
                curve[name] += [[*point, number] for point in _series(history, key, characters, begin)]
        begin = end
    return curve


_SAME_STAGE = ("seed", "steps", "train_characters", "recipe")  # a log is that of a stage if these agree


def _find_log(folder: Path, run: Run, stage: Stage) -> Path | None:
    """The log of an earlier stage, if its folder is still there and still holds that very run."""
    started_from = run.last.arguments.get("model")
    candidates = [Path(started_from)] if started_from else []
    candidates += [folder.resolve().parent / run.last.base_model] if run.last.base_model else []
    for candidate in candidates:
        log = candidate / "trainer_state.json"
        if log.is_file():
            found = read_run(candidate).last
            if all(getattr(found, name) == getattr(stage, name) for name in _SAME_STAGE):
                return log
    return None


def _series(
    history: Sequence[dict[str, Any]], key: str, factor: float, offset: float
) -> list[tuple[float, float]]:
    return [(round(offset + factor * entry["step"]), entry[key]) for entry in history if key in entry]


def _columns(points: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]


@styled
def learning_figure(curves: Sequence[dict[str, Any]]) -> Figure:
    """Accuracy and loss against the characters read, one colour a run.

    Args:
        curves: Of `read_curve`.

    Raises:
        ValueError: If nothing was logged.
    """
    answered = any(curve["accuracy"] for curve in curves)
    learned = any(curve["loss"] or curve["eval_loss"] for curve in curves)
    if not answered and not learned:
        raise ValueError("the logs hold no loss; set logging_steps below the number of training steps.")
    figure = new_figure(8, 3 * (answered + learned) + 0.6)
    panels = list(figure.subplots(answered + learned, sharex=True, squeeze=False)[:, 0])
    for number, curve in enumerate(curves):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        if answered:
            _draw_series(
                panels[0], curve["accuracy"], 100, color=color, marker=marker, markersize=4, label=curve["name"]
            )
        if learned:
            _draw_series(
                panels[-1],
                curve["loss"],
                1,
                color=color,
                linewidth=1,
                alpha=0.6,
                label=f"{curve['name']}, training",
            )
            _draw_series(
                panels[-1],
                curve["eval_loss"],
                1,
                color=color,
                marker=marker,
                markersize=4,
                linestyle="--",
                label=f"{curve['name']}, evaluation",
            )
        for stage in curve["stages"][1:]:
            for axes in panels:
                axes.axvline(stage["begin"] / 1e6, color=color, linewidth=0.8, linestyle=":")
    if answered:
        panels[0].set(ylabel="exact match, %", ylim=(0, 100), title="Questions about people held out of training")
    if learned:
        panels[-1].set(ylabel="loss, nats a character", title="Loss; a dotted line begins the next stage")
        panels[-1].set_ylim(bottom=0)
    for axes in panels:
        axes.legend(fontsize=8.5)
    panels[-1].set_xlabel("characters read in training, millions")
    panels[-1].set_xlim(left=0)
    return figure


def _draw_series(axes: Axes, points: Sequence[Sequence[float]], scale: float, label: str, **style) -> None:
    """A line for each stage, so that no line joins two that measure different things."""
    for stage in sorted({point[2] for point in points}):
        mine = [point for point in points if point[2] == stage]
        characters, values = _columns(mine)
        axes.plot([c / 1e6 for c in characters], [scale * v for v in values], label=label, **style)
        label = "_nolegend_"
