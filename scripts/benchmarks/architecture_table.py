"""The numbers of `architectures.py` as Markdown tables and a picture.

    python scripts/benchmarks/architecture_table.py --results results/benchmarks/architectures-cpu.json \
        --picture results/benchmarks/architectures-cpu.png

Ratios are times as fast as vanilla in the same process; see `summarise`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from closedbook.evaluation.figures import new_figure, save_figure, styled
from closedbook.scripts.benchmarks.architecture_variants import VARIANTS
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import parse_flags

if TYPE_CHECKING:
    pass

PARTS = ("training", "decoding")
NOT_FITTING = "no memory"
MARKERS = dict(zip(VARIANTS, "ox+osD^v<>P*", strict=True))
TIMES = (0.1, 0.2, 0.5, 1, 2, 5, 10)


@dataclass
class TableArguments:
    """Flags of this script."""

    results: str = field(metadata={"help": "file of architectures.py"})
    picture: str | None = field(default=None, metadata={"help": "where to draw the ratios to vanilla"})


def best_training(entry: dict) -> dict:
    """Of an entry's implementations the fastest one, with its name; `{}` where none fits into memory."""
    implementations = entry.get("training", {}).get("implementations", {})
    measured = [{"implementation": name, **one} for name, one in implementations.items() if "repeats" in one]
    return max(measured, key=lambda one: one["tokens_per_second"], default={})


def measured(entry: dict, part: str) -> dict:
    """The speeds of an entry; for training, those of its fastest implementation."""
    return best_training(entry) if part == "training" else entry.get("decoding", {})


def summarise(entries: dict[str, dict[str, dict]]) -> dict:
    """Ratios to vanilla by length, the length from which each architecture wins, and vanilla against GPT-2.

    Everything was timed in turns with vanilla on SDPA. A ratio of training compares the best implementations of
    both, so it is that ratio divided by the one of vanilla's own best (1 if that is SDPA). `wins_from` is the
    first measured length from which on every ratio is above 1, or None.
    """
    own = {length: best_training(entry).get("ratio", 1.0) for length, entry in entries.get("vanilla", {}).items()}
    summary = {}
    for name, by_length in entries.items():
        ratios = {part: {} for part in PARTS}
        for length, entry in by_length.items():
            for part in PARTS:
                ratio = measured(entry, part).get("ratio")
                if ratio is not None:
                    ratios[part][length] = ratio / own.get(length, 1.0) if part == "training" else ratio
        summary[name] = {
            part: {"ratio": ratios[part], "wins_from": _wins_from(ratios[part], list(by_length))} for part in PARTS
        }
    peers = {name: _against_peer(entries[name]) for name in ("gpt2", "gpt2-gelu-new") if name in entries}
    return {"variants": summary, "vanilla_against_peer_sdpa": peers}


def _wins_from(ratios: dict[str, float], lengths: list[str]) -> int | None:
    first = None
    for length in sorted(lengths, key=int, reverse=True):
        if ratios.get(length, 0.0) <= 1:
            break
        first = int(length)
    return first


def _against_peer(by_length: dict[str, dict]) -> dict:
    """How many times as fast as the peer vanilla is, both with SDPA."""
    against = {part: {} for part in PARTS}
    for length, entry in by_length.items():
        implementations = entry.get("training", {}).get("implementations", {})
        for part, speeds in (
            ("training", implementations.get("sdpa", {})),
            ("decoding", entry.get("decoding", {})),
        ):
            if "ratio" in speeds:
                against[part][length] = 1 / speeds["ratio"]
    return against


def tables(result: dict) -> str:
    """Markdown: training speed, training memory, decoding speed with the cache."""
    entries, summary = result["entries"], result["summary"]["variants"]
    lengths = sorted({length for by_length in entries.values() for length in by_length}, key=int)

    def speed(part: str):
        def cell(name: str, length: str) -> str:
            entry = entries[name].get(length)
            speeds = measured(entry or {}, part)
            if "tokens_per_second" not in speeds:
                return NOT_FITTING if entry and part in entry else ""
            ratio = summary[name][part]["ratio"].get(length)
            text = f"{speeds['tokens_per_second']:,.0f}" + ("" if ratio is None else f" ({ratio:.2f})")
            return text + (", eager" if speeds.get("implementation") == "eager" else "")

        return cell

    def memory(name: str, length: str) -> str:
        entry = entries[name].get(length)
        peak = best_training(entry or {}).get("peak_memory_mib")
        return f"{peak / 1024:.1f}" if peak else NOT_FITTING if entry else ""

    def cache(name: str, length: str) -> str:
        state = entries[name].get(length, {}).get("cache", {})
        if "bytes_per_token" not in state:
            return ""
        return f"{state['bytes_per_token']:,.0f} (+{state['bytes_per_further_token']:,.0f})"

    decoders = [name for name in entries if any("decoding" in entry for entry in entries[name].values())]
    parts = [
        ("Training: tokens a second (times vanilla's best)", entries, speed("training"), "training"),
        ("Training: peak memory of the process, GiB", entries, memory, None),
        ("Decoding: new tokens a second (times vanilla)", decoders, speed("decoding"), "decoding"),
        ("Cache after half the length: bytes a token of a row (of each further token)", decoders, cache, None),
    ]
    texts = []
    for title, names, cell, wins in parts:
        head = ["architecture", *(f"{int(length):,}" for length in lengths), *(["wins from"] if wins else [])]
        lines = [head, ["---", *["---:"] * (len(head) - 1)]]
        for name in names:
            first = summary[name][wins]["wins_from"] if wins else None
            told = [f"{first:,}" if first else "-"] if wins else []
            lines.append([name, *(cell(name, length) for length in lengths), *told])
        texts.append("\n".join([title, "", *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join(texts) + "\n"


@styled
def draw(result: dict, path: str) -> None:
    """Ratios to vanilla over the length, training and decoding side by side."""
    figure = new_figure(11, 4.5)
    panels = figure.subplots(1, len(PARTS), sharey=True)
    lengths = set()
    for panel, part in zip(panels, PARTS, strict=True):
        for name, parts in result["summary"]["variants"].items():
            ratios = {int(length): ratio for length, ratio in parts[part]["ratio"].items()}
            if ratios and name != "vanilla":
                lengths |= ratios.keys()
                peer = {"color": "grey", "linestyle": "--"} if name.startswith("gpt2") else {}
                panel.plot(ratios.keys(), ratios.values(), marker=MARKERS[name], label=name, **peer)
        panel.axhline(1, color="black", linewidth=0.8)
        panel.set(xscale="log", yscale="log", xlabel="length in tokens", title=part)
    for panel in panels:
        panel.set_xticks(sorted(lengths), [f"{length:,}" for length in sorted(lengths)])
        panel.set_yticks(TIMES, [f"{times:g}" for times in TIMES])
        panel.minorticks_off()
    panels[0].set_ylabel("times as fast as vanilla")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    save_figure(figure, path)


def main(argv: list[str]) -> str:
    (args,) = parse_flags(TableArguments, argv)
    if not Path(args.results).is_file():
        raise FileNotFoundError(f"--results: there is no file {args.results}; architectures.py writes it")
    result = json.loads(Path(args.results).read_text(encoding="utf-8"))
    text = tables(result)
    print(text)
    if args.picture:
        draw(result, args.picture)
    return text


if __name__ == "__main__":
    sys.exit(run_command(main))
