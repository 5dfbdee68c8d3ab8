"""Stages of the runs that one command makes: finished ones are not repeated, another budget's are not taken."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run
from closedbook.training.finetuning import FinetuningSettings
from closedbook.training.pretraining import PretrainingSettings

BUDGET_FILE = "budget.json"


def finished(output: str | Path) -> Run:
    """The record of a finished stage; a run without stages for one that was broken off or never begun."""
    known = read_run(output)
    return known if known.last.is_finished else Run()


def again(output: str | Path) -> dict[str, bool]:
    """The setting that replaces a stage that was broken off."""
    return {"overwrite": True} if (Path(output) / RUN_FILE).exists() else {}


def run_stage(
    stage: Callable[[Any], Run],
    settings: type[PretrainingSettings] | type[FinetuningSettings],
    output: str | Path,
    argv: Sequence[str] = (),
    **values: Any,
) -> Run:
    """Run a stage unless `output` holds it finished; returns its record.

    Args:
        stage: `pretrain` or `finetune`.
        settings: their class of settings.
        output: the stage's folder.
        argv, values: what the settings are parsed from.
    """
    return finished(output) or stage(settings.parse(argv, **values, **again(output), output_dir=str(output)))


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
