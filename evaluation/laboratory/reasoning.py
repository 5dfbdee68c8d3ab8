"""What answers to generated word problems are worth, by number of steps: verdicts, counts, a table and a picture.

For `scripts/experiments/laboratory_reasoning.py`, whose arms are models taught different answers to the same kind
of problems.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from closedbook.data.generated.word_problems import WordProblem, apply_step
from closedbook.evaluation.answering.answers import Answer
from closedbook.evaluation.figures import new_figure, save_figure, styled
from closedbook.evaluation.prompting.number_answers import extract_number
from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.evaluation.statistics.paired import compare_paired, p_value_text

# What can be wrong with the first wrong step, in the order in which it is looked for.
FAULTS = {
    "malformed": "no equation",
    "too_many": "a step too many",
    "carried": "does not begin with the result before",
    "operation": "not the operation that was told",
    "arithmetic": "wrongly computed",
    "too_few": "a step left out at the end",
}
_EQUATION = re.compile(r"(\d+)([-+*/])(\d+)=(\d+)\.")
_LONGEST_NUMBER = 9  # digits; a model stuck on one digit writes more, and Python refuses to read thousands
_STYLES = {  # how an arm is drawn, in colours and lines that tell them apart in grey too
    "direct": ("answer alone", "s--", "tab:gray"),
    "worked": ("worked steps, then answer", "o-", "tab:blue"),
    "filler": ("as many dots, then answer", "^:", "tab:orange"),
}
_PERCENT = "In % with 95% Wilson intervals over all seeds"


def grade(problem: WordProblem, answer: Answer, has_steps: bool) -> dict[str, Any]:
    """One row: what was asked and answered, and what is wrong with it.

    Args:
        problem: what was asked.
        answer: what the model wrote.
        has_steps: whether it was taught to write steps; only then they are looked at.

    Returns:
        `question`, `answer`, `num_steps`, `output`, `right` (the number it answers with is the right one, and it
        came to an end), and for steps `fault` (a key of `FAULTS`, or None where all steps are right) and
        `wrong_step` (the number of the first wrong one, from 1).
    """
    row = {
        "question": problem.question,
        "answer": problem.answer,
        "num_steps": len(problem.steps),
        "output": answer.text,
        "right": answer.complete and extract_number(answer.text) == problem.answer,
    }
    if has_steps:
        row["fault"], row["wrong_step"] = find_fault(problem, answer.text)
    return row


def find_fault(problem: WordProblem, text: str) -> tuple[str | None, int | None]:
    """The kind and the number (from 1) of the first wrong step in a rationale; None twice where all are right."""
    value = problem.start
    written = text.rpartition(" ")[0].split(" ")  # what follows the last space is the final answer
    written = written if written != [""] else []
    for number, piece in enumerate(written, 1):
        match = _EQUATION.fullmatch(piece)
        if match is None or max(map(len, match.groups())) > _LONGEST_NUMBER:
            return "malformed", number
        if number > len(problem.steps):
            return "too_many", number
        operator, operand = problem.steps[number - 1]
        if int(match[1]) != value:
            return "carried", number
        if (match[2], int(match[3])) != (operator, operand):
            return "operation", number
        value = apply_step(value, operator, operand)
        if int(match[4]) != value:
            return "arithmetic", number
    if len(written) < len(problem.steps):
        return "too_few", len(written) + 1
    return None, None


def baseline_rows(training: Sequence[WordProblem], asked: Sequence[WordProblem]) -> list[dict[str, Any]]:
    """What can be had without computing, for each number of steps: `n` and right answers of three guessers.

    `majority` gives the most common answer of the training problems, `last_number` repeats the last number told,
    and `last_step` gives the answer that is most common in training after the same last step.
    """
    answers = Counter(problem.answer for problem in training)
    by_last: dict[tuple[str, int], Counter] = {}
    for problem in training:
        by_last.setdefault(problem.steps[-1], Counter())[problem.answer] += 1
    constant = answers.most_common(1)[0][0]
    rows = []
    for num_steps in sorted({len(problem.steps) for problem in asked}):
        own = [problem for problem in asked if len(problem.steps) == num_steps]
        guesses = {
            "majority": [constant for _ in own],
            "last_number": [int(re.findall(r"\d+", problem.question)[-1]) for problem in own],
            "last_step": [by_last.get(problem.steps[-1], answers).most_common(1)[0][0] for problem in own],
        }
        row: dict[str, Any] = {"num_steps": num_steps, "n": len(own)}
        for name, values in guesses.items():
            row[name] = sum(value == problem.answer for value, problem in zip(values, own, strict=True))
        rows.append(row)
    return rows


def summarise(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the finished arms say together, the seeds put together.

    Args:
        results: one an arm, each with `arm` (`style`, `seed`), `rows` (of `grade`), `trained_steps`, `baselines`.

    Returns:
        `cells`: for each style and number of steps the share of right answers (see `share`) and each seed's
        (`accuracies`); `ranges`: the same for all numbers of steps within and beyond the trained ones; `steps`:
        what was wrong in the rationales of those ranges; `paired`: for both ranges, each other style against
        direct answers to the same problems; `baselines`: see `baseline_rows`.
    """
    trained = set(results[0]["trained_steps"])
    styles = list(dict.fromkeys(result["arm"]["style"] for result in results))
    lengths = sorted({row["num_steps"] for result in results for row in result["rows"]})
    ranges = {
        "trained": [length for length in lengths if length in trained],
        "beyond": [length for length in lengths if length not in trained],
    }
    ranges = {name: own for name, own in ranges.items() if own}
    groups = {style: [result for result in results if result["arm"]["style"] == style] for style in styles}
    return {
        "cells": [
            {"style": style, "num_steps": length} | _pooled(groups[style], [length])
            for style in styles
            for length in lengths
        ],
        "ranges": [
            {"style": style, "range": name, "num_steps": own} | _pooled(groups[style], own)
            for style in styles
            for name, own in ranges.items()
        ],
        "steps": [
            {"style": style, "range": name} | _count_steps(groups[style], own)
            for style in styles
            if "fault" in groups[style][0]["rows"][0]
            for name, own in ranges.items()
        ],
        "paired": [
            {"style": style, "range": name} | pair
            for style in styles
            if style != "direct"
            for name, own in ranges.items()
            if (pair := _against_direct(groups.get("direct", []), groups[style], own))
        ],
        "baselines": _pool_baselines({r["arm"]["seed"]: r["baselines"] for r in results}.values()),
    }


