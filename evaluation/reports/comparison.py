"""Several variants at one budget, a few seeds each: what a comparison says about all of them."""

from collections.abc import Sequence
from typing import Any

from closedbook.evaluation.statistics.intervals import wilson_interval

_MEANS = ("pretraining_loss", "accuracy", "train_characters", "train_seconds")


def summarise_runs(variant: str, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One variant's runs, which differ in their seeds, put together: means, and the numbers of each seed.

    There are two 95% Wilson intervals of the accuracy. `interval` pools seeds x questions: what other seeds
    would do with the same questions. All seeds answer the same questions, so for what other questions would
    give, `interval_questions` is the safe one: that of the mean count of one set of questions.

    Args:
        variant: its name.
        results: result files with `pretraining_loss`, at least one.
    """
    n, correct = (sum(result[name] for result in results) for name in ("n", "correct"))
    questions = results[0]["n"]
    row = {"variant": variant, "parameters": results[0]["parameters"], "n": n, "correct": correct}
    row |= {name: sum(result[name] for result in results) / len(results) for name in _MEANS}
    row["seeds"] = [result["seed"] for result in results]
    row["pretraining_losses"] = [result["pretraining_loss"] for result in results]
    row["accuracies"] = [result["accuracy"] for result in results]
    row["interval"] = list(wilson_interval(correct, n))
    row["interval_questions"] = list(wilson_interval(round(correct / len(results)), questions))
    return row


def comparison_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown, one row a variant."""
    lines = [
        "| variant | parameters | evaluation loss, nats a character (each seed) | accuracy [95%, pooled] | seeds "
        "| training characters |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        low, high = row["interval"]
        losses = ", ".join(f"{loss:.3f}" for loss in row["pretraining_losses"])
        cells = [
            row["variant"],
            f"{row['parameters']:,}",
            f"{row['pretraining_loss']:.3f} ({losses})",
            f"{row['accuracy']:.1%} [{low:.1%}, {high:.1%}]",
            str(len(row["seeds"])),
            f"{row['train_characters']:,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
