"""What a sweep of in-context arms says together: accuracies with intervals, prompt luck, and arms against each
other.

An arm is one recipe of prompting and decoding with one draw of its demonstrations (`seed`) and of their order
(`order_seed`). Arms that differ in these two only are runs of one group; all statistics are in `prompt_luck`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from closedbook.evaluation.prompting.incontext_arms import DRAWS, ArmRun, arm_label, read_arms
from closedbook.evaluation.statistics.paired import compare_paired
from closedbook.evaluation.statistics.prompt_luck import arm_difference, holm, mean_interval, prompt_luck

__all__ = ["incontext_table", "read_arms", "summarise_arms"]

# of the settings with names: what the others are compared with
_REFERENCES = {"selection": "random", "order": "near_last", "decoding": "greedy"}


def summarise_arms(runs: Sequence[ArmRun], metric: str = "answer_match", seed: int = 0) -> dict[str, Any]:
    """Put the runs of a sweep together.

    Arms are compared by `metric` where they differ in one setting: numbers of shots with the next lower and with
    the lowest, and all else with the reference (random selection, near_last, greedy). A zero-shot arm stands for
    every selection and order. P-values are Holm's, over all pairs of the summary.

    Args:
        runs: Of one sweep, in any order.
        metric: The score that pairs are compared by.
        seed: Of the sign flips in the tests between arms; the same seed gives the same summary.

    Returns:
        A JSON-ready dict: `num_questions`, `metric`, `arms` and `comparisons`. An arm has `arm` (without its
        seeds), `label`, `metrics` (by name: `mean`, its 95% `interval`, and `each_run`), `draws` (seed and order
        seed of each run), `spread` of `metric` (`lowest`, `highest`, and `runs`, `seeds`, `orders`: `PromptLuck`
        or null), `tokens_per_question`, `complete_share`, `dropped_per_question` and `shortened_share` (of the
        questions, those that lost a demonstration).

    Raises:
        ValueError: If there are no runs, two are of the same arm, or they were asked different questions or scored
            by different metrics.
    """
    _check_sweep(runs, metric)
    groups = _groups(runs)
    arms = [_describe(group, metric) for group in groups]
    return {
        "num_questions": len(runs[0].questions),
        "metric": metric,
        "arms": arms,
        "comparisons": _compare(groups, arms, metric, seed),
    }


def _check_sweep(runs: Sequence[ArmRun], metric: str) -> None:
    if not runs:
        raise ValueError("a summary needs at least one arm.")
    first, seen = runs[0], {}
    for run in runs:
        known = json.dumps(run.arm, sort_keys=True)
        if known in seen:
            raise ValueError(f"{seen[known]} and {run.source} are of the same arm; delete the older one.")
        seen[known] = run.source
        if len(run.rows) != len(first.rows):
            raise ValueError(
                f"{run.source} has answers to {len(run.rows)} questions and {first.source} to {len(first.rows)}; "
                "they are of different sweeps, or one was cut off: delete the file with fewer and run the sweep "
                "again with the flags of the others, or summarise another folder."
            )
        if (run.rows, run.questions) != (first.rows, first.questions):
            raise ValueError(f"{run.source} and {first.source} were asked different questions; keep sweeps apart.")
        if run.scores.keys() != first.scores.keys() or metric not in run.scores:
            raise ValueError(
                f"{run.source} has the scores {', '.join(run.scores)}; all arms need the "
                f"same ones, {metric} among them."
            )


def _groups(runs: Sequence[ArmRun]) -> list[list[ArmRun]]:
    groups: dict[str, list[ArmRun]] = {}
    for run in sorted(runs, key=lambda run: run.draw):
        groups.setdefault(json.dumps(_settings(run.arm), sort_keys=True), []).append(run)
    return sorted(groups.values(), key=lambda group: _rank(group[0].arm))


def _settings(arm: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arm.items() if name not in DRAWS}


def _rank(arm: dict[str, Any]) -> tuple:
    """References stand before the others."""
    named = [(arm[name] != reference, str(arm[name])) for name, reference in _REFERENCES.items()]
    return arm["num_shots"], named, arm["num_sequences"], arm["temperature"], json.dumps(arm, sort_keys=True)


def _draws(group: Sequence[ArmRun], metric: str) -> tuple[str, dict[int, np.ndarray]]:
    """Scores by draw of demonstrations, means over its orders; where there is one draw only, by its orders."""
    name = "seed" if len({run.arm["seed"] for run in group}) > 1 else "order_seed"
    return name, {
        draw: np.mean([run.scores[metric] for run in group if run.arm[name] == draw], axis=0)
        for draw in sorted({run.arm[name] for run in group})
    }


def _describe(group: Sequence[ArmRun], metric: str) -> dict[str, Any]:
    metrics = {}
    for name in group[0].scores:
        table = np.stack(list(_draws(group, name)[1].values()))
        each_run = [float(run.scores[name].mean()) for run in group]
        metrics[name] = {"mean": float(table.mean()), "interval": list(mean_interval(table)), "each_run": each_run}
    dropped = np.concatenate([run.dropped for run in group])
    return {
        "arm": _settings(group[0].arm),
        "label": arm_label(group[0].arm),
        "draws": [list(run.draw) for run in group],
        "metrics": metrics,
        "spread": _spread(group, metric, metrics[metric]["each_run"]),
        "tokens_per_question": float(np.mean([run.new_tokens for run in group])),
        "complete_share": float(np.mean([run.complete for run in group])),
        "dropped_per_question": float(dropped.mean()),
        "shortened_share": float((dropped > 0).mean()),
    }


def _spread(group: Sequence[ArmRun], metric: str, each_run: Sequence[float]) -> dict[str, Any]:
    by_seed: dict[int, list[np.ndarray]] = {}
    for run in group:
        by_seed.setdefault(run.arm["seed"], []).append(run.scores[metric])
    tables = {
        "runs": [np.stack([run.scores[metric] for run in group])],
        "seeds": [np.stack([np.mean(orders, axis=0) for orders in by_seed.values()])],
        "orders": [np.stack(orders) for orders in by_seed.values()],
    }
    luck = {name: prompt_luck(parts) for name, parts in tables.items()}
    described = {name: asdict(found) if found else None for name, found in luck.items()}
    return {"lowest": min(each_run), "highest": max(each_run)} | described


def _compare(
    groups: Sequence[Sequence[ArmRun]], arms: Sequence[dict[str, Any]], metric: str, seed: int
) -> list[dict[str, Any]]:
    comparisons = []
    for one, other, changed in compared_pairs([arm["arm"] for arm in arms]):
        tables = _paired_tables(groups[one], groups[other], metric)
        if tables is None:
            continue
        found = arm_difference(*tables, seed)
        comparisons.append(
            {"first": arms[one]["label"], "second": arms[other]["label"], "changed": changed}
            | {"draws": [len(table) for table in tables]}
            | asdict(found)
            | {"each_run": _each_run(groups[one], groups[other], metric)}
        )
    adjusted = holm([comparison["p_value"] for comparison in comparisons])
    return [comparison | {"p_holm": p} for comparison, p in zip(comparisons, adjusted, strict=True)]


def _paired_tables(
    first: Sequence[ArmRun], second: Sequence[ArmRun], metric: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Scores of two arms with the same draws, or with one draw of one of them; None where no draw is shared.

    Orders of a single draw are averaged where the other arm has several draws.
    """
    (one_name, one), (other_name, other) = _draws(first, metric), _draws(second, metric)
    if one_name != other_name:
        one, other = (
            draws if name == "seed" else {0: np.mean(list(draws.values()), axis=0)}
            for name, draws in ((one_name, one), (other_name, other))
        )
    if 1 not in (len(one), len(other)):
        shared = [draw for draw in one if draw in other]
        one, other = ({draw: draws[draw] for draw in shared} for draws in (one, other))
    return (np.stack(list(one.values())), np.stack(list(other.values()))) if one and other else None