def share(correct: int, n: int) -> dict[str, Any]:
    """`n`, `correct`, `accuracy` and its 95% Wilson `interval`; both None where nothing was asked."""
    if not n:
        return {"n": 0, "correct": 0, "accuracy": None, "interval": None}
    return {"n": n, "correct": correct, "accuracy": correct / n, "interval": list(wilson_interval(correct, n))}


def _pooled(results: Sequence[dict], lengths: Sequence[int]) -> dict[str, Any]:
    verdicts = [[row["right"] for row in result["rows"] if row["num_steps"] in lengths] for result in results]
    each = [sum(own) / len(own) for own in verdicts]
    return share(sum(map(sum, verdicts)), sum(map(len, verdicts))) | {"accuracies": each}


def _count_steps(results: Sequence[dict], lengths: Sequence[int]) -> dict[str, Any]:
    rows = [row for result in results for row in result["rows"] if row["num_steps"] in lengths]
    right, wrong = ([row for row in rows if row["right"] is verdict] for verdict in (True, False))
    return {
        "right_with_right_steps": share(sum(row["fault"] is None for row in right), len(right)),
        "wrong_with_wrong_step": share(sum(row["fault"] is not None for row in wrong), len(wrong)),
        "faults": {name: sum(row["fault"] == name for row in rows) for name in FAULTS},
        # of the rationales that got so far without a fault, how many have one in this step
        "wrong_steps": [
            {"step": step}
            | share(
                sum(row["wrong_step"] == step for row in rows),
                sum(row["num_steps"] >= step and (row["wrong_step"] or step) >= step for row in rows),
            )
            for step in range(1, max(lengths) + 1)
        ],
    }


def _against_direct(direct: Sequence[dict], others: Sequence[dict], lengths: Sequence[int]) -> dict[str, Any]:
    by_seed = {result["arm"]["seed"]: result for result in direct}
    verdicts: tuple[list[bool], list[bool]] = ([], [])
    for other in others:
        if other["arm"]["seed"] in by_seed:  # a stopped command may have run one of the two only
            for side, result in zip(verdicts, (by_seed[other["arm"]["seed"]], other), strict=True):
                side.extend(row["right"] for row in result["rows"] if row["num_steps"] in lengths)
    if not verdicts[0]:
        return {}
    pair = compare_paired(*verdicts)
    return {
        "n": pair.n,
        "only_direct": pair.only_first,
        "only_other": pair.only_second,
        "difference": pair.difference,
        "interval": list(pair.interval),
        "p_value": pair.p_value,
    }


def _pool_baselines(runs) -> list[dict[str, Any]]:
    names = ("majority", "last_number", "last_step")
    return [
        {"num_steps": rows[0]["num_steps"]}
        | {name: share(sum(row[name] for row in rows), sum(row["n"] for row in rows)) for name in names}
        for rows in zip(*runs, strict=True)
    ]


