"""results/index.md: which command made every file of the results, from which commit, on what."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SUBJECTS = {
    "attention": "Attention by construction, and the heads of the demo's model.",
    "benchmarks": "Speed and memory against a named peer, in one run.",
    "biographies": "The demo's people: three systems.",
    "cs224n": "The reference task.",
    "cs224n-2m": "The reference task after two million characters: Perceivers beside vanilla.",
    "cs224n-ablation": "The recipe objective by objective.",
    "cs224n-short": "Every architecture at one short budget.",
    "curves": "Loss and accuracy against the characters read.",
    "incontext": "Demonstrations in the prompt.",
    "knowing": "Confidence, abstention, provenance, invented people.",
    "laboratory": "Small models on synthetic people and problems.",
    "ledger": "Fact by fact: what a model learned of a few documents.",
    "probes": "Copying and associative recall.",
    "readers": "Readers with the book open, asked about people whom they did not learn from, beside the rule.",
    "reasoning": "Chains of thought on a stock model.",
    "teach": "Ways to teach a stock model, side by side.",
    "teach/runs": "The single runs of these.",
    "report": "Pictures and the table of all results, drawn from the other folders.",
}
_DRAWN = "python scripts/report.py --figures results/report"


def results_index(results: Path) -> str:
    """The page: one table a subject, one line a record with the files drawn from it.

    A picture or table belongs to the record of its name, or of the beginning of its name.

    Raises:
        ValueError: for a subject that is not described here.
    """
    folders: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for path in results.rglob("*") if path.is_file() and path.name != "index.md"):
        folders[path.parent.relative_to(results).as_posix()].append(path)
    lines = [
        "# Results",
        "",
        "Made from the files by `python scripts/report.py --results_index results/index.md`.",
    ]
    lines += ["A commit that ends in `-dirty` was recorded before that was refused (0.2.0)."]
    for folder, paths in folders.items():
        if folder == ".":
            lines += ["", *(f"[`{path.name}`]({path.name}): {_description(path)}" for path in paths)]
            continue
        if folder not in _SUBJECTS:
            raise ValueError(
                f"{results / folder} is of no subject that evaluation/reports/generated knows: add it"
            )
        lines += ["", f"## {folder}/", "", _SUBJECTS[folder], ""]
        lines += ["| files | command | commit | hardware | seeds |", "|---|---|---|---|---|"]
        lines += _rows(folder, paths)
    return "\n".join(lines) + "\n"


def _description(path: Path) -> str:
    return json.loads(path.read_text(encoding="utf-8"))["description"]


def _rows(folder: str, paths: list[Path]) -> list[str]:
    records = [path for path in paths if path.suffix == ".json"]
    if not records:
        return [_row([_link(folder, path) for path in paths], f"`{_DRAWN}`", "", "", "")]
    files = {path: [path] for path in records}
    for path in paths:
        if path.suffix != ".json":
            owners = [record for record in records if path.stem.startswith(record.stem)]
            # what is drawn of all records together stands with the last of them
            files[max(owners, key=lambda record: len(record.stem), default=records[-1])].append(path)
    rows = []
    for record, own in files.items():
        told = json.loads(record.read_text(encoding="utf-8"))
        commit = str(told.get("commit") or _inside(told, "commit") or "")
        command = str(told.get("command") or _inside(told, "command") or "")
        hardware = str(told.get("hardware") or _inside(told, "hardware") or "")
        rows.append(
            _row(
                [_link(folder, path) for path in own],
                f"`{command}`" if command else "",
                f"`{commit[:8]}{'-dirty' if commit.endswith('-dirty') else ''}`" if commit else "",
                hardware,
                ", ".join(map(str, _seeds(told))),
            )
        )
    return rows


def _inside(told: Mapping[str, Any], name: str) -> str | None:
    """Of a record of many runs, what the last of them says."""
    runs = told.get("runs") or told.get("results") or []
    return next((run[name] for run in reversed(runs) if isinstance(run, dict) and run.get(name)), None)


def _seeds(told: Mapping[str, Any]) -> list[int]:
    if isinstance(told.get("seed"), int):
        return [told["seed"]]
    runs = told.get("runs") or told.get("results") or told.get("arms") or []
    found = {run.get("seed", run.get("arm", {}).get("seed")) for run in runs if isinstance(run, dict)}
    return sorted(seed for seed in found if isinstance(seed, int))


def _link(folder: str, path: Path) -> str:
    return f"[{path.name}]({folder}/{path.name})"


def _row(files: list[str], *cells: str) -> str:
    return "| " + " | ".join([", ".join(files), *(cell.replace("|", "\\|") for cell in cells)]) + " |"
