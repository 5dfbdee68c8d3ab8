"""What the benchmarks share: the clock, the peak of memory, and the one JSON line at the end."""

import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import write_json_atomic
from closedbook.training.hardware import device, now

SIDES = ("ours", "starter")


@dataclass
class MeasuringArguments:
    """Flags of every benchmark."""

    repeats: int = field(default=3, metadata={"help": "of each side; the median counts"})
    output: str | None = field(default=None, metadata={"help": "file for the JSON object"})


@dataclass
class PeerArguments(MeasuringArguments):
    """Flags of a benchmark that runs a peer beside ours."""

    num_threads: int = field(default=0, metadata={"help": "CPU threads, all sides; 0 as in training"})
    only: str | None = field(default=None, metadata={"help": "ours or starter: run it once, for its memory"})


@dataclass
class AskingArguments(PeerArguments):
    """Flags of a benchmark that asks a model of this package."""

    model: str | None = field(default=None, metadata={"help": "folder of a trained model; default: random"})
    questions: str | None = field(default=None, metadata={"help": "file in the course's format"})
    num_questions: int = field(default=500, metadata={"help": "how many; of a file, the first ones"})


def peak_memory_mib() -> float:
    """MiB at the peak: allocated on a CUDA GPU, else held by this process, imported libraries included."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a process started by another one inherits that one's peak in it.
        return int(re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)[1]) / 2**10
    import resource  # Unix only

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def reset_peak_memory() -> None:
    """Let `peak_memory_mib` begin anew, where the system can: a CUDA GPU, Linux."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    marker = Path("/proc/self/clear_refs")
    if marker.exists():
        marker.write_text("5")  # see proc(5): sets the peak to what is held now


def check_flags(only: str | None, **counts: int) -> None:
    """Refuse an unknown side, and a count below 1.

    Raises:
        ValueError: naming the flag.
    """
    if only not in (None, *SIDES):
        raise ValueError(f"--only must be one of {', '.join(SIDES)}, got {only!r}")
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")


def alternate(
    measures: dict[str, Callable[[], float]], repeats: int, seconds: float = math.inf
) -> dict[str, list[float]]:
    """Take turns (A B A B ...), so that a machine that slows down or warms up does so for all sides.

    Begins no further turn once `seconds` are over, so that there is one at least.
    """
    taken: dict[str, list[float]] = {side: [] for side in measures}
    end = now() + seconds
    for repeat in range(repeats):
        if repeat and now() > end:
            break
        for side, measure in measures.items():
            taken[side].append(measure())
            print(f"repeat {repeat + 1} of {repeats}, {side}: {taken[side][-1]:.4g}", file=sys.stderr)
    return taken


def run_for_memory(work: Callable[[], object]) -> dict[str, float]:
    """Do the work once and print its peak, and the one before it: of imported libraries, model and data."""
    before = peak_memory_mib()
    work()
    result = {"peak_before_mib": before, "peak_mib": peak_memory_mib()}
    print(json.dumps(result), flush=True)
    return result


def in_fresh_process(script: str, argv: Sequence[str]) -> dict:
    """Run the script; what the JSON object says that is its last line.

    Raises:
        RuntimeError: if that process fails; it has said why on stderr.
    """
    run = subprocess.run([sys.executable, script, *argv], stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if run.returncode:
        raise RuntimeError(
            f"{Path(script).name} {' '.join(argv)} ended with exit code {run.returncode}; see above"
        )
    return json.loads(run.stdout.splitlines()[-1])


def memory_in_fresh_process(script: str, argv: Sequence[str], side: str) -> dict[str, float]:
    """`run_for_memory` of one side in a process that does nothing else: a peak never comes down again.

    Raises:
        RuntimeError: if that process fails; it has said why on stderr.
    """
    return in_fresh_process(script, [*argv, "--only", side])


def report(
    benchmark: str,
    unit: str,
    taken: dict[str, list[float]],
    more_is_better: bool,
    memory: dict[str, dict[str, float]],
    output: str | None,
    **facts,
) -> dict:
    """Print one JSON object as the last line of stdout, and write it to `output` if that is given.

    `ours` and `peer` are medians, `ratio` is how many times as fast ours is, in either unit. Peaks of memory
    are of whole processes (on a GPU: of its memory); `*_before_mib` is what stood before the measured work.
    """
    ours, peer = statistics.median(taken["ours"]), statistics.median(taken["starter"])
    result = {
        "benchmark": benchmark,
        "unit": unit,
        "ours": ours,
        "peer": peer,
        "ratio": ours / peer if more_is_better else peer / ours,
        "ours_repeats": taken["ours"],
        "peer_repeats": taken["starter"],
        "peak_memory_ours_mib": memory["ours"]["peak_mib"],
        "peak_memory_peer_mib": memory["starter"]["peak_mib"],
        "peak_memory_ours_before_mib": memory["ours"]["peak_before_mib"],
        "peak_memory_peer_before_mib": memory["starter"]["peak_before_mib"],
        "device": str(device()),
        "threads": torch.get_num_threads(),
        **facts,
        **run_environment(),
    }
    if output is not None:
        write_json_atomic(output, result)
    print(json.dumps(result), flush=True)
    return result
