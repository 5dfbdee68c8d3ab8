"""Stages of the runs that one command makes: finished ones are not repeated, another budget's are not taken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from closedbook.evaluation.files import write_json_atomic
from closedbook.training.run_folder import RUN_FILE, read_run_file

BUDGET_FILE = "budget.json"


def finished(output: str | Path) -> dict[str, Any]:
    """What the run file of a finished stage says; empty for one that was broken off or never begun."""
    known = read_run_file(output)
    return known if "eval_loss" in known else {}  # the last thing that a run writes


def again(output: str | Path) -> list[str]:
    """The flag that replaces a stage that was broken off."""
    return ["--overwrite"] if (Path(output) / RUN_FILE).exists() else []


def run_stage(main: Callable[[list[str]], dict], flags: list[str], output: str | Path) -> dict[str, Any]:
    """Call `main` of a script with these flags, unless `output` holds the finished stage; returns its run file."""
    return finished(output) or main([*flags, *again(output), "--output_dir", str(output)])


def begin(folder: Path, budget: dict[str, Any]) -> None:
    """Write into a run's folder which budget it has, before its first stage."""
    write_json_atomic(folder / BUDGET_FILE, budget)


def find_result(path: Path, folder: Path, budget: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a finished run, or None.

    Args:
        path: where its result file would be.
        folder: where its stages are.
        budget: what makes two runs comparable, as a result holds it under "budget".

    Raises:
        ValueError: if the run, finished or not, had another budget.
    """
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    begun = folder / BUDGET_FILE
    budgets = [(path, result.get("budget"))]
    budgets += [(begun, json.loads(begun.read_text(encoding="utf-8")))] if begun.exists() else []
    for source, known in budgets:
        if known is not None and known != budget:
            raise ValueError(
                f"{source} is of a run with another budget, which does not compare with this one; use another "
                "--results and --output_dir, or move it away"
            )
    return result if "budget" in result else None
