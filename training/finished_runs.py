"""Runs that are finished are not repeated: one law for stages, arms of sweeps, entries of figures and benchmarks.

A run is finished if and only if its record was written, which is done in one step and last of all, beside a
description of everything that shapes it. A record of another description is refused before anything is run, with
what differs; a run that was broken off has no record and is begun again; a damaged record is named and never taken
for one that is missing.

Where records stand is a matter of each command: a folder a run (`run_stage`, `find_result`), many in one file, or
a file an arm.
"""

import json
from collections.abc import Callable, Mapping, Sequence
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


def read_record(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): move it away to make it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is no record of a run: move it away to make it again")
    return content


def refuse_another(source: Path, what: str, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a record whose description is not the wanted one.

    Args:
        source: the file that it stands in.
        what: "a run", "a sweep" and so on, for the message.
        known: its description; more than is wanted may stand there.
        wanted: that of the runs which are to be made.

    Raises:
        ValueError: naming everything that differs, as it is and as it was wanted.
    """
    other = [name for name, value in wanted.items() if known.get(name) != value]
    if other:
        told = "; ".join(f"{name}: {known.get(name)!r:.80} there, {wanted[name]!r:.80} now" for name in other)
        raise ValueError(
            f"{source} is of {what} with another {', '.join(other)}, which does not compare ({told}); use another "
            "folder for what this command writes, or move that file away"
        )


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
    result = read_record(path) or {}
    begun = read_record(folder / BUDGET_FILE)
    for source, known in ((path, result.get("budget")), (folder / BUDGET_FILE, begun)):
        if known is not None:
            refuse_another(source, "a run", known, budget)
    return result if "budget" in result else None
