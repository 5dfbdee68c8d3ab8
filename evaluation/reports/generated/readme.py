"""The generated parts of README.md and of the pages in docs/: tables between markers, from result files.

<!-- report:cs224n -->
...whatever the last run of scripts/report.py wrote...
<!-- /report -->
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from closedbook.evaluation.reports.generated.front_page import findings_block, front_table
from closedbook.evaluation.reports.generated.knowing import (
    confidences_block,
    knowing_block,
    promise_block,
    strangers_block,
)
from closedbook.evaluation.reports.generated.laboratory import wordings_block
from closedbook.evaluation.reports.generated.leaderboard import leaderboard_block
from closedbook.evaluation.reports.generated.prompting import (
    constructions_block,
    incontext_block,
    learning_in_context_block,
    luck_block,
    reasoning_block,
)
from closedbook.evaluation.reports.generated.reliability import reliability_block
from closedbook.evaluation.reports.generated.scale import scale_block
from closedbook.evaluation.reports.generated.teaching import teach_block, teach_front
from closedbook.evaluation.reports.run import read_object
from closedbook.evaluation.reports.tables import ablation_table, accuracy_table, read_published, row
from closedbook.evaluation.results import check_result

_BLOCK = re.compile(r"(<!-- report:([\w.-]+) -->\n)(.*?)(<!-- /report -->)", re.DOTALL)
_MARKER = re.compile(r"<!-- /?report\b.*?-->")


def fill_blocks(text: str, results: str | Path) -> str:
    """The text with every block's content made anew.

    Raises:
        ValueError: If a marker is misspelt or has no partner, a block is unknown, or its result files are missing.
    """
    blocks = list(_BLOCK.finditer(text))
    if len(_MARKER.findall(text)) != 2 * len(blocks) or any("<!-- report:" in block[3] for block in blocks):
        raise ValueError(
            "the markers do not pair up: write <!-- report:NAME --> and <!-- /report --> on lines of their own"
        )
    for block in blocks:
        if block[2] not in BLOCKS:
            raise ValueError(f"unknown block {block[2]!r}; known: {', '.join(BLOCKS)}")
    return _BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]](Path(results))}{block[4]}", text)


def read_task(results: Path, task: str) -> list[dict[str, Any]]:
    """The results of one task, which lie in its folder.

    Raises:
        ValueError: If there are none, or one is not a result.
    """
    found = []
    for path in sorted((results / task).glob("*.json")):
        result = read_object(path)
        check_result(result, str(path))
        found.append(result)
    if not found:
        raise ValueError(f"there are no results in {results / task}; scripts/evaluate.py --results writes them")
    return found


def _task(task: str) -> Callable[[Path], str]:
    def block(results: Path) -> str:
        return accuracy_table(read_task(results, task), read_published(results / "published.json", task))

    return block


def _front(results: Path) -> str:
    return front_table(read_task(results, "cs224n"), read_published(results / "published.json", "cs224n"))


def _findings(results: Path) -> str:
    return findings_block(results, read_task(results, "cs224n"))


def _ablation(results: Path) -> str:
    return ablation_table(read_task(results, "cs224n-ablation"))


def _short(results: Path) -> str:
    """The short comparison of architectures, with the probes beside it."""
    probes = {
        name: {found["variant"]: found for found in read_object(results / "probes" / f"{name}.json")["pooled"]}
        for name in ("copy", "associative_recall")
    }
    lines = [
        "| variant | parameters | evaluation loss, nats a character | birth_dev [95%] | seeds | copy probe "
        "| recall probe |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for found in read_object(results / "cs224n-short" / "summary.json")["rows"]:
        low, high = found["interval"]
        scores = [probe.get(found["variant"], {}).get("accuracy") for probe in probes.values()]
        lines.append(
            row(
                [
                    found["variant"],
                    f"{found['parameters']:,}",
                    f"{found['pretraining_loss']:.3f}",
                    f"{found['accuracy']:.1%} [{low:.1%}, {high:.1%}]",
                    str(len(found["seeds"])),
                    *("" if score is None else f"{score:.1%}" for score in scores),
                ]
            )
        )
    return "\n".join(lines) + "\n"


def _architectures(results: Path) -> str:
    """Each architecture's speed as a multiple of vanilla's, by length."""
    variants = read_object(results / "benchmarks" / "architectures-cpu.json")["summary"]["variants"]
    kinds = ("training", "decoding")
    lengths = sorted(
        {int(length) for entry in variants.values() for kind in kinds for length in entry[kind]["ratio"]}
    )
    heads = [
        f"{kind} {length:,}" if length == lengths[0] else f"{length:,}" for kind in kinds for length in lengths
    ]
    lines = [row(["times vanilla's speed", *heads]), f"|---|{'---:|' * len(heads)}"]
    for name, entry in variants.items():
        if name not in (
            "vanilla",
            "gpt2",
        ):  # by definition 1; and the peer whose activation differs, told in the text
            ratios = [entry[kind]["ratio"].get(str(length)) for kind in kinds for length in lengths]
            lines.append(row([name, *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)]))
    return "\n".join(lines) + "\n"


def _speed(results: Path) -> str:
    """The benchmarks against the course's way of training and answering, and against one prompt at a time."""
    names = ("training", "answering", "incontext")
    training, answering, prompts = (read_object(results / "benchmarks" / f"{name}.json") for name in names)
    shots = prompts["settings"]["num_shots"]
    lines = ["| | ours | peer | ratio | repeats |", "|---|---:|---:|---:|---|"]
    for name, found, digits, faster in (
        (f"training, {training['unit']}", training, 0, lambda ours, peer: ours / peer),
        (
            f"answering {answering['num_questions']:,} questions, {answering['unit']}",
            answering,
            2,
            lambda ours, peer: peer / ours,
        ),
        (
            f"{prompts['num_questions']} prompts of {shots} shots, {prompts['unit']}",
            prompts,
            2,
            lambda ours, peer: peer / ours,
        ),
    ):
        repeats = [faster(*pair) for pair in zip(found["ours_repeats"], found["peer_repeats"], strict=True)]
        numbers = [f"{found[side]:,.{digits}f}" for side in ("ours", "peer")]
        lines.append(
            row([name, *numbers, f"{found['ratio']:.1f}", ", ".join(f"{ratio:.1f}" for ratio in repeats)])
        )
    memory = [f"{training[f'peak_memory_{side}_mib'] / 1024:.1f}" for side in ("ours", "peer")]
    lines.append(row(["peak memory of training, GiB", *memory, "", ""]))
    return "\n".join(lines) + "\n"


BLOCKS: dict[str, Callable[[Path], str]] = {
    "biographies": _task("biographies"),
    "cs224n": _task("cs224n"),
    "cs224n-front": _front,
    "findings": _findings,
    "cs224n-2m": _task("cs224n-2m"),
    "cs224n-short": _short,
    "confidences": confidences_block,
    "knowing": knowing_block,
    "promise": promise_block,
    "strangers": strangers_block,
    "ablation": _ablation,
    "architectures": _architectures,
    "speed": _speed,
    "leaderboard": leaderboard_block,
    "incontext": incontext_block,
    "prompt-luck": luck_block,
    "reasoning": reasoning_block,
    "learning-in-context": learning_in_context_block,
    "constructions": constructions_block,
    "wordings": wordings_block,
    "reliability": reliability_block,
    "scale": scale_block,
    "teach": teach_block,
    "teach-front": teach_front,
}
