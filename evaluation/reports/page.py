"""A report of one run as a single HTML page: no scripts, no other files, readable without a network.

Each section is a list of parts (text, table, figure, code, or a note of what is missing and which command makes
it); `page.html` turns parts into HTML and escapes all of their text.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from closedbook.evaluation.reports.accuracies import learning_figure, read_curve
from closedbook.evaluation.reports.confidence import PROVENANCE_WORDS
from closedbook.evaluation.reports.knowing import (
    abstention_parts,
    calibration_parts,
    facts,
    invented_parts,
    provenance_parts,
)
from closedbook.evaluation.reports.ledger import ledger_parts
from closedbook.evaluation.reports.parts import (
    Part,
    between,
    figure,
    missing,
    not_evaluated,
    percent,
    section,
    table,
    text,
)
from closedbook.evaluation.reports.run import RunFiles
from closedbook.evaluation.results import PROTOCOLS
from closedbook.evaluation.statistics.paired import (
    PairedComparison,
    check_same_questions,
    compare_paired,
    verdicts,
)

TEMPLATE = Path(__file__).with_name("page.html")
NUM_ERRORS = 20


def build_page(
    files: RunFiles,
    compare: RunFiles | None = None,
    questions: tuple[Iterable[dict[str, Any]], str] | None = None,
) -> str:
    """The HTML of a run's report.

    Args:
        files: The run.
        compare: Another run over the same questions, for the paired comparison.
        questions: What was to be asked, as records with `question` and `answers`, and the name of their file: the
            predictions must match them.

    Raises:
        ValueError: If the predictions do not match those of `compare`, or the questions.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    if questions is not None:
        _need_predictions(files)
        check_same_questions(files.predictions, files.predictions_path, *questions)
    sections = [
        section("accuracy", "Accuracy", _accuracy(files)),
        section("invented", "Invented people", invented_parts(files)),
        section("comparison", "Comparison", _comparison(files, compare)),
        section("learning", "Learning curves", _learning(files)),
        section("calibration", "Calibration", calibration_parts(files)),
        section("abstention", "Abstention", abstention_parts(files)),
        section("provenance", "Provenance", provenance_parts(files)),
        section("ledger", "Fact by fact", ledger_parts(files)),
        section("errors", "The most confident errors", _errors(files)),
        section("origin", "How it was made", _origin(files)),
    ]
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=False
    )
    return environment.get_template(TEMPLATE.name).render(
        title=f"What {files.name} knows", subtitle=_subtitle(files), facts=_facts(files), sections=sections
    )


def _need_predictions(files: RunFiles) -> None:
    if not files.predictions:
        raise ValueError(f"{files.folder} has no predictions: run scripts/evaluate.py --model {files.folder}")


def _subtitle(files: RunFiles) -> str:
    run, result = files.run, files.result
    parts = [run.last.model or "a model"]
    if run.last.parameters:
        parts.append(f"{run.last.parameters:,} parameters")
    parts.append(PROTOCOLS.get(run.protocol, "trained"))
    if result:
        parts.append(f"asked {result['n']:,} questions of {result['task']}, {result['split']}")
    return ", ".join(parts)


def _facts(files: RunFiles) -> list[dict[str, str]]:
    found = []
    if files.score:
        correct, n, interval = files.score
        words = f"right answers: {correct:,} of {n:,} (95% interval {between(interval)})"
        found.append({"value": percent(correct / n), "words": words})
    return found + facts(files)


def _accuracy(files: RunFiles) -> list[Part]:
    if not files.score:
        return [not_evaluated(files.folder)]
    correct, n, interval = files.score
    name = files.run.last.model or files.name
    rows = [[name, f"{correct:,}", f"{n:,}", percent(correct / n), between(interval)]]
    majority = (files.result or {}).get("baselines", {}).get("majority")
    if majority:
        answer = f'always "{majority["answer"]}"'
        rows.append([answer, f"{majority['correct']:,}", f"{n:,}", percent(majority["accuracy"]), ""])
    parts = [table(("system", "right", "questions", "accuracy", "95% interval"), rows)]
    if files.result:
        parts.append(
            text(
                f"Characters read in training, repetitions included: {files.result['train_characters']:,}. "
                f"Seed {files.result['seed']}. The interval is Wilson's and covers the choice of questions; "
                "another seed would change the number, too."
            )
        )
    unfinished = sum(not row.get("complete", True) for row in files.predictions)
    if unfinished:
        parts.append(text(f"Answers that ran out of room before they ended: {unfinished:,}."))
    return parts