def _each_run(first: Sequence[ArmRun], second: Sequence[ArmRun], metric: str) -> list[dict[str, Any]]:
    """McNemar's test of every run of one arm with the same draw of the other one, or with its only run."""
    tests = []
    for one in first:
        for other in second:
            if one.draw != other.draw and len(first) > 1 and len(second) > 1:
                continue
            pair = one.scores[metric], other.scores[metric]
            if not np.isin(pair, [0, 1]).all():
                return []
            found = compare_paired(list(pair[0] > 0), list(pair[1] > 0))
            seeds = {"seed": max(one.draw, other.draw)[0], "order_seed": max(one.draw, other.draw)[1]}
            tests.append(seeds | {"difference": found.difference, "p_value": found.p_value})
    return tests


def compared_pairs(arms: Sequence[dict[str, Any]]) -> list[tuple[int, int, str]]:
    """Which arms are compared, as places in `arms`, and the setting in which they differ; see `summarise_arms`."""
    pairs = []
    for one, first in enumerate(arms):
        for other, second in enumerate(arms):
            changed = _changed(first, second)
            if len(changed) != 1 or _rank(first) >= _rank(second):
                continue
            if changed == ["num_shots"]:
                line = {arm["num_shots"] for arm in arms if _changed(arm, second) in ([], ["num_shots"])}
                between = [shots for shots in line if first["num_shots"] < shots < second["num_shots"]]
                wanted = not between or first["num_shots"] == min(line)
            else:  # with the reference, or with what stands first where the reference was not run
                alike = [arm for arm in arms if _changed(arm, second) in ([], changed)]
                wanted = first == min(alike, key=_rank)
            if wanted:
                pairs.append((one, other, changed[0]))
    return pairs


