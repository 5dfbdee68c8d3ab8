"""What a model knows, what it guesses, and whether it can tell: a summary of predictions in groups.

| group                | questions about                                    | what they serve for |
|----------------------|----------------------------------------------------|---------------------------------------|
| `asked`              | the people to report on                            | every figure that is reported | |
`held_out`           | people of the training files, kept out of training | temperature, threshold | | `trained` |
people whose questions were trained on             | provenance: what is merely remembered | | `invented` | people
who do not exist, by recombined names       | provenance, and the answers made up   | | `strangers` | strangers of
other kinds                           | how well each kind is told            | | `held_out_strangers` | other
strangers of all kinds                       | threshold, where it promises of them |

Nothing is chosen on `asked`, `trained`, `invented` or `strangers`. Everything here is a function of rows as they
stand in predictions.jsonl; no model is needed.

A refusal (the model answers that it does not know) ranks below every answer, whatever the model's confidence in
it, and takes no part in calibration: confidence in a refusal says nothing about a place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from closedbook.data.people.invented import UNKNOWN_ANSWER
from closedbook.evaluation.answering.answers import ScoredAnswer
from closedbook.evaluation.answering.confidence import OF_SAMPLES
from closedbook.evaluation.knowing.abstention import (
    abstain_on_predictions,
    check_threshold,
    describe_abstention,
)
from closedbook.evaluation.knowing.calibration import calibrate_predictions
from closedbook.evaluation.knowing.promise import choose_threshold
from closedbook.evaluation.knowing.provenance import (
    Provenance,
    summarise_answers,
    summarise_invented,
    summarise_provenance,
)
from closedbook.evaluation.knowing.strangers import ranked, summarise_strangers
from closedbook.evaluation.metrics.answer_match.normalisation import normalize
from closedbook.evaluation.metrics.exact_match.matching import is_match
from closedbook.evaluation.predictions import confidence_and_verdict
from closedbook.evaluation.statistics.ranking import area_under_roc

_Rows = Sequence[Mapping[str, Any]]
GROUPS = ("asked", "held_out", "trained", "invented", "strangers", "held_out_strangers")
STRANGERS = ("invented", "strangers", "held_out_strangers")  # groups about whom nobody is right
NUM_SAMPLES = 8  # a question, for the agreement
PROMISES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # error rates to show what could be promised
CERTAINTY = 0.95  # of a promise
DELTA = 1 - CERTAINTY  # all of it for the one confidence that is named before anybody is asked
NUM_CURVE_POINTS = 101  # of a risk-coverage curve in a results file; predictions.jsonl has them all


def is_refusal(text: str) -> bool:
    """Whether an answer says that the model does not know."""
    return normalize(text) == UNKNOWN_ANSWER


def prediction_rows(
    group: str,
    questions: Dataset,
    scored: Sequence[ScoredAnswer],
    traces: Sequence[Provenance],
    kind: str | None = None,
) -> list[dict[str, Any]]:
    """The rows of predictions.jsonl for one group.

    Every answer about an invented person is wrong: there is nobody it could be right about. A refusal is no right
    answer either; `refused` tells it from a wrong one.

    Args:
        group: one of `GROUPS`.
        questions: columns `question`, `entity` and `answers`.
        scored: the model's answers, one a question.
        traces: where each answer can come from.
        kind: of strangers, for the groups of them.

    Raises:
        ValueError: if the numbers differ.
    """
    rows = []
    for question, found, trace in zip(questions, scored, traces, strict=True):
        text, accepted = found.answer.text, question["answers"]
        rows.append(
            {
                "group": group,
                **({} if kind is None else {"kind": kind}),
                "question": question["question"],
                "entity": question["entity"],
                "answers": accepted,
                "prediction": text,
                "correct": False if group in STRANGERS else is_match(text, accepted) if accepted else None,
                "confidence": min(1.0, found.answer.confidence),
                "complete": found.answer.complete,
                "confidences": {name: min(1.0, value) for name, value in found.confidences.items()},
                "candidates": [
                    {"text": candidate.text, "log_probability": candidate.log_probability}
                    for candidate in found.candidates
                ],
                "provenance": trace.name,
                "provenance_explanation": trace.explanation,
                "refused": is_refusal(text),
            }
        )
    return rows


def summarise_knowing(
    rows: Sequence[Mapping[str, Any]],
    max_error_rate: float,
    confidence: str = "sequence_probability",
    max_stranger_rate: float | None = None,
) -> dict[str, Any]:
    """All figures of the groups; what is chosen is chosen on the two that are held out.

    Args:
        rows: as `prediction_rows` gives them, all groups together; `trained` and both of `strangers` may be
            missing.
        max_error_rate: the promise: share of wrong answers among those given, in [0, 1].
        confidence: the one that the promise is about. It is named and not chosen on the held-out people, so that
            their errors prove something about it alone.
        max_stranger_rate: a second promise, share of strangers who get an answer, in [0, 1]; it takes rows of
            `held_out_strangers`. None: nothing is promised of strangers.

    Returns:
        - `confidence`: its name; all figures outside `confidences` are about it.
        - `abstention`: `threshold` (None where the promise cannot be kept), `max_error_rate`, `can_be_kept`,
          `explanation` (a sentence), `chosen` and `check` (see `abstention.py`), and `promises`: for other error
          rates the threshold, the share of questions answered, the check, and the invented people answered.
        - `groups`: `summarise_answers` by group; `provenance`: by class, of all groups but those held out. -
        `invented`: `summarise_invented`, the headline; `strangers`: `summarise_strangers`, by kind, those
        invented
          among them.
        - `confidences`: by name, each as if it had been the named one, but for the promise about strangers, which
          is about that one alone: `held_out_aurc`; `auroc`, how well it ranks
          right answers above wrong ones among those asked (None where one of them is missing); `calibration` and
          `calibration_with_bias` (see `calibration.py`; None where everything was refused); `abstention`
          (threshold, check, AURC, accuracy at coverages, the curve thinned to `NUM_CURVE_POINTS`); `invented`.

    Raises:
        ValueError: if a group is missing or unknown, the held-out people are among those asked, a row lacks a
            confidence or a verdict, or there is no confidence of that name.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {name: [] for name in GROUPS}
    for number, row in enumerate(rows):
        if row.get("group") not in groups:
            raise ValueError(f"prediction {number} has group {row.get('group')!r}, not one of {', '.join(GROUPS)}")
        groups[row["group"]].append(row)
    missing = [name for name in ("asked", "held_out", "invented") if not groups[name]]
    if missing:
        raise ValueError(f"there are no predictions of the groups {', '.join(missing)}: write all with knowing.py")
    asked, held_out, invented = groups["asked"], groups["held_out"], groups["invented"]

    names = list(held_out[0]["confidences"])
    if confidence not in names:
        raise ValueError(f"there is no confidence {confidence!r} in the predictions, only {', '.join(names)}")
    proving = groups["held_out_strangers"]
    if max_stranger_rate is not None and not proving:
        raise ValueError("a promise about strangers takes predictions of the group held_out_strangers")
    second = _second_promise(proving, confidence, max_stranger_rate)
    confidences = {}
    for name in names:
        abstention = abstain_on_predictions(
            held_out,
            asked,
            name,
            max_error_rate=max_error_rate,
            delta=DELTA,
            **(second if name == confidence else {}),
        )
        confidences[name] = {
            "held_out_aurc": describe_abstention(*confidence_and_verdict(held_out, name))["aurc"],
            "auroc": area_under_roc(
                *([ranked(row, name) for row in asked if row["correct"] is verdict] for verdict in (True, False))
            ),
            "calibration": _calibrate(held_out, asked, name, with_bias=False),
            "calibration_with_bias": _calibrate(held_out, asked, name, with_bias=True),
            "abstention": abstention | {"curve": _thin(abstention["curve"])},
            "invented": summarise_invented(invented, abstention["chosen"]["threshold"], name),
        }
    chosen, check = (confidences[confidence]["abstention"][part] for part in ("chosen", "check"))
    threshold = chosen["threshold"]
    promises = _promises(
        held_out, asked, invented, confidence, _second_promise(proving, confidence, max_stranger_rate)
    )
    told = summarise_strangers(asked, [*invented, *groups["strangers"]], threshold, confidence)
    traced = [row for name, group in groups.items() if not name.startswith("held_out") for row in group]
    return {
        "confidence": confidence,
        "abstention": {
            "threshold": threshold,
            "max_error_rate": max_error_rate,
            "can_be_kept": threshold is not None,
            "explanation": _explain(chosen, check, promises, len({row["entity"] for row in held_out}), told),
            "chosen": chosen,
            "check": check,
            "promises": promises,
        },
        "groups": {
            name: summarise_answers(group, threshold, confidence) for name, group in groups.items() if group
        },
        "provenance": summarise_provenance(traced, threshold, confidence),
        "invented": confidences[confidence]["invented"],
        "strangers": told,
        "confidences": confidences,
    }


