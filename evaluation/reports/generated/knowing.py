"""What recorded runs know, guess and make up: tables of pages, and the targets' numbers in one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from closedbook.evaluation.reports.run import read_knowing, read_object
from closedbook.evaluation.reports.tables import row

COMPARED = "sequence_probability"  # the confidence by which runs are set side by side
SUMMARY = "summary.json"


def knowing_block(results: Path) -> str:
    """What recorded runs know, guess and make up, by one confidence for all of them: one row a run."""
    lines = [
        "| run | right [95%] | calibration error | AURC | answers with abstention: given, right among them "
        "| invented people with a confident answer | with abstention |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for found in recorded_knowing(results):
        figures, asked = found["confidences"][COMPARED], found["groups"]["asked"]
        check, invented = figures["abstention"]["check"], figures["invented"]
        error = (figures["calibration"] or {}).get("before", {}).get("expected_calibration_error")
        area = figures["abstention"]["aurc"]
        cells = [found["name"], _share(asked["accuracy"])]
        cells += ["" if value is None else f"{value:.3f}" for value in (error, area)]
        right = "" if not check["answered"] else f", {1 - check['error_rate']:.1%}"
        cells.append(f"{check['coverage']:.1%}{right}")
        cells += [_share(invented[f"answered_confidently{side}"]) for side in ("", "_after_abstention")]
        lines.append(row(cells))
    return "\n".join(lines) + "\n"


def strangers_block(results: Path) -> str:
    """Runs that were asked about strangers of several kinds: what the promised threshold gives, and to whom."""
    found = [knowing for knowing in recorded_knowing(results) if "strangers" in knowing]
    kinds = list(dict.fromkeys(kind for knowing in found for kind in knowing["strangers"]))
    heads = ["run", "confidence", "right", "answered", "wrong among them"]
    heads += [f"{kind}: answered, AUROC of familiarity" for kind in kinds]
    lines = [row(heads), f"|---|---|{'---:|' * (len(heads) - 2)}"]
    for knowing in found:
        told = knowing_numbers(knowing)
        cells = [knowing["name"], told["confidence"], f"{told['accuracy']:.1%}", f"{told['coverage']:.1%}"]
        cells.append("" if told["error_rate"] is None else f"{told['error_rate']:.1%}")
        for kind in kinds:
            share, area = (told[part].get(kind) for part in ("strangers_answered", "auroc_stranger"))
            cells.append("" if share is None else f"{share:.1%}, {area['familiarity']:.3f}")
        lines.append(row(cells))
    return "\n".join(lines) + "\n"


def confidences_block(results: Path) -> str:
    """Every confidence on the same answers, the mean over runs."""
    found = [knowing for knowing in recorded_knowing(results) if "strangers" in knowing]
    names = [name for name in found[0]["confidences"] if all(name in knowing["confidences"] for knowing in found)]
    lines = [
        "| confidence | AUROC, right or wrong | AUROC, known or recombined stranger | AURC | calibration error |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in names:
        columns = []
        for knowing in found:
            figures = knowing["confidences"][name]
            strangers = knowing["strangers"]["recombined"]["auroc"][name]
            error = (figures["calibration"] or {}).get("before", {}).get("expected_calibration_error")
            columns.append([figures["auroc"], strangers, figures["abstention"]["aurc"], error])
        means = [_mean(values) for values in zip(*columns, strict=True)]
        lines.append(row([name.replace("_", " "), *("" if mean is None else f"{mean:.3f}" for mean in means)]))
    return "\n".join(lines) + "\n"


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None


def knowing_numbers(knowing: Mapping[str, Any]) -> dict[str, Any]:
    """One run by the confidence that its promise is about.

    Returns:
        `seed`, `confidence`, `promised` (both rates), `held_out` (how many people proved it), `threshold`,
        `accuracy`, `coverage`, `error_rate`, `kept`, `invented_answered`; and by kind of stranger
        `strangers_answered` and `auroc_stranger` (by confidence). Shares in [0, 1]; None where nothing is
        answered.
    """
    abstention = knowing["abstention"]
    chosen, check = abstention["chosen"], abstention["check"]
    strangers = knowing["strangers"]
    return {
        "seed": knowing.get("train_seed"),
        "confidence": knowing["confidence"],
        "promised": [chosen["max_error_rate"], chosen.get("max_stranger_rate")],
        "held_out": chosen["n"],
        "threshold": abstention["threshold"],
        "accuracy": knowing["groups"]["asked"]["accuracy"]["share"],
        "coverage": check["coverage"],
        "error_rate": check["error_rate"],
        "kept": check["kept"],
        "invented_answered": knowing["invented"]["answered_after_abstention"]["share"],
        "strangers_answered": {
            kind: figures["answered_after_abstention"]["share"] for kind, figures in strangers.items()
        },
        "auroc_stranger": {kind: figures["auroc"] for kind, figures in strangers.items()},
    }


def knowing_summary(found: Sequence[Mapping[str, Any]], environment: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `summary.json`: `runs`, by name; of those that were asked about strangers."""
    return {"runs": {run["name"]: knowing_numbers(run) for run in found if "strangers" in run}, **environment}


def promise_block(results: Path) -> str:
    """Promises by simulation: how often they are broken, and how many questions they let be answered."""
    found = read_object(results / "benchmarks" / "promise.json")
    lines = [
        "| held-out people | promises broken [95%] | answered | before: broken | answered |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, law in found["laws"].items():
        now, before = law["fixed sequence"], law["bonferroni"]
        low, high = now["broken_interval"]
        broken = f"{now['broken']:.1%} [{low:.1%}, {high:.1%}]"
        lines.append(
            row([name, broken, *(f"{x:.1%}" for x in (now["answered"], before["broken"], before["answered"]))])
        )
    return "\n".join(lines) + "\n"


def recorded_knowing(results: Path) -> list[dict[str, Any]]:
    """What runs know, as `scripts/report.py --record` kept it.

    Raises:
        ValueError: If nothing was kept.
    """
    paths = sorted(path for path in (results / "knowing").glob("*.json") if path.name != SUMMARY)
    if not paths:
        raise ValueError(f"{results / 'knowing'} holds nothing; scripts/report.py --record RUN keeps it there")
    return [read_knowing(path) for path in paths]


def _share(value: dict[str, Any]) -> str:
    return (
        ""
        if value["share"] is None
        else f"{value['share']:.1%} [{value['interval'][0]:.1%}, {value['interval'][1]:.1%}]"
    )
