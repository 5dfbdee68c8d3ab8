"""The parts of a page that say what a model knows, guesses and makes up: calibration, abstention, provenance.

They show what scripts/knowing.py wrote. Where only plain predictions exist, calibration and abstention are taken
of those, for the one confidence that they hold; the rest is left out.
"""

from collections.abc import Mapping
from typing import Any

from closedbook.evaluation.knowing.abstention import describe_abstention
from closedbook.evaluation.knowing.calibration import describe_calibration
from closedbook.evaluation.predictions import confidence_and_verdict
from closedbook.evaluation.reports.confidence import (
    PROVENANCE_WORDS,
    confidence_words,
    invented_figure,
    provenance_figure,
    reliability_figure,
    risk_coverage_figure,
)
from closedbook.evaluation.reports.parts import Part, between, figure, missing, not_evaluated, percent, table, text
from closedbook.evaluation.reports.run import RunFiles
from closedbook.evaluation.statistics.intervals import wilson_interval

PLAIN = "sequence_probability"  # the confidence that every prediction has


def summarise_confidences(files: RunFiles) -> dict[str, dict[str, Any]]:
    """By name of a confidence: calibration `before` and `after` scaling, `temperature`, and `abstention`.

    What is unknown is None; empty where nothing was judged.
    """
    if files.knowing is not None:
        found = {}
        for name, figures in files.knowing["confidences"].items():
            fit = figures["calibration"] or {}
            found[name] = {key: fit.get(key) for key in ("before", "after", "temperature")}
            found[name]["abstention"] = figures["abstention"]
        return found
    rows = [row for row in files.predictions if row["correct"] is not None]
    if not rows:
        return {}
    values, correct, refused = confidence_and_verdict(rows)
    calibration = None if refused.all() else describe_calibration(values[~refused], correct[~refused])
    abstention = describe_abstention(values, correct, refused)
    return {PLAIN: {"before": calibration, "after": None, "temperature": None, "abstention": abstention}}


def headline(invented: Mapping[str, Any]) -> str:
    """How many people who do not exist get a confident answer, and what abstention leaves of it."""
    after = invented["answered_confidently_after_abstention"]
    rule = (
        "abstention keeps its promise by answering nobody" if invented["threshold"] is None else "with abstention"
    )
    return (
        f"of {invented['n']:,} invented people get an answer with a confidence of {invented['confident_at']:.0%} "
        f"or more (95% interval {between(invented['answered_confidently']['interval'])}); {rule}: "
        f"{percent(after['share'])} ({between(after['interval'])})"
    )


def facts(files: RunFiles) -> list[dict[str, str]]:
    """The numbers that a page leads with, beside the accuracy."""
    if files.knowing is None:
        return []
    invented = files.knowing["invented"]
    before, after = (
        percent(invented[key]["share"])
        for key in ("answered_confidently", "answered_confidently_after_abstention")
    )
    return [{"value": f"{before} → {after}", "words": headline(invented)}]


def invented_parts(files: RunFiles) -> list[Part]:
    """Answers about people who do not exist."""
    if files.knowing is None:
        return [_knowing(files, "Nobody has asked this model about people who do not exist.")]
    invented = files.knowing["invented"]
    rows = []
    for key, words in (
        ("answered", "any answer"),
        ("answered_confidently", f"{invented['confident_at']:.0%} or more"),
    ):
        before, after = invented[key], invented[f"{key}_after_abstention"]
        cells = [
            percent(before["share"]),
            between(before["interval"]),
            percent(after["share"]),
            between(after["interval"]),
        ]
        rows.append([words, *cells])
    columns = ("confidence of the answer", "answered", "95% interval", "with abstention", "95% interval")
    return [
        text(
            f"{invented['n']:,} names that occur nowhere in the training text were asked about. Every answer "
            f"about them is made up. Confidence: {confidence_words(files.knowing['confidence'])}."
        ),
        table(columns, rows),
        figure(
            invented_figure({files.name: invented}),
            "Invented people who get an answer, without and with abstention.",
        ),
    ]