def _calibrate(held_out: _Rows, asked: _Rows, confidence: str, with_bias: bool) -> dict[str, Any] | None:
    if any(all(row["refused"] for row in group) for group in (held_out, asked)):
        return None
    # a share of samples: 0 and 1 stand for "rarer than can be seen" (see `fit_scaling`)
    extreme = {"extreme": 1 / (2 * NUM_SAMPLES)} if confidence in OF_SAMPLES else {}
    return calibrate_predictions(held_out, asked, confidence, with_bias=with_bias, **extreme)


def _thin(curve: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Every column at the same evenly spaced places, first and last included."""
    length = len(curve["coverage"])
    last = NUM_CURVE_POINTS - 1
    places = sorted({round(number * (length - 1) / last) for number in range(NUM_CURVE_POINTS)}) if length else []
    return {name: [column[place] for place in places] for name, column in curve.items()}


def _second_promise(proving: _Rows, confidence: str, rate: float | None) -> dict[str, Any]:
    """Arguments of `choose_threshold` about strangers; none without such a promise."""
    if rate is None:
        return {}
    return {"strangers": [ranked(row, confidence) for row in proving], "max_stranger_rate": rate}


def _promises(
    held_out: _Rows, asked: _Rows, invented: _Rows, confidence: str, second: Mapping[str, Any]
) -> list[dict[str, Any]]:
    rows = []
    for rate in PROMISES:
        columns = confidence_and_verdict(held_out, confidence)
        threshold = choose_threshold(*columns, max_error_rate=rate, delta=DELTA, **second).threshold
        check = check_threshold(
            *confidence_and_verdict(asked, confidence), threshold=threshold, max_error_rate=rate
        )
        made_up = summarise_invented(invented, threshold, confidence)["answered_after_abstention"]
        rows.append({"max_error_rate": rate, "threshold": threshold, "check": check, "invented_answered": made_up})
    return rows


def _explain(
    chosen: Mapping[str, Any],
    check: Mapping[str, Any],
    promises: _Rows,
    num_people: int,
    told: Mapping[str, Mapping[str, Any]],
) -> str:
    rate = f"at most {chosen['max_error_rate']:.0%} wrong among the answers given"
    if chosen["max_stranger_rate"] is not None:
        rate += f" and at most {chosen['max_stranger_rate']:.0%} of strangers, all kinds alike, answered"
    people = f"{chosen['n']} questions about {num_people} held-out people"
    if num_people < chosen["n"]:
        people += " (answers about one person are not independent: take the certainty for less)"
    if chosen["threshold"] is None:
        possible = [row["max_error_rate"] for row in promises if row["threshold"] is not None]
        best = (
            f"the least of the error rates tried that can be promised is {min(possible):.0%}"
            if possible
            else "nor can any other of the error rates tried"
        )
        return (
            f"{rate} cannot be promised, however few are given: no threshold proves it on {people} with "
            f"{CERTAINTY:.0%} certainty; {best}"
        )
    strangers, others = "", ""
    if chosen["max_stranger_rate"] is not None:
        strangers = f" and {chosen['strangers_answered']} of {chosen['strangers']} strangers answered"
        shares = {kind: figures["answered_after_abstention"]["share"] for kind, figures in told.items()}
        others = f"; of other strangers it answers {', '.join(f'{x:.1%} {kind}' for kind, x in shares.items())}"
    outcome = "kept" if check["kept"] else "disproved" if check["disproved"] else "exceeded within chance"
    return (
        f"{rate}: promised with {CERTAINTY:.0%} certainty from {chosen['errors']} wrong of {chosen['answered']} "
        f"answers to {people}{strangers}; {outcome} on those asked, with {check['errors']} wrong of "
        f"{check['answered']} answers{others}"
    )


def describe_knowing(summary: Mapping[str, Any]) -> str:
    """The figures that matter most, in a few lines; invented people first."""
    made_up, abstention, asked = summary["invented"], summary["abstention"], summary["groups"]["asked"]
    lines = [
        f"{made_up['n']} people who do not exist: {_percent(made_up['answered'])} get an answer, "
        f"{_percent(made_up['answered_confidently'])} one with a confidence of {made_up['confident_at']:g} or "
        f"more; with abstention {_percent(made_up['answered_after_abstention'])} get one",
        f"{asked['n']} people asked about: {_percent(asked['accuracy'])} right, {_percent(asked['refused'])} "
        f"refused; with abstention {_percent(asked['declined'])} not answered, "
        f"{_percent(asked['selective_accuracy'])} of the rest right",
        f"promise ({summary['confidence']}): {abstention['explanation']}",
    ]
    for row in abstention["promises"]:
        if row["threshold"] is not None:
            check = row["check"]
            lines.append(
                f"  at most {row['max_error_rate']:.0%} wrong: threshold {row['threshold']:.2f}, "
                f"{check['coverage']:.1%} of those asked answered, {check['errors']} of {check['answered']} "
                f"wrong; {_percent(row['invented_answered'])} of the invented people answered"
            )
    lines.append(f"{'strangers':24}{'asked':>8}{'given':>9}{'AUROC: ' + summary['confidence']:>30}")
    for kind, figures in summary["strangers"].items():
        given = _percent(figures["answered_after_abstention"])
        lines.append(f"{kind:24}{figures['n']:>8}{given:>9}{figures['auroc'][summary['confidence']]:>30.3f}")
    lines.append(
        f"{'confidence':24}{'AURC':>8}{'ECE before':>12}{'after':>8}{'temperature':>13}{'AUROC right':>13}"
    )
    for name, figures in summary["confidences"].items():
        # with a bias, which short answers do without, and answers of small probabilities do not
        aurc, fit, auroc = figures["abstention"]["aurc"], figures["calibration_with_bias"], figures["auroc"]
        cells = ["-", "-", "-"]
        if fit is not None:
            before, after = (fit[side]["expected_calibration_error"] for side in ("before", "after"))
            cells = [f"{before:.3f}", f"{after:.3f}", f"{fit['temperature']:.2f}"]
        cells = ["-" if aurc is None else f"{aurc:.3f}", *cells]
        told = "-" if auroc is None else f"{auroc:.3f}"
        lines.append(f"{name:24}{cells[0]:>8}{cells[1]:>12}{cells[2]:>8}{cells[3]:>13}{told:>13}")
    lines.append(f"{'provenance':24}{'questions':>10}{'right':>9}{'confidence':>12}{'declined':>10}")
    for name, figures in summary["provenance"].items():
        sure = "-" if figures["mean_confidence"] is None else f"{figures['mean_confidence']:.2f}"
        cells = [_percent(figures["accuracy"]), sure, _percent(figures["declined"])]
        lines.append(f"{name:24}{figures['n']:>10}{cells[0]:>9}{cells[1]:>12}{cells[2]:>10}")
    return "\n".join(lines)


def _percent(counted: Mapping[str, Any]) -> str:
    return "none" if counted["share"] is None else f"{counted['share']:.1%}"
