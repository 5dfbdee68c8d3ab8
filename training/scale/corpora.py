"""What a large corpus takes before the first training step, and what a character takes whatever its size."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.files import open_atomic
from closedbook.training.checks.outputs import check_outputs
from closedbook.training.command_line import parse_flags
from closedbook.training.scale.checkouts import HERE, check_checkout, commit_of, python_of
from closedbook.training.scale.recording import keep

_LOSS = re.compile(r"'loss': '?[\d.]+")
_GIGABYTE = 10**9
_STREAMED = ("--streaming", "--tokenizer", "train:bpe:512")
# A small model, so that what is measured is the corpus.
_TRAINING = (
    *("--hidden_size", "32", "--num_hidden_layers", "1", "--num_attention_heads", "2", "--block_size", "128"),
    *("--row_length", "256", "--global_batch_size", "32", "--eval_examples", "16", "--logging_steps", "1"),
    *("--objectives", "span_corruption", "--seed", "0", "--save_strategy", "no", "--num_threads", "1"),
    *("--use_cpu", "True", "--disable_tqdm", "True", "--overwrite"),
)
_PRETRAIN = """
import sys
try:
    from closedbook.training.pretraining import main
except ImportError:
    from closedbook.scripts.pretrain import main
main(sys.argv[1:])
"""


@dataclass
class ScaleArguments:
    """How much text, beside what, and where it may lie."""

    work_dir: str = field(metadata={"help": "folder for generated text and for tables; it may take 25 GB"})
    gigabytes: float = field(default=1.0, metadata={"help": "size of the text whose first step is waited for"})
    sizes: list[float] = field(
        default_factory=lambda: [0.01, 0.1, 1.0], metadata={"help": "gigabytes of the texts to read at length"}
    )
    streamed: list[float] = field(
        default_factory=lambda: [10.0], metadata={"help": "gigabytes of the texts to stream at length"}
    )
    steps: int = field(default=200, metadata={"help": "steps of each run at length"})
    former: str | None = field(default=None, metadata={"help": "a checkout of another commit, to compare with"})
    patience: float = field(default=600.0, metadata={"help": "seconds after which a first step is given up"})
    output: str | None = field(default=None, metadata={"help": "file for the JSON object; parts of it are kept"})


def main(argv: list[str]) -> dict[str, Any]:
    """Measure, write, and return what is written.

    Raises:
        ValueError: for sizes or counts that are not positive, a checkout that is none, or too small a disk.
    """
    (args,) = parse_flags(ScaleArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    check_outputs([args.output])
    for name in ("gigabytes", "steps", "patience"):
        if getattr(args, name) <= 0:
            raise ValueError(f"--{name} must be above 0, got {getattr(args, name)}")
    check_checkout("former", args.former)
    work = Path(args.work_dir).resolve()
    work.mkdir(parents=True, exist_ok=True)
    needed = 2.3 * _GIGABYTE * (sum(args.sizes) + args.gigabytes) + 1.1 * _GIGABYTE * sum(args.streamed)
    if shutil.disk_usage(work).free < needed:
        raise ValueError(f"--work_dir {work} has no room for {needed / _GIGABYTE:.0f} GB of text and tables")
    return keep("corpora", first_steps(args, work) | at_length(args, work), args)


def first_steps(args: ScaleArguments, work: Path) -> dict[str, Any]:
    """Seconds and peak memory until the first training step, with nothing kept and once more; and of a former
    build.

    A build that is given up has the seconds it was given, and the ratios are then at least what they say.

    Returns:
        `first_step_seconds`, `first_step_peak_mib`, `second_start_seconds`, `second_start_peak_mib`, and with
        a former build the first two of it (`former_...`), `former_given_up`, `first_step_seconds_ratio`,
        `peak_memory_ratio`.
    """
    path = write_text(work, args.gigabytes)
    cache = work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    first = until_first_step(HERE, path, work, args.patience)
    # Asking for the memory of a process that has mapped a gigabyte takes it seconds: once for them, once for it.
    second = until_first_step(HERE, path, work, args.patience, watched=False)
    held = until_first_step(HERE, path, work, args.patience)
    found: dict[str, Any] = {"gigabytes": args.gigabytes}
    found |= first.told("first_step") | held.told("second_start") | {"second_start_seconds": second.seconds}
    if args.former is not None:
        checkout = Path(args.former).resolve()
        former = until_first_step(checkout, path, work, args.patience)
        found |= former.told("former_first_step")
        found |= {
            "former_commit": (commit_of(checkout) or "former")[:7],
            "former_given_up": former.given_up,
            "first_step_seconds_ratio": former.seconds / first.seconds,
            "peak_memory_ratio": former.peak_mib / first.peak_mib,
        }
    return found


def at_length(args: ScaleArguments, work: Path) -> dict[str, Any]:
    """Characters a second of the training loop, by the size of the text, all of it once read into a table or
    streamed.

    Returns:
        `characters_per_second_by_gigabytes` and `streamed_characters_per_second_by_gigabytes`: gigabytes ->
        rate of the median step, so that a step disturbed by other work does not count.
    """
    found: dict[str, dict[str, float]] = {"": {}, "streamed_": {}}
    for kind, sizes, flags in (("", args.sizes, ()), ("streamed_", args.streamed, _STREAMED)):
        for size in sizes:
            path = write_text(work, size)
            found[kind][str(size)] = rate(HERE, path, work, args.steps, flags)
    return {f"{kind}characters_per_second_by_gigabytes": rates for kind, rates in found.items() if rates}


@dataclass
class Start:
    """How a run began.

    Attributes:
        seconds: wall clock, until the first loss was logged, or it was given up.
        memory: seconds and MiB, about once a second, and where it rose.
        given_up: whether it was ended before its first step.
    """

    seconds: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=lambda: [(0.0, 0.0)])
    given_up: bool = False

    @property
    def peak_mib(self) -> float:
        return max(mib for _, mib in self.memory)

    def told(self, name: str) -> dict[str, Any]:
        """As the result file has it."""
        memory = [[round(second, 1), round(mib)] for second, mib in self.memory]
        return {f"{name}_seconds": self.seconds, f"{name}_peak_mib": self.peak_mib, f"{name}_memory": memory}


def until_first_step(checkout: Path, corpus: Path, work: Path, patience: float, watched: bool = True) -> Start:
    """Wait until a fresh process logs its first loss; its memory is that of it and its children together.

    Args:
        checkout: whose code runs.
        corpus: the text.
        work: folder for its run and its cache.
        patience: seconds after which it is given up.
        watched: whether its memory is asked for, ten times a second.
    """
    start, done = Start(), threading.Event()
    with _run(checkout, corpus, work, 3, ()) as process:
        began = time.perf_counter()

        def watch() -> None:
            while not done.wait(0.1):
                now, mib = time.perf_counter() - began, _memory(process.pid) / 2**20
                if mib > start.peak_mib or now >= start.memory[-1][0] + 1:
                    start.memory.append((now, mib))

        watcher = threading.Thread(target=watch if watched else done.wait)
        watcher.start()
        timer = threading.Timer(patience, lambda: os.killpg(process.pid, signal.SIGKILL))
        timer.start()
        lines = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if _LOSS.search(line):
                    break
            else:
                start.given_up = True
            start.seconds = time.perf_counter() - began
        finally:
            timer.cancel()
            done.set()
            watcher.join()
    if start.given_up and start.seconds < patience:
        raise RuntimeError(f"{checkout.name} ended without a step: {''.join(lines[-3:])}")
    return start


def rate(checkout: Path, corpus: Path, work: Path, steps: int, flags: tuple[str, ...]) -> float:
    """Characters a second of the median step of a run, its first tenth left out."""
    with _run(checkout, corpus, work, steps, flags) as process:
        assert process.stdout is not None
        lines, times = [], []
        for line in process.stdout:
            lines.append(line)
            if _LOSS.search(line):
                times.append(time.perf_counter())
    if process.returncode:
        raise RuntimeError(f"{checkout.name} ended with: {''.join(lines[-3:])}")
    seconds = sorted(late - early for early, late in pairwise(times))[steps // 10 :]
    run = json.loads((work / "run" / "run.json").read_text(encoding="utf-8"))
    return run["train_characters"] / steps / seconds[len(seconds) // 2]


def write_text(work: Path, gigabytes: float) -> Path:
    """A file of sentences about people, the same for the same size; above 1 GB the first one again and again."""
    path, size = work / f"people-{gigabytes:g}.txt", int(gigabytes * _GIGABYTE)
    if path.exists() and path.stat().st_size == size:
        return path
    with open_atomic(path, "wb") as file:
        if size <= _GIGABYTE:
            left = size
            for block in _sentences(size):
                file.write(block[:left])
                left -= len(block[:left])
            return path
        first = write_text(work, 1.0)
        for start in range(0, size, _GIGABYTE):
            with first.open("rb") as source:
                whole = start + _GIGABYTE <= size
                shutil.copyfileobj(source, file, 1 << 24) if whole else file.write(source.read(size - start))
    return path


def _sentences(size: int) -> Iterator[bytes]:
    draw, written, number = Random("people"), 0, 0
    names = ["".join(draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(3)) for _ in range(2000)]
    while written < size:
        lines = []
        for _ in range(5000):
            first, last, place = (draw.choice(names).capitalize() for _ in range(3))
            lines.append(
                f"{first} {last}-{number}. {first} {last} was born in {place} in {draw.randint(1700, 1990)}.\n"
            )
            number += 1
        block = "".join(lines).encode()
        written += len(block)
        yield block


@contextmanager
def _run(
    checkout: Path, corpus: Path, work: Path, steps: int, flags: tuple[str, ...]
) -> Iterator[subprocess.Popen[str]]:
    """A run of pretraining in a process group of its own, whose cache lies in the work folder."""
    given = [*_TRAINING, "--corpus", "text", "--corpus_path", str(corpus), "--max_steps", str(steps), *flags]
    command = python_of(checkout, _PRETRAIN, *given, "--output_dir", str(work / "run"))
    environment = os.environ | {"HF_DATASETS_CACHE": str(work / "cache"), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
        if process.poll() is None and steps > 3:
            process.wait()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _memory(pid: int) -> int:
    """Bytes that a process and its children hold now, pages that they share with others counted for each in
    part."""
    total = 0
    pids = [pid]
    while pids:
        each = pids.pop()
        try:
            total += int(re.search(r"Pss:\s+(\d+)", Path(f"/proc/{each}/smaps_rollup").read_text())[1]) * 1024  # type: ignore[index]
            pids += map(int, Path(f"/proc/{each}/task/{each}/children").read_text().split())
        except (OSError, TypeError):
            continue  # it ended meanwhile
    return total