def reasoning_table(summary: dict[str, Any]) -> str:
    """Markdown: accuracy by number of steps; within and beyond the trained ones; what was wrong with the steps."""
    lengths = sorted({cell["num_steps"] for cell in summary["cells"]})
    styles = list(dict.fromkeys(cell["style"] for cell in summary["cells"]))
    accuracy = {(cell["style"], cell["num_steps"]): cell for cell in summary["cells"]}
    baselines = {row["num_steps"]: row for row in summary["baselines"]}
    lines = [f"Right answers by number of steps. {_PERCENT}; the last columns guess without computing.", ""]
    lines.append(_row(["steps", *styles, "majority", "last number", "after the last step"]))
    lines.append("|---:|" + "---:|" * (len(styles) + 3))
    for length in lengths:
        guesses = [baselines[length][name] for name in ("majority", "last_number", "last_step")]
        cells = [percent(accuracy[style, length]) for style in styles]
        lines.append(_row([str(length), *cells, *(f"{100 * guess['accuracy']:.1f}" for guess in guesses)]))
    lines += [
        "",
        f"Within and beyond the trained numbers of steps. {_PERCENT}; against direct: paired, McNemar. Intervals "
        "and p are about these very models and other problems; how much another training run differs, the seeds "
        "tell.",
        "",
    ]
    lines.append(_row(["taught", "steps", "right", "each seed", "against direct, points", "p"]))
    lines.append("|---|---|---:|---:|---:|---:|")
    paired = {(pair["style"], pair["range"]): pair for pair in summary["paired"]}
    for item in summary["ranges"]:
        each = ", ".join(f"{100 * value:.1f}" for value in item["accuracies"])
        pair = paired.get((item["style"], item["range"]))
        against = ["-", "-"]
        if pair:
            low, high = pair["interval"]
            against = [
                f"{100 * pair['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
                p_value_text(pair["p_value"]),
            ]
        steps = f"{item['num_steps'][0]} to {item['num_steps'][-1]} ({item['range']})"
        lines.append(_row([item["style"], steps, percent(item), each, *against]))
    for item in summary["steps"]:
        lines += ["", f"{item['style'].capitalize()}, {item['range']} numbers of steps:", ""]
        lines.append(f"- right answers whose steps are all right: {percent(item['right_with_right_steps'])}")
        lines.append(f"- wrong answers with a wrong step: {percent(item['wrong_with_wrong_step'])}")
        faults = [f"{FAULTS[name]}: {count}" for name, count in item["faults"].items() if count]
        lines.append(f"- the first wrong step: {'; '.join(faults) or 'none'}")
        rates = [f"{100 * step['accuracy']:.1f}" for step in item["wrong_steps"] if step["n"]]
        lines.append(f"- wrong at step 1, 2, ..., of those right so far: {', '.join(rates)}")
    return "\n".join(lines) + "\n"


def percent(item: dict[str, Any]) -> str:
    """`97.5 [92.9, 99.1]`, or a dash where nothing was counted."""
    if item["accuracy"] is None:
        return "-"
    low, high = item["interval"]
    return f"{100 * item['accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@styled
def draw_reasoning(summary: dict[str, Any], path: str | Path) -> None:
    """Draw accuracy against number of steps, a line an arm, with what lies beyond the trained numbers shaded."""
    picture = new_figure(7.5, 5)
    axes = picture.subplots()
    beyond = {length for item in summary["ranges"] if item["range"] == "beyond" for length in item["num_steps"]}
    lengths = sorted({cell["num_steps"] for cell in summary["cells"]})
    for length in sorted(beyond):
        first = length == min(beyond)
        label = "not among the trained numbers of steps" if first else None
        axes.axvspan(length - 0.5, length + 0.5, color="gainsboro", alpha=0.6, linewidth=0, label=label)
    for style in dict.fromkeys(cell["style"] for cell in summary["cells"]):
        own = [cell for cell in summary["cells"] if cell["style"] == style]
        places, heights = [cell["num_steps"] for cell in own], [100 * cell["accuracy"] for cell in own]
        ends = [[abs(100 * (cell["interval"][end] - cell["accuracy"])) for cell in own] for end in (0, 1)]
        name, line, colour = _STYLES[style]
        axes.errorbar(
            places, heights, ends, fmt=line, color=colour, capsize=3, markersize=5, label=f"taught: {name}"
        )
        for seed in range(len(own[0]["accuracies"])):
            each = [100 * cell["accuracies"][seed] for cell in own]
            axes.plot(places, each, line[0], color=colour, markersize=3, alpha=0.4)
    guesses = [100 * row["last_step"]["accuracy"] for row in summary["baselines"]]
    axes.plot(lengths, guesses, "k:", linewidth=1, label="best guess after the last step alone")
    axes.set_xticks(lengths)
    axes.set_xlim(min(lengths) - 0.5, max(lengths) + 0.5)
    axes.set_ylim(-2, 102)
    axes.set_xlabel("steps of the problem")
    axes.set_ylabel("new problems answered rightly, %")
    axes.set_title("Worked steps at equal training characters\n(95% intervals; small marks: each seed)")
    axes.grid(visible=False, axis="x")
    picture.legend(*axes.get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=2)
    save_figure(picture, path)
