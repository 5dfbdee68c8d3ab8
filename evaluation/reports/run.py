"""The files of one run that a report reads, and whether they belong together."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedbook.evaluation.files import read_json_object
from closedbook.evaluation.predictions import read_predictions
from closedbook.evaluation.results import check_result
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run
from closedbook.evaluation.statistics.intervals import wilson_interval

KNOWING = "knowing"  # the folder that scripts/knowing.py writes into
KNOWING_FILE = f"{KNOWING}/knowing.json"
KNOWING_PREDICTIONS = f"{KNOWING}/predictions.jsonl"
LEDGER = "ledger"  # the folder that scripts/ledger.py writes into
LEDGER_FILE = f"{LEDGER}/ledger.json"
LEDGER_ROWS = f"{LEDGER}/ledger.jsonl"
_LEDGER_FIELDS = ("facts", "asked", "unasked", "verdicts", "paired", "control", "documents", "before")
_KNOWING_FIELDS = ("questions", "confidence", "confidences", "groups", "abstention", "provenance", "invented")


@dataclass(frozen=True)
class RunFiles:
    """What the folder of a run holds.

    Attributes:
        folder: The folder.
        split: Name of the folder below it that holds the predictions; "" where the run was not evaluated.
        run: The record of the run.
        result: The content of results.json, or None.
        predictions: The rows of predictions.jsonl; empty where there is none.
        predictions_path: Where these are, or would be.
        knowing: The content of knowing.json, or None.
        knowing_rows: The rows of the predictions.jsonl beside it; empty where there is none.
        ledger: The content of ledger.json, or None.
    """

    folder: Path
    split: str
    run: Run
    result: dict[str, Any] | None
    predictions: list[dict[str, Any]]
    predictions_path: Path
    knowing: dict[str, Any] | None
    knowing_rows: list[dict[str, Any]]
    ledger: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.resolve().name

    @property
    def score(self) -> tuple[int, int, tuple[float, float]] | None:
        """Right answers, questions and the accuracy's 95% Wilson interval; None where nothing was judged."""
        judged = [row["correct"] for row in self.predictions if row.get("correct") is not None]
        return (sum(judged), len(judged), wilson_interval(sum(judged), len(judged))) if judged else None


def read_run_files(folder: str | Path, split: str | None = None) -> RunFiles:
    """Read a run's folder; parts that were never made are empty, those that contradict each other are refused.

    Args:
        folder: Of the run, with run.json.
        split: Which evaluation; not needed where there is one only.

    Raises:
        FileNotFoundError: If this is not the folder of a run.
        ValueError: If a file is damaged, results and predictions are of different runs, the split is missing, or
            there are several to choose from.
    """
    folder = Path(folder)
    if not (folder / RUN_FILE).is_file():
        raise FileNotFoundError(f"{folder} is not the folder of a run: it has no run.json")
    splits = sorted(path.parent.name for path in folder.glob("*/predictions.jsonl") if path.parent.name != KNOWING)
    if split is None and len(splits) > 1:
        raise ValueError(f"{folder} has predictions for {', '.join(splits)}: choose one with --split")
    if split is not None and split not in splits:
        raise ValueError(f"{folder} has no predictions for {split!r}, only for {', '.join(splits) or 'nothing'}")
    split = split or (splits[0] if splits else "")
    path = folder / (split or "test") / "predictions.jsonl"
    predictions = read_predictions(path) if split else []
    result = _read_if_there(path.with_name("results.json"))
    if result is not None:
        check_result(result, str(path.with_name("results.json")))
        verdicts = [row.get("correct") for row in predictions]
        if predictions and (result["n"], result["correct"]) != (len(verdicts), verdicts.count(True)):
            raise ValueError(
                f"{path.parent}: results.json says {result['correct']} of {result['n']}, predictions.jsonl "
                f"{verdicts.count(True)} of {len(verdicts)}: they are of different runs; evaluate again"
            )
    knowing_path = folder / KNOWING_PREDICTIONS
    return RunFiles(
        folder=folder,
        split=split,
        run=read_run(folder),
        result=result,
        predictions=predictions,
        predictions_path=path,
        knowing=read_knowing(folder / KNOWING_FILE),
        knowing_rows=read_predictions(knowing_path) if knowing_path.is_file() else [],
        ledger=read_ledger(folder / LEDGER_FILE),
    )


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ValueError: If the file is missing, or holds anything else.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; run the command that writes it")
    return read_json_object(path)


def read_knowing(path: Path) -> dict[str, Any] | None:
    """What scripts/knowing.py wrote; None where there is no such file.

    Raises:
        ValueError: If it is something else.
    """
    knowing = _read_if_there(path)
    lacking = [name for name in _KNOWING_FIELDS if name not in knowing] if knowing is not None else []
    if lacking:
        raise ValueError(f"{path} lacks {', '.join(lacking)}; run scripts/knowing.py again")
    return knowing


def read_ledger(path: Path) -> dict[str, Any] | None:
    """What scripts/ledger.py wrote; None where there is no such file.

    Raises:
        ValueError: If it is something else.
    """
    ledger = _read_if_there(path)
    lacking = [name for name in _LEDGER_FIELDS if name not in ledger] if ledger is not None else []
    if lacking:
        raise ValueError(f"{path} lacks {', '.join(lacking)}; run scripts/ledger.py again")
    return ledger


def _read_if_there(path: Path) -> dict[str, Any] | None:
    return read_object(path) if path.is_file() else None
