"""What a model card says of confidence: calibration error, AURC, and answers about people who do not exist."""

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult

from closedbook.evaluation.reports.card.text import cell
from closedbook.evaluation.reports.knowing import headline


def knowing_results(knowing: Mapping[str, Any] | None) -> list[EvalResult]:
    """Entries of the metadata's `model-index`, from what scripts/knowing.py wrote; none without it.

    They are about the confidence that was chosen on held-out people, before any scaling.
    """
    if knowing is None:
        return []
    task = knowing["questions"]
    figures = knowing["confidences"][knowing["confidence"]]
    calibration = figures["calibration"]
    measured = {
        ("calibration_error", "Expected calibration error"): (
            calibration and calibration["before"]["expected_calibration_error"]
        ),
        ("aurc", "Area under the risk-coverage curve"): figures["abstention"]["aurc"],
    }
    return [
        EvalResult(
            task_type="question-answering",
            task_name="Closed-book question answering",
            dataset_type=re.sub(r"[^A-Za-z0-9_.-]+", "-", task).strip("-") or "questions",
            dataset_name=task,
            dataset_split=knowing.get("split"),
            metric_type=kind,
            metric_name=name,
            metric_value=value,
            metric_args={"confidence": knowing["confidence"], "num_questions": knowing["groups"]["asked"]["n"]},
        )
        for (kind, name), value in measured.items()
        if value is not None
    ]


def knowing_lines(knowing: Mapping[str, Any] | None) -> list[str]:
    """Sentences for the card's results, the answers made up first; none without what knowing.py wrote."""
    if knowing is None:
        return []
    share = knowing["invented"]["answered_confidently"]["share"]
    found = {result.metric_name: f"{result.metric_value:.3f}" for result in knowing_results(knowing)}
    numbers = "; ".join(f"{name.lower()} {value}" for name, value in found.items())
    return [
        f"Answers that are made up: {share:.1%} {cell(headline(knowing['invented']))}.",
        f"Confidence ({cell(knowing['confidence'].replace('_', ' '))}) of {knowing['groups']['asked']['n']:,} "
        f"answers to {cell(knowing['questions'])}: {cell(numbers)}.",
        f"Abstention: {cell(knowing['abstention']['explanation'])}.",
    ]
