"""What the front page says at a glance: one table against published runs, and one line for each thing found.

Both are made from the files of `results/`; the pages that the lines point to have the whole tables.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from closedbook.evaluation.reports.generated.laboratory import wordings_in_short
from closedbook.evaluation.reports.run import read_object
from closedbook.evaluation.reports.tables import Summary, row, summaries_of_one_set

# Words for the systems that the table shows, by model and recipes; the page of the task has all the others.
_OURS = {
    ("vanilla", "cs224n_vanilla_pretrain then cs224n_finetune"): "ours, the assignment's own corruption",
    ("perceiver-spread", "cs224n_self_questions"): "ours, Perceiver, taught by readers",
    ("vanilla", "cs224n_company_pretrain then cs224n_places_finetune"): "ours, places called up by name",
    ("vanilla", "cs224n_mixed_long then cs224n_places_finetune"): "ours, places and questions mixed",
    ("vanilla", "cs224n_self_questions"): "ours, taught by readers",
    ("vanilla", "cs224n_self_questions_tenth"): "ours, a tenth of the size, taught by readers",
}
_OWN_CORRUPTION, _, _PLACES, *_ = _OURS


def front_table(results: Sequence[dict[str, Any]], published: dict[str, Any]) -> str:
    """Ours and the published, in one ascending order: those that know more than the most frequent answer.

    Args:
        results: Of one task and split, with the majority baseline among them.
        published: What others have reached there, see `tables.read_published`.

    Raises:
        ValueError: If the results mix tasks or splits, or have no baseline.
    """
    summaries = summaries_of_one_set(results)
    floor = max((summary.accuracy for summary in summaries if summary.protocol == "majority"), default=None)
    if floor is None:
        raise ValueError("no result of the most frequent answer: scripts/evaluate.py --train_questions makes one")
    best = summaries[-1]
    lines = []
    for summary in summaries:
        words = _OURS.get((summary.model, summary.recipe))
        if summary.protocol == "majority":
            words = summary.label
        if words is not None and summary.accuracy >= floor:
            low, high = summary.interval
            bold = "**" if summary is best else ""
            cells = [f"{bold}{words}{bold}", f"{summary.parameters:,}", f"{bold}{summary.accuracy:.1%}{bold}"]
            lines.append((summary.accuracy, row([*cells, f"{low:.1%} to {high:.1%}"])))
    for entry in published["systems"]:
        low, high = entry["accuracy"]
        if high >= floor:
            runs = f"{entry['runs']} run{'s' * (entry['runs'] > 1)}"
            share = f"{high:.1%}" if low == high else f"{low:.1%} to {high:.1%}"
            parameters = "" if entry["parameters"] is None else f"{entry['parameters']:,}"
            lines.append((high, row([f"published: {entry['system']} ({runs})", parameters, share, ""])))
    ceiling = published["ceiling"]
    share = ceiling["correct"] / ceiling["n"]
    lines.append((share, row([f"ceiling: {ceiling['meaning']}", "", f"{share:.1%}", ""])))
    head = [f"{best.task}, {best.split} ({best.n:,} questions)", "parameters", "accuracy", "95% interval"]
    return "\n".join([row(head), "|---|---:|---:|---:|", *(line for _, line in sorted(lines))]) + "\n"


def findings_block(results: Path, reference: Sequence[dict[str, Any]]) -> str:
    """One row a question: what came out in short, and the page that tells it in full.

    Args:
        results: Folder of the result files.
        reference: Results of the reference task.
    """
    answers = [
        ("What makes a read fact answerable?", _recipes(summaries_of_one_set(reference)), "reference-task"),
        ("Does it know that it doesn't?", _abstention(results), "knowing"),
        ("Is what it read what it can answer?", wordings_in_short(results), "laboratory"),
        ("How much of in-context accuracy is luck?", _luck(results), "prompting"),
        ("Which architectures learn in context?", _shift(results), "prompting"),
        ("Do written steps help?", _steps(results), "reasoning"),
        ("Which architecture is fast?", _speed(results), "architectures"),
        ("What can one attention layer do?", _constructions(results), "attention"),
    ]
    lines = [row([question, answer, f"[{page}](docs/{page}.md)"]) for question, answer, page in answers]
    return "\n".join([row(["question", "short answer", "page"]), "|---|---|---|", *lines]) + "\n"


def _recipes(summaries: Sequence[Summary]) -> str:
    by_recipe = {(summary.model, summary.recipe): summary for summary in summaries}
    plain, places = by_recipe[_OWN_CORRUPTION], by_recipe[_PLACES]
    text = places.train_characters / plain.train_characters
    return (
        f"the name has to call it up: {plain.accuracy:.0%} with gaps anywhere, {places.accuracy:.0%} with places "
        f"asked for by name, on {text:.0%} of the characters"
    )


def _abstention(results: Path) -> str:
    runs = [*read_object(results / "knowing" / "summary.json")["runs"].values()]
    promised, coverage, wrong, invented = (
        fmean(values)
        for values in zip(
            *([run["promised"][0], run["coverage"], run["error_rate"], run["invented_answered"]] for run in runs),
            strict=True,
        )
    )
    seeds = f" ({len(runs)} seeds)" if len(runs) > 1 else ""
    return (
        f"promised at most {promised:.0%} wrong, it answers {coverage:.0%} of the questions, {wrong:.0%} of these "
        f"wrongly, and {invented:.0%} of those about invented people{seeds}"
    )


def _luck(results: Path) -> str:
    found = read_object(results / "incontext" / "smollm2.json")
    runs = {
        one["arm"]["num_shots"]: one
        for one in found["arms"]
        if (one["arm"]["selection"], one["arm"]["decoding"]) == ("random", "greedy")
        and one["arm"]["order"] in ("none", "near_last")
    }
    few, most = runs[2], runs[max(runs)]
    return (
        f"{found['num_questions']} questions, other demonstrations: {_spread(few)} with 2 shots, {_spread(most)} "
        f"with {most['arm']['num_shots']}"
    )


def _spread(found: dict[str, Any]) -> str:
    low, high = (f"{100 * found['spread'][end]:.0f}%" for end in ("lowest", "highest"))
    chance = found["spread"]["seeds"]["p_value"]
    return f"{low} to {high} (were it chance, p {'< 0.001' if chance < 0.001 else f'= {chance:.2g}'})"


def _shift(results: Path) -> str:
    found = read_object(results / "laboratory" / "incontext.json")
    full = found["references"]["shift"]["num_mappings"]
    shown = [one for one in found["pooled"] if one["family"] == "shift" and one["num_mappings"] == full]
    sure = [one["variant"] for one in shown if min(one["by_seed"]["held_out"]) > 0.99]
    return f"at one short budget {len(sure)} of {len(shown)} in every seed: {', '.join(sure)}"


def _steps(results: Path) -> str:
    found = read_object(results / "laboratory" / "reasoning.json")
    share = {(one["style"], one["range"]): one["accuracy"] for one in found["ranges"]}
    return (
        f"within the trained lengths {share['worked', 'trained']:.0%} against {share['direct', 'trained']:.0%}, "
        f"beyond them {share['worked', 'beyond']:.0%} against {share['direct', 'beyond']:.0%}"
    )


def _speed(results: Path) -> str:
    variants = read_object(results / "benchmarks" / "architectures-cpu.json")["summary"]["variants"]
    ratios = [*variants["perceiver-spread"]["training"]["ratio"].values()]
    linear = variants["linformer"]["training"]["ratio"]
    longest = max(linear, key=int)
    return (
        f"a Perceiver trains {min(ratios):.1f} to {max(ratios):.1f} times as fast as vanilla, Linformer "
        f"{linear[longest]:.1f} times at {int(longest):,} tokens"
    )


def _constructions(results: Path) -> str:
    errors = read_object(results / "attention" / "constructions.json")["errors"]
    kept = sum(one["error"] <= one["tolerance"] for one in errors)
    return f"copy, average, relate: {kept} of {len(errors)} measurements within the tolerance derived for them"
