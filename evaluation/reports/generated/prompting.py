"""Generated tables of the README on learning in context, chains of thought, and attention by construction."""

from pathlib import Path
from typing import Any

from closedbook.evaluation.prompting.incontext_arms import decoding_label, demonstrations_label
from closedbook.evaluation.reports.run import read_object
from closedbook.evaluation.reports.tables import row

SHOWN_DRAWS = (0.02, 0.5)  # variances of the key's length: a small one, and the exercise's
_LABORATORY_ARMS = {"direct": "answer alone", "worked": "worked steps, then answer", "filler": "as many dots"}


def incontext_block(results: Path) -> str:
    """Exact match by number of shots: one row a way to choose demonstrations and to decode."""
    summary = read_object(results / "incontext" / "smollm2.json")
    arms = [found for found in summary["arms"] if found["arm"]["order"] in ("none", "near_last")]
    shots = sorted({found["arm"]["num_shots"] for found in arms})
    lines: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    selections = list(dict.fromkeys(found["arm"]["selection"] for found in arms if found["arm"]["num_shots"]))
    for found in arms:
        arm = found["arm"]
        # without demonstrations nothing is selected: the same runs stand in every row of their decoding
        for selection in [arm["selection"]] if arm["num_shots"] else selections:
            lines.setdefault((selection, decoding_label(arm)), {})[arm["num_shots"]] = found
    table = [
        row(
            [
                "demonstrations, decoding",
                *(f"{number} shot{'s' * (number != 1)}" for number in shots),
                "tokens",
                "runs, lowest to highest",
            ]
        ),
        "|---|" + "---:|" * (len(shots) + 2),
    ]
    for (selection, decoding), by_shots in sorted(lines.items(), key=lambda item: selections.index(item[0][0])):
        last = by_shots[max(by_shots)]
        cells = [
            _with_interval(by_shots[number]["metrics"]["answer_match"]) if number in by_shots else ""
            for number in shots
        ]
        runs = last["metrics"]["answer_match"]["each_run"]
        spread = f"{len(runs)}: {100 * min(runs):.0f} to {100 * max(runs):.0f}" if len(runs) > 1 else "1"
        table.append(row([f"{selection}, {decoding}", *cells, f"{last['tokens_per_question']:.0f}", spread]))
    return "\n".join(table) + "\n"


def luck_block(results: Path) -> str:
    """What of the differences between runs is luck of the draw, for the arms with most shots."""
    summary = read_object(results / "incontext" / "smollm2.json")
    most = max(found["arm"]["num_shots"] for found in summary["arms"])
    table = [
        row(
            [
                "at the most shots",
                "between",
                "runs",
                "observed",
                "chance",
                "luck of the draw",
                "substring less exact",
            ]
        ),
        "|---|---|" + "---:|" * 5,
    ]
    for found in summary["arms"]:
        for between in ("seeds", "orders"):
            luck = found["spread"][between]
            if found["arm"]["num_shots"] < most or not luck:
                continue
            label = f"{demonstrations_label(found['arm'])}, {decoding_label(found['arm'])}"
            low, high = luck["luck_interval"]
            flattery = found["metrics"]["substring"]["mean"] - found["metrics"]["answer_match"]["mean"]
            numbers = [f"{100 * luck[name]:.1f}" for name in ("deviation", "chance_deviation")]
            numbers.append(f"{100 * luck['luck_deviation']:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
            table.append(row([label, between, str(len(found["draws"])), *numbers, f"{100 * flattery:+.1f}"]))
    return "\n".join(table) + "\n"


def reasoning_block(results: Path) -> str:
    """The laboratory of chains of thought: right answers by number of steps."""
    found = read_object(results / "laboratory" / "reasoning.json")
    steps = sorted({cell["num_steps"] for cell in found["cells"]})
    trained = found["settings"]["trained_steps"]
    cells = {(cell["style"], cell["num_steps"]): cell for cell in found["cells"]}
    heads = [f"{number} step{'s' * (number > 1)}{'' if number in trained else ' *'}" for number in steps]
    table = [row(["taught", *heads, "seeds"]), "|---|" + "---:|" * (len(steps) + 1)]
    for style in found["settings"]["arms"]:
        shares = [_percent(cells[style, number]) for number in steps]
        table.append(row([_LABORATORY_ARMS[style], *shares, str(len(cells[style, steps[0]]["accuracies"]))]))
    return "\n".join(table) + f"\n\n\\* longer than any problem that was trained on. {_characters(found)}\n"


def _characters(found: dict[str, Any]) -> str:
    settings = found["settings"]
    return (
        f"{settings['train_characters']:,} training characters each; {settings['problems_each']} new problems a "
        "number of steps and seed."
    )


def learning_in_context_block(results: Path) -> str:
    """The laboratory of in-context learning: held-out mappings at the most shots, one row an architecture."""
    found = read_object(results / "laboratory" / "incontext.json")
    families = list(found["references"])
    full = {name: found["references"][name]["num_mappings"] for name in families}
    pooled = {
        (one["variant"], one["family"]): one
        for one in found["pooled"]
        if one["num_mappings"] == full[one["family"]]
    }
    heads = [f"{name}, {kind}" for name in families for kind in ("held out", "trained on")]
    table = [row(["architecture", *heads, "seeds"]), "|---|" + "---:|" * (len(heads) + 1)]
    for variant in dict.fromkeys(variant for variant, _ in pooled):
        cells, seeds = [], []
        for family in families:
            one = pooled.get((variant, family))
            cells += ["", ""] if one is None else [_by_seed(one, split) for split in ("held_out", "training")]
            seeds.append("0" if one is None else str(len(one["seeds"])))
        table.append(row([variant, *cells, ", ".join(dict.fromkeys(seeds))]))
    return "\n".join(table) + "\n"


def _by_seed(found: dict[str, Any], split: str) -> str:
    """Whether a model gets off the ground is a matter of its seed, so a mean alone would mislead."""
    single = found["by_seed"][split]
    if max(single) - min(single) < 0.1:
        return f"{found[split][-1]['accuracy']:.0%}"
    return f"{found[split][-1]['accuracy']:.0%} ({', '.join(f'{100 * share:.0f}' for share in single)})"


def constructions_block(results: Path) -> str:
    """Every construction: its error beside its tolerance in double precision, and how far heads swing."""
    found = read_object(results / "attention" / "constructions.json")
    precise = [one for one in found["errors"] if (one["implementation"], one["precision"]) == ("eager", "float64")]
    table = [row(["construction", "off by", "tolerance"]), "|---|---:|---:|"]
    table += [row([one["construction"], f"{one['error']:.1e}", f"{one['tolerance']:.1e}"]) for one in precise]
    table += [
        "",
        row(["one key's length varies", "heads", "share of v_a, measured", "theory"]),
        "|---|---|---:|---:|",
    ]
    for one in found["spreads"]:
        if one["norm_variance"] in SHOWN_DRAWS:
            measured = f"{one['mean']:.3f} ± {one['std']:.3f}"
            theory = f"{one['theory_mean']:.3f} ± {one['theory_std']:.3f}"
            table.append(row([f"variance {one['norm_variance']:g}", one["heads"], measured, theory]))
    return "\n".join(table) + "\n"


def _with_interval(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{100 * found['mean']:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def _percent(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['accuracy']:.0%} [{100 * low:.0f}, {100 * high:.0f}]"
