"""What is lost when things go wrong: kills, signals, a full disk, two runs at once, damage, wrong input.

    python scripts/benchmarks/reliability.py --output results/reliability.json

Runs are tiny, and forks of this process (see `reliability_runs.py`); kills, signals and limits are real ones.

* kills: SIGKILL at random moments, and at random ones of all the times that a run changes its folder, which finds
  the middle of a checkpoint and of the final save. Afterwards the same command goes on with --resume where there
  is a checkpoint, and begins again where there is none. Survived: it ends well, its weights are those of a run
  that nobody killed, bit by bit, and an old run that was to be replaced can be loaded until the new one has a
  checkpoint.
* SIGTERM: a checkpoint is left, and the run that goes on from it has the same weights.
* two at once: of two runs that begin in one folder together, one is refused and the other one is right.
* full disk: files cannot grow beyond a limit; a finished run that is in the folder stays whole or the new one is.
* processes: one, then two, then four, then one again go on with one run, and come to the loss of one alone.
* damage: a byte changed, a file cut or removed in a checkpoint or a model folder is found before it is used.
* wrong inputs: each ends with status 2 and one line a problem (see `reliability_inputs.py`).

The last line of stdout is one JSON object; what did not come out right is listed in it.
"""

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.run_record import RUN_FILE, read_run
from closedbook.scripts.benchmarks.measure import check_flags
from closedbook.scripts.benchmarks.reliability_inputs import PEOPLE, TINY, TRAINING, command, wrong_inputs
from closedbook.scripts.benchmarks.reliability_processes import across_processes
from closedbook.scripts.benchmarks.reliability_runs import run, start, wait
from closedbook.training import finetuning, pretraining
from closedbook.training.asking import knowing, questions
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.checks.commands import run_command
from closedbook.training.command_line import parse_flags
from closedbook.training.keeping.checkpoints import checkpoint_problem, last_good_checkpoint

MAINS: dict[str, Callable[[list[str]], object]] = {
    "pretrain": pretraining.main,
    "finetune": finetuning.main,
    "evaluate": questions.main,
    "knowing": knowing.main,
}
LONGER = ["--max_steps", "12", "--save_steps", "2", "--disable_tqdm", "True"]


@dataclass
class ReliabilityArguments:
    """Flags of this benchmark."""

    kills: int = field(default=120, metadata={"help": "how many runs to kill"})
    seed: int = field(default=0, metadata={"help": "of the moments and places"})
    inputs_every: int = field(default=1, metadata={"help": "give every n-th of the wrong inputs"})
    processes: bool = field(default=True, metadata={"help": "whether to launch several processes, too"})
    output: str | None = field(default=None, metadata={"help": "file for the JSON object"})