def calibration_parts(files: RunFiles) -> list[Part]:
    """Reliability diagram, calibration error and Brier score of every confidence."""
    found = {name: value for name, value in summarise_confidences(files).items() if value["before"] is not None}
    if not found:
        return [not_evaluated(files.folder)]
    rows, bins = [], {}
    for name, value in found.items():
        before, after = value["before"], value["after"]
        bins[name] = [
            entry | {"interval": wilson_interval(entry["correct"], entry["n"])} for entry in before["bins"]
        ]
        cells = [percent(before["mean_confidence"]), percent(before["accuracy"])]
        cells += [f"{before[key]:.3f}" for key in ("expected_calibration_error", "brier")]
        cells += (
            [f"{value['temperature']:.2f}", f"{after['expected_calibration_error']:.3f}"] if after else ["", ""]
        )
        rows.append([confidence_words(name), *cells])
    columns = (
        "confidence",
        "mean",
        "accuracy",
        "calibration error",
        "Brier score",
        "temperature",
        "error with it",
    )
    first = next(iter(found.values()))["before"]
    most_bins = max(len(value["before"]["bins"]) for value in found.values())
    words = (
        f"{first['n']:,} answers, refusals left out. Calibration error: the mean distance of accuracy and "
        f"confidence over up to {most_bins} bins of about equally many answers; 0 is perfect."
    )
    parts = [
        text(words),
        table(columns, rows),
        figure(reliability_figure(bins), "Accuracy by confidence, with 95% intervals of every bin."),
    ]
    if files.knowing is None:
        parts.append(_knowing(files, "The other confidences and a fitted temperature were not measured."))
    return parts


def abstention_parts(files: RunFiles) -> list[Part]:
    """Risk-coverage curves with their numbers, and the threshold with its check."""
    found = {name: value["abstention"] for name, value in summarise_confidences(files).items()}
    if not found:
        return [not_evaluated(files.folder)]
    rows, coverages = [], list(next(iter(found.values()))["accuracy_at"])
    for name, value in found.items():
        area = "" if value["aurc"] is None else f"{value['aurc']:.3f}"
        rows.append([confidence_words(name), area, *(percent(value["accuracy_at"][at]) for at in coverages)])
    columns = ("confidence", "AURC", *(f"accuracy at {float(at):.0%} coverage" for at in coverages))
    curves = {confidence_words(name): curve_points(value["curve"]) for name, value in found.items()}
    parts = [
        text("AURC: the area under the curve of errors against coverage; lower is better."),
        table(columns, rows),
        figure(
            risk_coverage_figure(curves, threshold_mark(files.knowing and files.knowing["abstention"])),
            "Wrong answers among those given, when only the surest questions are answered.",
        ),
    ]
    if files.knowing is None:
        return [*parts, _knowing(files, "No threshold was chosen on held-out people.")]
    explanation = files.knowing["abstention"]["explanation"]
    chosen_by = confidence_words(files.knowing["confidence"])
    return [*parts, text(f"Threshold, by {chosen_by}: {explanation[0].upper()}{explanation[1:]}.")]


def curve_points(curve: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(coverage, risk) of a curve as the results hold it."""
    return list(zip(curve["coverage"], curve["risk"], strict=True))


def threshold_mark(abstention: Mapping[str, Any] | None) -> list[tuple[float, float, str]]:
    """Where a chosen threshold lies on the risk-coverage picture; nothing where it answers nobody.

    Args:
        abstention: that of knowing.json, or that of one of its confidences.
    """
    if abstention is None or not abstention["check"]["answered"]:
        return []
    check = abstention["check"]
    words = f"threshold {check['threshold']:.2f}, promise: {check['max_error_rate']:.0%} wrong at most"
    return [(check["coverage"], check["error_rate"], words)]


def provenance_parts(files: RunFiles) -> list[Part]:
    """Accuracy, confidence and abstention by where an answer can come from."""
    if files.knowing is None:
        return [_knowing(files, "Nobody has traced the answers to the training text.")]
    classes = files.knowing["provenance"]
    rows = []
    for name, value in classes.items():
        accuracy, selective = value["accuracy"], value["selective_accuracy"]
        cells = [f"{value['n']:,}", percent(accuracy["share"]), between(accuracy["interval"])]
        cells += [percent(value["mean_confidence"]), percent(value["refused"]["share"])]
        cells += [percent(value["declined"]["share"]), percent(selective["share"])]
        rows.append([PROVENANCE_WORDS.get(name, name), *cells])
    columns = (
        "where the answer can come from",
        "questions",
        "right",
        "95% interval",
        "mean confidence",
        "refused",
    )
    columns += ("not answered with abstention", "right among the rest")
    return [
        table(columns, rows),
        figure(provenance_figure(classes), "Right answers, confidence and abstention by provenance."),
    ]


def _knowing(files: RunFiles, words: str) -> Part:
    return missing(words, "python", "scripts/knowing.py", "--model", files.folder)