def _changed(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The settings in which two arms differ; all that concerns decoding is one setting.

    A selection says nothing without a demonstration, and an order nothing without two.
    """
    least = min(first["num_shots"], second["num_shots"])
    named = ["num_shots", *(["selection"] if least else []), *(["order"] if least > 1 else [])]
    shown = ("num_shots", "selection", "order")
    rest = [{name: value for name, value in arm.items() if name not in shown} for arm in (first, second)]
    return [name for name in named if first[name] != second[name]] + (["decoding"] if rest[0] != rest[1] else [])


_ACCURACY = (
    "{questions} questions. {metric} in %, with the 95% interval for other questions and other draws of the "
    "demonstrations, lowest and highest of the runs, and the other metrics in %. Ended: answers that were not cut "
    "off. Shortened: prompts that had no room for all demonstrations."
)
_LUCK = (
    "Prompt luck. Standard deviation of {metric} between runs on the same questions, in points: as observed; as "
    "chance alone would have it on the same questions, and on other questions for every run; and what is left, "
    "the luck of the draw, with its 95% interval and Cochran's test that there is none. Flipped: questions on "
    "which two runs disagree, in %."
)
_PAIRS = (
    "Second arm less first, in points of {metric}, with the 95% interval. p, these runs: by sign flips over the "
    "questions, as if there were no other draws of the demonstrations. p: for other draws, too. p, Holm: adjusted "
    "for the {pairs} pairs of this table. Single runs: how many of them McNemar's test alone would call better or "
    "worse (p < 0.05)."
)


def incontext_table(summary: dict[str, Any]) -> str:
    """The summary in Markdown: accuracies, prompt luck of arms with several runs, and arms against each other."""
    metric, arms = summary["metric"], summary["arms"]
    tables = [
        _accuracy_lines(arms, metric, summary["num_questions"]),
        _luck_lines(arms, metric),
        _pair_lines(summary["comparisons"], metric),
    ]
    return "\n\n".join("\n".join(lines) for lines in tables if lines) + "\n"


def _accuracy_lines(arms: Sequence[dict[str, Any]], metric: str, questions: int) -> list[str]:
    others = [name for name in arms[0]["metrics"] if name != metric]
    heads = ["runs", _words(metric), "lowest, highest", *map(_words, others), "tokens a question", "ended"]
    words = _words(metric)
    lines = [_ACCURACY.format(questions=questions, metric=words[:1].upper() + words[1:]), ""]
    lines += _head(["arm"], [*heads, "shortened"])
    for arm in arms:
        found, spread = arm["metrics"], arm["spread"]
        cells = [
            str(len(arm["draws"])),
            f"{100 * found[metric]['mean']:.1f} {_ends(found[metric]['interval'])}",
            f"{100 * spread['lowest']:.1f}, {100 * spread['highest']:.1f}",
            *(f"{100 * found[name]['mean']:.1f}" for name in others),
            f"{arm['tokens_per_question']:.1f}",
            f"{arm['complete_share']:.1%}",
            f"{arm['shortened_share']:.1%}",
        ]
        lines.append(_line([arm["label"], *cells]))
    return lines


def _luck_lines(arms: Sequence[dict[str, Any]], metric: str) -> list[str]:
    rows = []
    for arm, name in ((arm, name) for arm in arms for name in ("seeds", "orders")):
        luck = arm["spread"][name]
        if luck is None:
            continue
        parts = ("deviation", "chance_deviation", "binomial_deviation")
        points = [f"{100 * luck[part]:.1f}" for part in parts]
        worth = f"{100 * luck['luck_deviation']:.1f} {_ends(luck['luck_interval'])}"
        points += [worth, _p(luck["p_value"]), f"{100 * luck['turnover']:.1f}"]
        rows.append(_line([arm["label"], name, *points]))
    heads = ["observed", "chance", "chance, other questions", "luck", "p", "flipped"]
    caption = _LUCK.format(metric=_words(metric))
    return [caption, "", *_head(["arm", "between"], heads), *rows] if rows else []


def _pair_lines(pairs: Sequence[dict[str, Any]], metric: str) -> list[str]:
    rows = []
    for pair in pairs:
        sure = [run["difference"] for run in pair["each_run"] if run["p_value"] < 0.05]
        ups, downs = sum(gain > 0 for gain in sure), sum(gain < 0 for gain in sure)
        alone = f"{ups} better, {downs} worse of {len(pair['each_run'])}" if pair["each_run"] else "-"
        difference = f"{100 * pair['difference']:+.1f} {_ends(pair['interval'])}"
        p_values = [_p(pair[name]) for name in ("p_questions", "p_value", "p_holm")]
        rows.append(_line([pair["first"], pair["second"], difference, *p_values, alone]))
    heads = ["difference", "p, these runs", "p", "p, Holm", "single runs"]
    caption = _PAIRS.format(metric=_words(metric), pairs=len(pairs))
    return [caption, "", *_head(["first", "second"], heads), *rows] if rows else []


def _words(metric: str) -> str:
    return {"f1": "F1"}.get(metric, metric.replace("_", " "))


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"


def _ends(interval: Sequence[float]) -> str:
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _head(names: Sequence[str], numbers: Sequence[str]) -> list[str]:
    return [_line([*names, *numbers]), f"|{'---|' * len(names)}{'---:|' * len(numbers)}"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
