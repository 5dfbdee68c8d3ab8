"""Processes of one launch check together, compare what has to be the same, and speak with one voice.

Gradients are averaged whatever they are of: a machine with another version of a library, another flag or other
documents would train one model from two recipes, and raise nothing. So every process tells what it has before the
first step, and what differs is one line that names the process. What only one of them finds wrong, a file that is
missing on its machine, ends all, instead of leaving the others to wait for it.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from accelerate.utils import gather_object

from closedbook.data.secrets import withhold_all
from closedbook.evaluation.environment import run_environment
from closedbook.training.arguments import ClosedbookTrainingArguments
from closedbook.training.checks.together import CHECKED, Problems, SaidByFirst, check_together, problem_lines

# Of what a run happens with: what computes the weights, or makes the examples.
LIBRARIES = ("closedbook", "torch", "transformers", "accelerate", "datasets", "tokenizers")
# Flags that may differ from machine to machine: everything else decides the weights, or who waits for whom when.
OF_A_MACHINE = {"num_threads", "use_cpu", "dataloader_num_workers", "dataloader_pin_memory", "hub_token"}
OF_A_MACHINE |= {"dataloader_prefetch_factor", "dataloader_persistent_workers", "disable_tqdm", "debug"}
# How long a folder may take to show on another machine: network disks look again after half a minute.
SECONDS_TO_SHOW = 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class Process:
    """One of the processes of a launch.

    Attributes:
        rank: its number.
        host: name of its machine.
        pid: its number there.
    """

    rank: int
    host: str
    pid: int

    def __str__(self) -> str:
        return f"process {self.rank} on {self.host}"


def everywhere(mine: T) -> list[T]:
    """What every process gives here, in the order of their numbers; all of them have to come."""
    return gather_object([mine])


_known: list[Process] = []  # a launch is a fact of the process, as torch's group is


def known_processes() -> list[Process]:
    """The processes of this launch, by their numbers, as they were when they last checked something together."""
    return list(_known)


def check_everywhere(args: ClosedbookTrainingArguments, *checks: Callable[[], object]) -> None:
    """Run checks in every process, and end all of them if one has found something.

    Raises:
        ValueError: as `check_together` does in a launch of one process.
        Problems: in the first of several, what it found and then what others found beside it, with their names.
        SaidByFirst: in the others.
    """
    if args.world_size == 1:
        check_together(*checks)
        return
    lines: list[str] = []
    try:
        check_together(*checks)
    except CHECKED as error:
        lines = problem_lines(error)
    by_line: dict[str, list[Process]] = {}
    for process, found in _told(args, lines):
        for line in found:
            by_line.setdefault(line, []).append(process)
    _end_all(args, [line if who[0].rank == 0 else f"{_names(who)}: {line}" for line, who in by_line.items()])


def check_agreement(args: ClosedbookTrainingArguments, facts: Mapping[str, Any]) -> None:
    """Refuse processes that differ from the first in what has to be the same.

    Args:
        args: of the run.
        facts: name -> value, as JSON has them; secrets are compared by what a run file would say of them.

    Raises:
        Problems: in the first process, one line for those that differ from it in the same way.
        SaidByFirst: in the others.
    """
    if args.world_size == 1:
        return
    mine = withhold_all(json.loads(json.dumps(dict(facts), default=str)))
    told = _told(args, mine)
    first, known = told[0]
    by_difference: dict[str, list[Process]] = {}
    for process, found in told[1:]:
        names = [name for name in {**known, **found} if known.get(name) != found.get(name)]
        if names:
            words = (f"{name} is {_short(found.get(name))} and not {_short(known.get(name))}" for name in names)
            by_difference.setdefault("; ".join(words), []).append(process)
    _end_all(
        args,
        [
            f"{_names(who)}, compared with {first}: {difference}. Install the same versions and give the same "
            "flags and files on every machine"
            for difference, who in by_difference.items()
        ],
    )


def machine_facts(args: ClosedbookTrainingArguments) -> dict[str, Any]:
    """What is known of a process before anything is read: its libraries, its commit and its flags."""
    environment = run_environment()
    libraries = {name: environment["versions"][name] for name in LIBRARIES}
    flags = {item.name: getattr(args, item.name) for item in fields(args) if item.init}
    return libraries | {"commit": environment["commit"]} | _without(flags, OF_A_MACHINE)


def check_shared_folder(args: ClosedbookTrainingArguments, file: str) -> None:
    """Refuse an output folder that other machines do not see: each process leaves a part of a checkpoint there.

    Args:
        args: of the run.
        file: in the output folder, written by the first process.

    Raises:
        Problems, SaidByFirst: as `check_everywhere`.
    """

    def check() -> None:
        path, end = Path(str(args.output_dir)) / file, time.monotonic() + SECONDS_TO_SHOW
        while not path.exists():
            if time.monotonic() > end:
                raise ValueError(
                    f"it does not see {path}, which process 0 has: give an --output_dir on a disk that all "
                    "machines share, for a checkpoint is written by all processes"
                )
            time.sleep(0.2)

    check_everywhere(args, check)


def _told(args: ClosedbookTrainingArguments, mine: T) -> list[tuple[Process, T]]:
    told = everywhere((Process(args.process_index, socket.gethostname(), os.getpid()), mine))
    _known[:] = [process for process, _ in told]
    return told


def _end_all(args: ClosedbookTrainingArguments, lines: list[str]) -> None:
    if lines:
        raise (Problems if args.process_index == 0 else SaidByFirst)(lines)


def _names(processes: list[Process]) -> str:
    by_host: dict[str, list[str]] = {}
    for process in processes:
        by_host.setdefault(process.host, []).append(str(process.rank))
    word = "processes" if len(processes) > 1 else "process"
    return f"{word} " + " and ".join(f"{', '.join(ranks)} on {host}" for host, ranks in by_host.items())


def _without(facts: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in names}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
