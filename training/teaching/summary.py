"""What the runs of a comparison of ways to teach say together: a table, a picture, intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from closedbook.evaluation.figures import COLORS, GRAY, MARKERS, new_figure, save_figure, set_title, styled
from closedbook.evaluation.knowing.abstention import check_threshold
from closedbook.evaluation.knowing.promise import choose_threshold
from closedbook.evaluation.statistics.intervals import bootstrap_interval
from closedbook.evaluation.statistics.paired import compare_paired
from closedbook.training.teaching.task import WORDINGS

UNTOUCHED = "untouched"
PEER = "trl"
IN_THE_PROMPT = ("retrieval", "document")  # arms that have the document before them when they are asked
PROMISED_ERROR = 0.1
DELTA = 0.5  # two seeds have too few answers for more: see `_selective`

Record = Mapping[str, Any]


def best_rate(records: Sequence[Record]) -> float:
    """The learning rate that answers most questions about people held out; of equals, what forgets least."""
    best = max(records, key=lambda run: (_right(run["held_out"]), -run["control_loss"]))
    return float(best["learning_rate"])


def summarise(runs: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """One entry an arm, over its seeds.

    Args:
        runs: by name of the arm, a record a seed. What arms forgot is told by the untouched model of the same
            seeds, where it was run.

    Returns:
        `arms`, name -> `heldout_correct`, `heldout_n`, `heldout_by_seed`, `interval` (bootstrap over people, 95%),
        `exact`, `trained_correct`, `trained_n`, `completed`, `completed_n`, `completed_not_answered` (questions
        about facts whose sentence is completed), `control_loss_before`, `control_loss_after`, `old_answers`,
        `old_answers_kept`, `invented_n`, `invented_answered` (at the threshold of `selective`), `selective`,
        `tokens` (a run), `tokens_per_second`, `tokens_per_cpu_second` (medians would hide that there are few: all
        tokens by all seconds), `learning_rate` and `seeds`; and `against_peer`, name -> how an arm compares with
        the peer on the same facts.
    """
    before = {run["seed"]: run for run in runs.get(UNTOUCHED, [])}
    arms = {name: _arm(name, records, before) for name, records in runs.items() if records}
    compared = {
        name: _against(runs[PEER], records)
        for name, records in runs.items()
        if PEER in arms and name not in (PEER, UNTOUCHED) and records
    }
    return {"arms": arms, "against_peer": {name: found for name, found in compared.items() if found is not None}}


def _arm(name: str, records: Sequence[Record], before: Mapping[int, Record]) -> dict[str, Any]:
    asked = [row for run in records for row in run["held_out"]]
    # whose document is in the prompt has nothing to complete from memory
    completed = (
        [] if name in (*IN_THE_PROMPT, UNTOUCHED) else [done for run in records for done in run["completed"]]
    )
    known = [run for run in records if run["seed"] in before]
    old = [was for run in known for was in before[run["seed"]]["general"]]
    kept = [
        now and was
        for run in known
        for now, was in zip(run["general"], before[run["seed"]]["general"], strict=True)
    ]
    seconds, cpu_seconds = (sum(run[kind] for run in records) for kind in ("seconds", "cpu_seconds"))
    tokens = sum(run["tokens"] for run in records)
    selective = _selective(records)
    return {
        "heldout_correct": _right(asked),
        "heldout_n": len(asked),
        "heldout_by_seed": [_right(run["held_out"]) for run in records],
        "interval": list(bootstrap_interval(_share_by_person(records), seed=0)),
        "exact": sum(row["exact"] for row in asked),
        "trained_correct": sum(_right(run["trained"]) for run in records),
        "trained_n": sum(len(run["trained"]) for run in records),
        "completed": sum(completed),
        "completed_n": len(completed),
        "completed_not_answered": _completed_not_answered(records) if completed else None,
        "control_loss_before": _mean([before[run["seed"]]["control_loss"] for run in known]),
        "control_loss_after": _mean([run["control_loss"] for run in records]),
        "control_loss_by_seed": [run["control_loss"] for run in records],
        "old_answers": sum(old),
        "old_answers_kept": sum(kept),
        "invented_n": sum(len(run["invented"]) for run in records),
        "invented_answered": None if selective is None else selective["invented_answered"],
        "selective": selective,
        "tokens": round(tokens / len(records)),
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "tokens_per_cpu_second": round(tokens / cpu_seconds, 1) if cpu_seconds else None,
        "learning_rate": records[0]["learning_rate"],
        "seeds": [run["seed"] for run in records],
    }


def _right(rows: Sequence[Record]) -> int:
    return sum(row["correct"] for row in rows)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _share_by_person(records: Sequence[Record]) -> list[float]:
    """Answered questions of each person, who is one draw: the answers about one go together."""
    people: dict[tuple[int, str], list[bool]] = {}
    for run in records:
        for row in run["held_out"]:
            people.setdefault((run["seed"], row["entity"]), []).append(row["correct"])
    return [sum(right) / len(right) for right in people.values()]


def _completed_not_answered(records: Sequence[Record]) -> int:
    """Questions not answered about facts whose sentence is completed: memorised, and not to be had by asking."""
    count = 0
    for run in records:
        for place, done in enumerate(run["completed"]):
            asked = run["held_out"][place * WORDINGS : (place + 1) * WORDINGS]
            count += done * (len(asked) - _right(asked))
    return count


def _selective(records: Sequence[Record]) -> dict[str, Any] | None:
    """Answering only above a threshold: chosen for each seed on the people of the others; None for a single seed.

    Both kinds of people are asked about, those held out and those of whom no document speaks: an answer about the
    latter is an error wherever it is given. The promise of `abstention` is made as if the wordings of a question
    were independent, and with even odds of being broken instead of one in twenty: as few people cannot prove more.
    What came of it, on the people of the seed, is what counts.
    """
    if len(records) < 2:
        return None
    answered = errors = asked = invented = 0
    thresholds = []
    for run in records:
        others = [row for other in records if other is not run for row in (*other["held_out"], *other["invented"])]
        chosen = choose_threshold(*_columns(others), max_error_rate=PROMISED_ERROR, delta=DELTA).threshold
        promise: dict[str, Any] = {"threshold": chosen, "max_error_rate": PROMISED_ERROR}
        found, made_up = (check_threshold(*_columns(run[kind]), **promise) for kind in ("held_out", "invented"))
        answered, asked = answered + found["answered"], asked + found["n"]
        errors += found["errors"] + made_up["errors"]
        invented += made_up["answered"]
        thresholds.append(chosen)
    return {
        "promised_error": PROMISED_ERROR,
        "delta": DELTA,
        "thresholds": thresholds,
        "answered": answered,
        "coverage": answered / asked,
        "errors": errors,
        "error_rate": errors / (answered + invented) if answered + invented else None,
        "invented_answered": invented,
    }


def _columns(rows: Sequence[Record]) -> tuple[list[float], list[bool]]:
    return [min(1.0, row["confidence"]) for row in rows], [row["correct"] for row in rows]


def _against(peer: Sequence[Record], records: Sequence[Record]) -> dict[str, Any] | None:
    """An arm against the peer on the facts of the seeds that both have; answered is what is in most wordings."""
    both = sorted({run["seed"] for run in peer} & {run["seed"] for run in records})
    if not both:
        return None
    first, second = (_facts(runs, both) for runs in (peer, records))
    found = compare_paired(first, second)
    questions = [sum(_right(run["held_out"]) for run in runs if run["seed"] in both) for runs in (peer, records)]
    return {
        "seeds": both,
        "ratio": questions[1] / questions[0] if questions[0] else None,
        "facts": found.n,
        "only_peer": found.only_first,
        "only_arm": found.only_second,
        "p_value": found.p_value,
    }


def _facts(runs: Sequence[Record], seeds: Sequence[int]) -> list[bool]:
    rows = {run["seed"]: run["held_out"] for run in runs}
    return [
        2 * _right(rows[seed][start : start + WORDINGS]) > WORDINGS
        for seed in seeds
        for start in range(0, len(rows[seed]), WORDINGS)
    ]


# ---- for people --------------------------------------------------------------------------------------------


def summary_table(arms: Mapping[str, Record], told: Mapping[str, str]) -> str:
    """Markdown, one row an arm."""
    lines = [
        "| arm | held-out questions answered [95%] | completed, not answered | answered at a promised 10% (wrong) "
        "| invented answered then | control loss | old answers kept | tokens | tokens a processor second |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, arm in arms.items():
        low, high = arm["interval"]
        selective = arm["selective"]
        cells = [
            f"{name}: {told[name]}",
            f"{arm['heldout_correct']} of {arm['heldout_n']} [{low:.0%}, {high:.0%}]",
            _told(arm["completed_not_answered"]),
            "" if selective is None else f"{selective['coverage']:.0%} ({_told(selective['error_rate'], '.0%')})",
            "" if selective is None else f"{selective['invented_answered']} of {arm['invented_n']}",
            f"{_told(arm['control_loss_before'], '.2f')} → {arm['control_loss_after']:.2f}",
            f"{arm['old_answers_kept']} of {arm['old_answers']}",
            f"{arm['tokens']:,}",
            _told(arm["tokens_per_cpu_second"], ".0f"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _told(value: float | None, form: str = "") -> str:
    return "–" if value is None else format(value, form)


@styled
def draw_summary(arms: Mapping[str, Record], path: Path) -> None:
    """What is answered against what is forgotten: best is at the top left. Small marks are single seeds."""
    figure = new_figure(7.0, 4.2)
    axes = figure.subplots()
    for place, (name, arm) in enumerate(arms.items()):
        color, marker = COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
        before = arm["control_loss_before"]
        if before is None:
            continue
        each = arm["heldout_n"] / len(arm["seeds"])
        forgot = [loss - before for loss in arm["control_loss_by_seed"]]
        axes.plot(forgot, [right / each for right in arm["heldout_by_seed"]], marker, color=color, alpha=0.4, ms=4)
        center, share = arm["control_loss_after"] - before, arm["heldout_correct"] / arm["heldout_n"]
        low, high = arm["interval"]
        axes.errorbar(
            center, share, [[share - low], [high - share]], color=color, marker=marker, ls="", label=name
        )
    axes.axvline(0, color=GRAY, linewidth=0.8)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("loss on an unrelated text, more than before (nats a token)")
    axes.set_ylabel("held-out questions answered")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    set_title(figure, "Taught the same documents with the same tokens: what is answered, what is forgotten")
    save_figure(figure, path)
