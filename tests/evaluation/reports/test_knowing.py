"""Under every heading of a page's tables stands the figure of that name: no two numbers here are alike."""

from pathlib import Path
from types import SimpleNamespace

from closedbook.evaluation.reports.knowing import calibration_parts, provenance_parts


def rows_by_heading(parts: list[dict]) -> list[dict[str, str]]:
    (table,) = (part for part in parts if part["kind"] == "table")
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def run_files(**parts) -> SimpleNamespace:
    return SimpleNamespace(folder=Path("run"), name="run", **parts)


def test_calibration():
    rows = [{"confidence": value, "correct": right} for value, right in ((0.9, False), (0.8, False), (0.7, True))]
    (row,) = rows_by_heading(calibration_parts(run_files(knowing=None, predictions=rows)))
    assert row["mean"] == "80.0%" and row["accuracy"] == "33.3%"
    assert row["Brier score"] == f"{(0.81 + 0.64 + 0.09) / 3:.3f}"
    assert row["temperature"] == row["error with it"] == ""


def test_provenance():
    shares = {"accuracy": 0.1, "selective_accuracy": 0.4, "refused": 0.2, "declined": 0.3}
    told = {name: {"share": share, "interval": [share - 0.05, share + 0.05]} for name, share in shares.items()}
    files = run_files(knowing={"provenance": {"stated": {"n": 50, "mean_confidence": 0.6} | told}})
    (row,) = rows_by_heading(provenance_parts(files))
    assert row == {
        "where the answer can come from": "stated in the text",
        "questions": "50",
        "right": "10.0%",
        "95% interval": "5.0% to 15.0%",
        "mean confidence": "60.0%",
        "refused": "20.0%",
        "not answered with abstention": "30.0%",
        "right among the rest": "40.0%",
    }