class Trials:
    """A workplace with a finished run, and what has been tried there.

    Args:
        folder: empty; everything is written there.
        seed: of all that is drawn.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.number = 0
        self.wrong: list[str] = []
        self.model = folder / "model"
        self.flags = {
            "pretrain": [*TINY, *LONGER],
            "finetune": [*PEOPLE, *TRAINING, *LONGER, "--validation_share", "0.3", "--model", str(self.model)],
        }
        self.expected: dict[str, dict[str, torch.Tensor]] = {}
        self.seconds: dict[str, float] = {}
        self.touches: dict[str, int] = {}
        for name in ("pretrain", "finetune"):
            place = self.model if name == "pretrain" else folder / "finetuned"
            log = folder / f"{name}.log"
            arguments = [*self.flags[name], "--output_dir", str(place)]
            ended = run(f"{name}.py", MAINS[name], arguments, log, kill_at_touch=0, watched=place)
            if ended.status:
                raise RuntimeError(f"{name} does not run here: {ended.lines[-3:]}")
            self.seconds[name] = ended.seconds
            self.touches[name] = int(log.with_suffix(".count").read_text())
            self.expected[name] = load_file(place / "model.safetensors")
        self.asked = folder / "finetuned"

    def new(self) -> tuple[Path, Path]:
        """A folder that is not there yet, and the file for what is printed."""
        self.number += 1
        return self.folder / f"run{self.number}", self.folder / f"run{self.number}.log"

    def is_right(self, name: str, folder: Path) -> bool:
        """Whether the weights in a folder are those of a run that nobody disturbed."""
        if not read_run(folder).last.is_finished:
            return False
        found = load_file(folder / "model.safetensors")
        load_model_folder(folder)
        return all(torch.equal(found[key], weight) for key, weight in self.expected[name].items())

    def go_on(self, name: str, folder: Path, log: Path) -> bool:
        """Run a command again, as a user would after a kill; whether all is as if nothing had happened."""
        flags = [*self.flags[name], "--output_dir", str(folder)]
        if folder.is_dir() and last_good_checkpoint(folder):
            flags += ["--resume"]
        elif (folder / RUN_FILE).exists():
            flags += ["--overwrite"]
        ended = run(f"{name}.py", MAINS[name], flags, log)
        if ended.status or not self.is_right(name, folder):
            self.wrong.append(f"{name} in {folder.name}: status {ended.status}, {ended.lines[-1:]}")
            return False
        return True

    def done(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)


def kill_training(trials: Trials, name: str, how: str) -> bool:
    """Kill one run, and go on; whether nothing was lost."""
    folder, log = trials.new()
    arguments = [*trials.flags[name], "--output_dir", str(folder)]
    if how == "at a moment":
        moment = trials.random.uniform(0.05, 1) * trials.seconds[name]
        run(f"{name}.py", MAINS[name], arguments, log, kill_after=moment)
    else:
        touch = trials.random.randint(1, trials.touches[name])
        run(f"{name}.py", MAINS[name], arguments, log, kill_at_touch=touch, watched=folder)
    good = trials.go_on(name, folder, log)
    trials.done(folder)
    return good


def kill_replacing(trials: Trials) -> bool:
    """Kill a run that replaces another; the old model or a checkpoint of the new run has to be there."""
    folder, log = trials.new()
    shutil.copytree(trials.model, folder)
    arguments = [*trials.flags["pretrain"], "--seed", "7", "--overwrite", "--output_dir", str(folder)]
    touch = trials.random.randint(1, trials.touches["pretrain"])
    run("pretrain.py", MAINS["pretrain"], arguments, log, kill_at_touch=touch, watched=folder)
    record = read_run(folder).last
    if record.seed != 7:
        good = trials.is_right("pretrain", folder)
        if not good:
            trials.wrong.append(f"replacing in {folder.name}: the old model is damaged before a step was trained")
    else:  # the new run has trained a step: its command goes on or begins again
        more = ["--resume"] if last_good_checkpoint(folder) else ["--overwrite"]
        ended = run("pretrain.py", MAINS["pretrain"], [*arguments[:-3], *more, *arguments[-2:]], log)
        good = ended.status == 0 and read_run(folder).last.is_finished
        if not good:
            trials.wrong.append(f"replacing in {folder.name}: {ended.lines[-1:]}")
    trials.done(folder)
    return good


def kill_asking(trials: Trials, name: str) -> bool:
    """Kill an evaluation; its files are whole or not there, and the next one writes what one alone writes."""
    folder, log = trials.new()
    arguments = ["--model", str(trials.asked), "--output_dir", str(folder)]
    reference = trials.folder / f"{name}-reference"
    if not reference.exists():
        plain = ["--model", str(trials.asked), "--output_dir", str(reference)]
        ended = run(f"{name}.py", MAINS[name], plain, log, kill_at_touch=0, watched=reference)
        trials.touches[name] = int(log.with_suffix(".count").read_text())
        trials.seconds[name] = ended.seconds
    if trials.random.random() < 0.5:
        touch = trials.random.randint(1, trials.touches[name])
        run(f"{name}.py", MAINS[name], arguments, log, kill_at_touch=touch, watched=folder)
    else:
        moment = trials.random.uniform(0.3, 1) * trials.seconds[name]
        run(f"{name}.py", MAINS[name], arguments, log, kill_after=moment)
    rows = reference / "predictions.jsonl"
    half = folder / "predictions.jsonl"
    whole = not half.exists() or half.read_bytes() == rows.read_bytes()
    ended = run(f"{name}.py", MAINS[name], arguments, log)
    good = whole and ended.status == 0 and half.read_bytes() == rows.read_bytes()
    if not good:
        trials.wrong.append(f"{name} in {folder.name}: whole {whole}, status {ended.status}, {ended.lines[-1:]}")
    trials.done(folder)
    return good


def kills(trials: Trials, count: int) -> dict[str, Any]:
    """Kill runs of every kind in turn."""
    kinds: dict[str, Callable[[], bool]] = {
        "pretrain at a moment": lambda: kill_training(trials, "pretrain", "at a moment"),
        "pretrain while it writes": lambda: kill_training(trials, "pretrain", "while it writes"),
        "finetune at a moment": lambda: kill_training(trials, "finetune", "at a moment"),
        "finetune while it writes": lambda: kill_training(trials, "finetune", "while it writes"),
        "pretrain --overwrite while it writes": lambda: kill_replacing(trials),
        "evaluate": lambda: kill_asking(trials, "evaluate"),
        "knowing": lambda: kill_asking(trials, "knowing"),
    }
    weights = (6, 8, 4, 6, 8, 2, 2)  # in how many of 36 turns: what has most to lose comes most often
    turns = [kind for kind, weight in zip(kinds, weights, strict=True) for _ in range(weight)]
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    for number in range(count):
        kind = turns[number * 7 % len(turns)]
        tried[kind] += 1
        survived[kind] += kinds[kind]()
    kinds_tried = {kind: {"tried": tried[kind], "survived": survived[kind]} for kind in tried}
    return {"tried": tried.total(), "survived": survived.total(), "kinds": kinds_tried}


def sigterms(trials: Trials, count: int) -> dict[str, int]:
    """Ask runs to end; they leave a checkpoint, and go on from it."""
    right = 0
    for number in range(count):
        name = ("pretrain", "finetune")[number % 2]
        folder, log = trials.new()
        arguments = [*trials.flags[name], "--save_strategy", "no", "--output_dir", str(folder)]
        begun = time.perf_counter()
        pid = start(f"{name}.py", MAINS[name], arguments, log)
        while not (folder / RUN_FILE).exists() and time.perf_counter() - begun < 30:
            time.sleep(0.005)
        time.sleep(trials.random.uniform(0, 0.3) * trials.seconds[name])
        os.kill(pid, signal.SIGTERM)
        ended = wait(pid, log, begun)
        stopped = ended.status == 143 and last_good_checkpoint(folder) is not None
        if ended.status in (0, -signal.SIGTERM):  # it came after the last step
            stopped = True
        if stopped and trials.go_on(name, folder, log):
            right += 1
        elif not stopped:
            trials.wrong.append(f"SIGTERM for {name}: status {ended.status}, {ended.lines[-1:]}")
        trials.done(folder)
    return {"tried": count, "right": right}


def two_at_once(trials: Trials, count: int) -> dict[str, int]:
    """Begin two runs in one folder together."""
    right = 0
    for _ in range(count):
        folder, log = trials.new()
        arguments = [*trials.flags["pretrain"], "--output_dir", str(folder)]
        begun, logs = time.perf_counter(), [log, log.with_suffix(".second")]
        pids = [start("pretrain.py", MAINS["pretrain"], arguments, each) for each in logs]
        statuses = sorted(wait(pid, each, begun).status for pid, each in zip(pids, logs, strict=True))
        good = statuses == [0, 2] and trials.is_right("pretrain", folder)
        right += good
        if not good:
            trials.wrong.append(f"two at once: statuses {statuses}")
        trials.done(folder)
    return {"tried": count, "right": right}


def full_disk(trials: Trials, count: int) -> dict[str, int]:
    """Let no file grow beyond a limit while a run replaces another one."""
    right = 0
    for number in range(count):
        folder, log = trials.new()
        shutil.copytree(trials.model, folder)
        limit = trials.random.randint(1_000, 300_000)

        def prepare(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error of the call then, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        overwrite = number % 2 == 0
        flags = ["--overwrite"] if overwrite else []
        place = folder if overwrite else trials.folder / f"full{number}"
        arguments = [*trials.flags["pretrain"], *flags, "--output_dir", str(place)]
        ended = run("pretrain.py", MAINS["pretrain"], arguments, log, prepare=prepare)
        good = trials.go_on("pretrain", place, log) if ended.status else trials.is_right("pretrain", place)
        right += good
        if not good:
            trials.wrong.append(f"full disk at {limit} bytes: status {ended.status}, {ended.lines[-1:]}")
        trials.done(folder)
        trials.done(place)
    return {"tried": count, "right": right}


def damage(trials: Trials, count: int) -> dict[str, int]:
    """Change, cut or remove a file of a checkpoint, or one of a model that decides what it answers.

    Of a model's configuration a value is changed: other tools may write it in another way.
    """
    checkpoint = last_good_checkpoint(trials.model)
    assert checkpoint is not None, "the run keeps checkpoints"
    found = 0
    for number in range(count):
        source = checkpoint if number % 2 else trials.model
        names = ["model.safetensors", "tokenizer.json", "config.json"]
        if number % 2:
            names = sorted(path.name for path in checkpoint.iterdir() if path.name != "manifest.json")
        folder, _ = trials.new()
        shutil.copytree(source, folder)
        path = folder / trials.random.choice(names)
        content = bytearray(path.read_bytes())
        how = trials.random.choice(("changed", "cut", "removed"))
        if path.name == "config.json":
            values = json.loads(content)
            name = trials.random.choice(("num_attention_heads", "hidden_size", "vocab_size", "num_hidden_layers"))
            values[name] *= 2
            path.write_text(json.dumps(values), encoding="utf-8")
        elif how == "removed":
            path.unlink()
        elif how == "cut":
            path.write_bytes(content[: trials.random.randrange(len(content))])
        else:
            content[trials.random.randrange(len(content))] ^= 1 << trials.random.randrange(8)
            path.write_bytes(content)
        noticed = is_noticed(folder, is_checkpoint=bool(number % 2))
        found += noticed
        if not noticed:
            trials.wrong.append(
                f"{path.name} {how} in a {'checkpoint' if number % 2 else 'model folder'}: not found"
            )
        trials.done(folder)
    return {"planted": count, "found": found}


def is_noticed(folder: Path, is_checkpoint: bool) -> bool:
    """Whether damage is found before what is damaged is used."""
    if is_checkpoint:
        return checkpoint_problem(folder) is not None
    try:
        load_model_folder(folder)
    except (ValueError, OSError):
        return True
    return False


def inputs(trials: Trials, every: int) -> dict[str, Any]:
    """Give every n-th of the wrong inputs; count how they end."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in wrong_inputs(trials.folder / "inputs", trials.asked)[::every]:
        folder, log = trials.new()
        words = command(item.script, item.flags, trials.asked, folder)
        ended = run(f"{item.script}.py", MAINS[item.script], words, log)
        told = [line for line in ended.lines if line.startswith(f"{item.script}.py: ")]
        if ended.status == 0:
            became = "silent"
        elif ended.status == 2 and told and not any(line.startswith("Traceback") for line in ended.lines):
            became = "refused in one line a problem"
        else:
            became = "refused otherwise"
        counts[item.what][became] += 1
        if became != "refused in one line a problem":
            words = " ".join(item.flags).replace(str(trials.folder), "")
            trials.wrong.append(f"{item.script} {words}: {became}, status {ended.status}, {ended.lines[-1:]}")
        trials.done(folder)
    total = sum(counts.values(), Counter())
    refused = total["refused in one line a problem"]
    return {
        "tried": total.total(),
        "refused_in_one_line": refused,
        "refused_otherwise": total["refused otherwise"],
        "silent": total["silent"],
        "kinds": {what: dict(count) for what, count in sorted(counts.items())},
    }


def main(argv: list[str]) -> dict[str, Any]:
    (args,) = parse_flags(ReliabilityArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    check_flags(None, kills=args.kills, inputs_every=args.inputs_every)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    begun = time.perf_counter()
    few = max(1, args.kills // 10)
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(Path(folder), args.seed)
        result: dict[str, Any] = {
            "description": "Kills, signals, damage and wrong input: what was tried, and what was lost.",
            "kills": kills(trials, args.kills),
            "sigterm": sigterms(trials, few),
            "two_at_once": two_at_once(trials, few),
            "full_disk": full_disk(trials, few),
            "damage": damage(trials, 5 * few),
            "wrong_inputs": inputs(trials, args.inputs_every),
        }
        if args.processes:
            result["processes"] = across_processes(Path(folder) / "processes")
        result["not_right"] = [line.replace(folder, "") for line in trials.wrong]
    result |= {"seed": args.seed, "seconds": round(time.perf_counter() - begun)} | run_environment()
    if args.output:
        write_json_atomic(args.output, result)
    print(json.dumps(result, ensure_ascii=False))
    return result


if __name__ == "__main__":
    sys.exit(run_command(main))
