"""What the arms of `reasoning.py` come to: accuracy, rationales, cost, and comparisons with asking directly."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from closedbook.evaluation.figures import new_figure, save_figure, styled
from closedbook.evaluation.prompting.arm_files import TRUTH, ArmFormat, arm_paths, read_arm_file
from closedbook.evaluation.prompting.reasoning import ARMS, REASONED, ReasoningArm
from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.evaluation.statistics.paired import compare_paired, p_value_text
from closedbook.evaluation.statistics.prompt_luck import arm_difference, mean_interval

BASELINES = ("direct", "zero_shot")  # what arms are compared with: the first of them that was asked
VERDICTS = ("right", "wrong", "not checkable")

Rows = Sequence[dict[str, Any]]


def _is_steps(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(step, dict) and "holds" in step for step in value)


_FORMAT = ArmFormat(
    fields={
        "right": TRUTH,
        "extracted": (lambda value: value is None or isinstance(value, str), "the number given, or null"),
        "verdict": (lambda value: value is None or value in VERDICTS, f"{', '.join(VERDICTS)}, or null"),
        "steps": (_is_steps, "a list of objects with holds"),
    },
    settings=tuple(field.name for field in fields(ReasoningArm)),
    counts=("num_shots", "num_samples", "seed"),
)


def read_reasoning_arm(path: str | Path) -> list[dict[str, Any]]:
    """The lines of one arm, as `answer_by_reasoning` gives them, with the arm.

    Raises:
        ValueError: If a line is no record of an answer, or the lines are not of one arm; the message names
            file and line.
    """
    return read_arm_file(path, _FORMAT)


def read_reasoning_arms(folder: str | Path) -> list[Rows]:
    """The rows of every arm of a sweep's folder.

    Raises:
        FileNotFoundError: If it holds none.
        ValueError: As `read_reasoning_arm` does.
    """
    return [read_reasoning_arm(path) for path in arm_paths(folder)]


def summarise_reasoning(runs: Sequence[Rows]) -> list[dict[str, Any]]:
    """One summary an arm, over its seeds.

    Args:
        runs: The rows of every arm and seed, about the same questions; each row as `answer_by_reasoning` gives it,
            with `arm`, the arm's fields.

    Returns:
        JSON-ready dicts in the order of `ARMS`: the arm's fields with `seeds` for `seed`, `n`, `accuracy` (mean
        over seeds), `interval` (95%, for other questions and other seeds; Wilson's for one seed), `by_seed`,
        `new_tokens` (mean a question, all samples), `no_number`, `unfinished` (shares of the answers), `dropped`
        (demonstrations that had no room, all prompts), `rationales` (None in arms without; counts of verdicts
        over all answers and over the right ones, and `right_share`: of the right answers, how many have a right
        rationale, with its Wilson interval, which takes every answer for itself), and `against` (None for the
        baseline; else `baseline`, `difference` with `interval` and `p_value`, and for each pair of runs the
        questions `gained` and `lost` with `p_mcnemar`).

    Raises:
        ValueError: If arms were asked different questions.
    """
    grouped: dict[tuple, list[Rows]] = {}
    for rows in sorted(runs, key=lambda rows: (ARMS.index(rows[0]["arm"]["name"]), rows[0]["arm"]["seed"])):
        settings = {name: value for name, value in rows[0]["arm"].items() if name != "seed"}
        grouped.setdefault(tuple(settings.items()), []).append(rows)
    asked = {tuple(row["question"] for row in rows) for rows in runs}
    if len(asked) > 1:
        raise ValueError("these arms were asked different questions, which do not compare")
    tables = {
        key: np.array([[row["right"] for row in rows] for rows in own], float) for key, own in grouped.items()
    }
    baseline = next((key for name in BASELINES for key in tables if dict(key)["name"] == name), None)
    summaries = []
    for key, own in grouped.items():
        table = tables[key]
        answers = [row for rows in own for row in rows]
        summaries.append(
            {
                **dict(key),
                "seeds": [rows[0]["arm"]["seed"] for rows in own],
                "n": table.shape[1],
                "accuracy": float(table.mean()),
                "interval": list(mean_interval(table)),
                "by_seed": [float(mean) for mean in table.mean(axis=1)],
                "new_tokens": float(np.mean([row["new_tokens"] for row in answers])),
                "no_number": float(np.mean([row["extracted"] is None for row in answers])),
                "unfinished": float(np.mean([not row["complete"] for row in answers])),
                "dropped": sum(row["dropped"] for row in answers),
                "rationales": _rationales(answers) if dict(key)["name"] in REASONED else None,
                "against": None if baseline in (None, key) else _against(baseline, tables, key),
            }
        )
    return summaries


def _rationales(answers: Rows) -> dict[str, Any]:
    right = [row["verdict"] for row in answers if row["right"]]
    num_steps = sum(len(row["steps"]) for row in answers)
    return {
        "all": {verdict: sum(row["verdict"] == verdict for row in answers) for verdict in VERDICTS},
        "of_right_answers": {verdict: right.count(verdict) for verdict in VERDICTS},
        "right_share": right.count("right") / len(right) if right else None,
        "right_share_interval": list(wilson_interval(right.count("right"), len(right))) if right else None,
        "steps": num_steps,
        "steps_that_hold": sum(step["holds"] for row in answers for step in row["steps"]),
    }


def _against(baseline: tuple, tables: dict[tuple, np.ndarray], key: tuple) -> dict[str, Any] | None:
    """Run by run; None while a sweep is unfinished, so that runs do not pair."""
    first, second = tables[baseline], tables[key]
    count = max(len(first), len(second))
    if not {len(first), len(second)} <= {1, count}:
        return None
    difference = arm_difference(first, second)
    pairs = [(first[run % len(first)] > 0, second[run % len(second)] > 0) for run in range(count)]
    compared = [compare_paired(list(one), list(other)) for one, other in pairs]
    return {
        "baseline": dict(baseline)["name"],
        "difference": difference.difference,
        "interval": list(difference.interval),
        "p_value": difference.p_value,
        "runs": [
            {"gained": one.only_second, "lost": one.only_first, "p_mcnemar": one.p_value} for one in compared
        ],
    }


def reasoning_table(summaries: Sequence[dict[str, Any]]) -> str:
    """A Markdown table, an arm a row."""
    lines = [
        "| arm | shots | samples | seeds | right, % [95%] | single seeds, % | points against the baseline [95%] "
        "| right answers with a right rationale | tokens a question |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in summaries:
        low, high = row["interval"]
        cells = [
            row["name"],
            str(row["num_shots"]),
            str(row["num_samples"]),
            str(len(row["seeds"])),
            f"{100 * row['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
            ", ".join(f"{100 * value:.0f}" for value in row["by_seed"]),
            _compared(row["against"]),
            _rationale_cell(row["rationales"]),
            f"{row['new_tokens']:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _compared(against: dict[str, Any] | None) -> str:
    if against is None:
        return ""
    low, high = against["interval"]
    p_value = p_value_text(against["p_value"])
    return (
        f"{100 * against['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}], "
        f"p {'' if p_value.startswith('<') else '= '}{p_value} ({against['baseline']})"
    )


def _rationale_cell(rationales: dict[str, Any] | None) -> str:
    if rationales is None:
        return ""
    counts = rationales["of_right_answers"]
    total = sum(counts.values())
    unchecked = f" ({counts['not checkable']} not checkable)" if counts["not checkable"] else ""
    return f"{counts['right']} of {total}{unchecked}"


@styled
def draw_reasoning(summaries: Sequence[dict[str, Any]], title: str, path: str | Path) -> None:
    """A bar an arm with its interval, single seeds as dots, as PNG."""
    figure = new_figure(6.5, 4)
    axes = figure.subplots()
    for place, row in enumerate(summaries):
        height = 100 * row["accuracy"]
        errors = [[max(0.0, height - 100 * row["interval"][0])], [max(0.0, 100 * row["interval"][1] - height)]]
        colour = "tab:blue" if row["name"] in REASONED else "tab:gray"
        axes.bar(place, height, 0.6, color=colour, alpha=0.7, yerr=errors, capsize=4)
        axes.annotate(f"{height:.0f}", (place + 0.05, height), textcoords="offset points", xytext=(2, 3))
        if len(row["by_seed"]) > 1:
            values = [100 * value for value in row["by_seed"]]
            axes.plot([place] * len(values), values, "k.", markersize=5)
    labels = [row["name"].replace("_", " ") + _details(row) for row in summaries]
    axes.set_xticks(range(len(summaries)), labels, fontsize="small")
    top = max((100 * row["interval"][1] for row in summaries), default=100.0)
    axes.set_ylim(0, min(105.0, 1.1 * top + 1))
    axes.set_ylabel("right, %; 95% intervals, dots: seeds")
    axes.grid(visible=False, axis="x")
    axes.set_title(title, fontsize="medium")
    save_figure(figure, path)


def _details(row: dict[str, Any]) -> str:
    details = [f"{row['num_shots']} shots"] if row["num_shots"] else []
    details += [f"{row['num_samples']} samples"] if row["num_samples"] > 1 else []
    return "\n" + ", ".join(details) if details else ""