def _comparison(files: RunFiles, compare: RunFiles | None) -> list[Part]:
    if compare is None:
        command = [
            "python",
            "scripts/report.py",
            "--run",
            files.folder,
            "--compare",
            "OTHER_RUN",
            "--html",
            "FILE",
        ]
        return [missing("No other run was given to compare with.", *command)]
    for side in (files, compare):
        _need_predictions(side)
    check_same_questions(files.predictions, files.predictions_path, compare.predictions, compare.predictions_path)
    found = compare_paired(
        verdicts(compare.predictions, compare.predictions_path),
        verdicts(files.predictions, files.predictions_path),
    )
    names = compare.name, files.name
    if names[0] == names[1]:
        names = str(compare.folder), str(files.folder)
    crossed = table(
        ("", f"{names[1]} right", f"{names[1]} wrong", "together"),
        [
            [f"{names[0]} right", *_counts(found.both, found.only_first)],
            [f"{names[0]} wrong", *_counts(found.only_second, found.neither)],
            ["together", *_counts(found.both + found.only_second, found.only_first + found.neither)],
        ],
    )
    return [text(describe_comparison(found, *names)), crossed]


def _counts(*counts: int) -> list[str]:
    return [f"{count:,}" for count in (*counts, sum(counts))]


def describe_comparison(found: PairedComparison, first: str, second: str) -> str:
    """The outcome of a paired comparison in words."""
    low, high = (100 * end for end in found.interval)
    first_accuracy, second_accuracy = found.accuracies
    return (
        f"The same {found.n:,} questions: {first} answers {first_accuracy:.1%} of them, {second} "
        f"{second_accuracy:.1%}. The difference is {100 * found.difference:+.1f} points (95% interval {low:+.1f} "
        f"to {high:+.1f}, Bonett and Price). {found.only_second:,} questions are answered by {second} alone and "
        f"{found.only_first:,} by {first} alone; were both equally good, a split as uneven as this would have a "
        f"probability of {_probability(found.p_value)} (McNemar's exact test)."
    )


def _probability(value: float) -> str:
    return "less than 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def _learning(files: RunFiles) -> list[Part]:
    if not (files.folder / "trainer_state.json").is_file():
        return [
            text(
                "The folder holds no log of training (trainer_state.json), which every finished run leaves there."
            )
        ]
    curve = read_curve(files.folder, files.run)
    notes = [text(f"Left out: {sentence}.") for sentence in curve["missing"]]
    if not curve["loss"] and not curve["eval_loss"]:
        return [*notes, text("The log holds no loss: logging_steps was above the number of steps.")]
    words = "Loss of training and on a fixed draw of the training records"
    if curve["accuracy"]:
        words += ", and accuracy on people held out of the training questions"
    else:
        notes.append(text("No accuracy on the way: train with --validation_share to have it measured."))
    return [figure(learning_figure([curve]), f"{words}, by characters read."), *notes]


def _errors(files: RunFiles) -> list[Part]:
    if not files.predictions:
        return [not_evaluated(files.folder)]
    wrong = [row for row in files.predictions if row.get("correct") is False and not row.get("refused")]
    if not wrong:
        return [text("No answer was wrong.")]
    traced = _provenance_by_question(files)
    surest = sorted(wrong, key=lambda row: -row["confidence"])[:NUM_ERRORS]
    rows = []
    for row in surest:
        provenance = row.get("provenance") or traced.get(row["question"])
        answer = row["prediction"] + ("" if row.get("complete", True) else " ... (unfinished)")
        origin = PROVENANCE_WORDS.get(provenance, provenance or "not traced")
        rows.append([row["question"], answer, "; ".join(row["answers"]), origin, percent(row["confidence"])])
    columns = ("question", "answer given", "accepted", "where the answer can come from", "confidence")
    parts = [table(columns, rows, text_columns=4)]
    parts.append(text(f"{len(rows)} of {len(wrong):,} wrong answers, the surest first."))
    return parts


def _provenance_by_question(files: RunFiles) -> dict[str, str]:
    return {row["question"]: row["provenance"] for row in files.knowing_rows if row.get("provenance")}


def _origin(files: RunFiles) -> list[Part]:
    stages = files.run.stages
    told = {
        "stage": "stage",
        "recipe": "recipe",
        "objectives": "objectives",
        "training_questions": "training questions",
        "steps": "steps",
        "global_batch_size": "examples a step",
        "train_characters": "characters read",
        "train_seconds": "seconds of training",
        "seed": "seed",
        "hardware": "hardware",
        "versions": "versions",
        "commit": "commit",
    }
    rows = []
    for key, words in told.items():
        values = [None if (value := getattr(stage, key)) in ([], {}) else value for stage in stages]
        if any(value is not None for value in values):
            rows.append([words, *map(_plain, values)])
    columns = ["", *(f"stage {number}" for number in range(1, len(stages) + 1))]
    parts = [table(columns, rows, text_columns=len(columns))]
    commands = [stage.command for stage in stages if stage.command]
    commands += [files.result["command"]] if files.result else []
    return [*parts, *({"kind": "code", "text": command} for command in commands)]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, int | float):
        return f"{value:,}"
    return "" if value is None else str(value)
