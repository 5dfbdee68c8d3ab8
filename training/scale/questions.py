"""What a million questions take before the first of them is asked: reading and checks, in seconds and memory."""

import json
import statistics
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.files import open_atomic
from closedbook.training.checks.outputs import check_outputs
from closedbook.training.command_line import parse_flags
from closedbook.training.scale.checkouts import HERE, check_checkout, python_of
from closedbook.training.scale.recording import keep

_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu")
_PLACES = 5000  # different answers

# A process of its own for every measurement: Python gives no memory back that others could be measured in.
_MEASURED = """
import json, resource, sys, time
import closedbook.data.questions as room
began, worked = time.perf_counter(), time.process_time()
questions = room.QUESTION_SETS["file"](sys.argv[1])
room.check_fit(questions, block_size=128, vocabulary=frozenset(map(chr, range(32, 127))), answer_room=1)
found = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - worked}
found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({**found, "questions": len(questions), "from": room.__file__}))
"""


@dataclass
class ScaleQuestionsArguments:
    """How many questions, how often, and beside what."""

    num_questions: int = field(default=1_000_000, metadata={"help": "questions of the file, each another one"})
    rounds: int = field(default=3, metadata={"help": "measurements of each build, in turns"})
    former: str | None = field(default=None, metadata={"help": "a checkout of another commit, to compare with"})
    output: str | None = field(default=None, metadata={"help": "file for the JSON object"})


def main(argv: list[str]) -> dict[str, Any]:
    """Measure, write, and return what is written.

    Raises:
        ValueError: for counts below 1, or a checkout that is none.
    """
    (args,) = parse_flags(ScaleQuestionsArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    check_outputs([args.output])
    for name in ("num_questions", "rounds"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")
    check_checkout("former", args.former)
    return keep("questions", measure(args), args)


def measure(args: ScaleQuestionsArguments) -> dict[str, Any]:
    """Seconds and peak memory of reading and checking, of this build and of a former one; medians of the rounds.

    Returns:
        `questions_seconds` (wall clock), `questions_cpu_seconds`, `questions_peak_mib` (of the whole process, in
        MiB, its imports included), with `former` the same of the other build under `former_...`, and
        `questions_speedup`: how many times the CPU seconds of ours the other one took, the median of the rounds.
    """
    builds = {"questions": HERE}
    if args.former is not None:
        builds["former_questions"] = Path(args.former).resolve()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.tsv"
        write_questions(path, args.num_questions)
        for _ in range(args.rounds):  # in turns: whatever else the machine does, it does to both
            for name, checkout in builds.items():
                found[name].append(_measured(checkout, path, args.num_questions))
    result: dict[str, Any] = {"num_questions": args.num_questions}
    for name, rounds in found.items():
        for unit in ("seconds", "cpu_seconds", "peak_mib"):
            result[f"{name}_{unit}"] = statistics.median(each[unit] for each in rounds)
    if args.former is not None:
        pairs = zip(found["former_questions"], found["questions"], strict=True)
        result["questions_speedup"] = statistics.median(
            old["cpu_seconds"] / new["cpu_seconds"] for old, new in pairs
        )
    return result


def write_questions(path: Path, number: int) -> None:
    """A tab-separated file of questions and answers, the same for the same number; every question is another
    one."""
    draw = Random(f"{number} questions")
    places = [_name(draw, 3) for _ in range(_PLACES)]
    with open_atomic(path) as file:
        for row in range(number):
            file.write(f"Where was {_name(draw, 2)} {_name(draw, 3)} {row:x} born?\t{draw.choice(places)}\n")


def _name(draw: Random, syllables: int) -> str:
    return "".join(draw.choice(_SYLLABLES) for _ in range(syllables)).capitalize()


def _measured(checkout: Path, path: Path, number: int) -> dict[str, float]:
    """What a fresh process says of reading and checking a file.

    Raises:
        RuntimeError: if it ends with an error, or did not read what it should have.
    """
    command = python_of(checkout, _MEASURED, str(path))
    done = subprocess.run(command, capture_output=True, text=True, cwd=path.parent, check=False)
    if done.returncode:
        raise RuntimeError(f"reading with {checkout} ended with {done.stderr.strip().splitlines()[-1:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    if found["questions"] != number or Path(found.pop("from")).resolve().parents[1] != checkout:
        raise RuntimeError(f"{checkout} did not read the {number} questions: {found}")
    return found
