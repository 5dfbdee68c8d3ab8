"""Processes of a launch, real ones over gloo: they train as one does, resume each other, agree, and end together.

The global batch is the same everywhere, so that a step has the same examples; what differs is the order in which
floating-point numbers are added. Tolerances are stated where runs are compared.
"""

import json
import signal
import time

import pytest
from ranks import Ranks

from closedbook.evaluation.run_record import read_run
from closedbook.training.keeping.manifest import first_difference

SAME = ("--precision", "fp32", "--dropout", "0", "--global_batch_size", "8", "--per_device_train_batch_size", "2")
# Relative, of losses and norms of gradients, and absolute, of weights whose size is about 0.1 after eight steps.
LOGGED, WEIGHTS = {"muon": 1e-3, "adamw": 1e-4}, {"muon": 3e-3, "adamw": 2e-3}
# What a run file says of where and when it ran, and of what it cost.
OF_THE_MACHINE = {"world_size", "train_seconds", "hardware", "command", "versions", "commit"}


@pytest.fixture
def ranks(tiny, tmp_path):
    """Starts the processes of one launch, and leaves none behind."""
    started = []

    def start(name, number, output, *flags, **more):
        flags_of = flags[0] if callable(flags[0]) else lambda rank: flags
        command = lambda rank: tiny.pretraining_process(output, *flags_of(rank))  # noqa: E731
        started.append(Ranks(tiny, command, number, tmp_path / f"said-{name}", **more))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def record(folder) -> dict:
    """The run file without what is the machine's."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return {name: value for name, value in run.items() if name not in OF_THE_MACHINE}


def files(folder) -> set[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if path.parts[0] != "logs" and "rng_state" not in path.name}


@pytest.mark.parametrize("number", [2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("optimizer", ["muon", pytest.param("adamw", marks=pytest.mark.slow)])
def test_processes_train_as_one(tiny, ranks, tmp_path, number, optimizer):
    flags = [*SAME, "--optimizer", optimizer]
    many = ranks("many", number, tmp_path / "many", *flags)
    tiny.pretrain(tmp_path / "one", *flags)
    many.succeed()
    assert read_run(tmp_path / "many").last.world_size == number
    tiny.assert_close(tmp_path / "one", tmp_path / "many", logged=LOGGED[optimizer], weights=WEIGHTS[optimizer])
    assert files(tmp_path / "one") == files(tmp_path / "many")
    one, many = record(tmp_path / "one"), record(tmp_path / "many")
    assert one.pop("eval_loss") == pytest.approx(many.pop("eval_loss"), rel=LOGGED[optimizer])
    assert one == many
    for name in ("config.json", "tokenizer.json", "modeling_gpt.py"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


@pytest.mark.slow
def test_two_processes_begin_one_goes_on_and_four_end(tiny, ranks, tmp_path):
    # a run that ends at another step would have another cosine
    flags = [*SAME, "--optimizer", "adamw", "--save_total_limit", "9", "--lr_scheduler_type", "constant"]
    tiny.pretrain(tmp_path / "one", *flags, "--max_steps", "12")
    ranks("two", 2, tmp_path / "run", *flags, "--max_steps", "12", "--time_limit", "1e-9").wait()
    (first,) = (tmp_path / "run").glob("checkpoint-*")
    assert first.name == "checkpoint-1"
    tiny.pretrain(tmp_path / "run", *flags, "--max_steps", "8", "--resume")
    four = ranks("four", 4, tmp_path / "run", *flags, "--max_steps", "12", "--resume")
    four.succeed()
    assert "1 process began this run, and 4 processes go on" in four.said(0)
    tiny.assert_close(tmp_path / "one", tmp_path / "run", logged=1e-3, weights=3e-3)


def test_a_killed_process_ends_the_others_with_a_line_and_the_run_goes_on_to_the_same_bits(tiny, ranks, tmp_path):
    """With dropout: each process draws its own, and finds it again in its own file of the checkpoint."""
    flags = ["--dropout", "0.1", "--global_batch_size", "8", "--per_device_train_batch_size", "2"]
    straight = ranks("straight", 2, tmp_path / "straight", *flags, "--max_steps", "24", "--save_total_limit", "20")
    killed = ranks("killed", 2, tmp_path / "run", *flags, "--max_steps", "24", "--save_total_limit", "20")
    wait_for(tmp_path / "run" / "checkpoint-4" / "manifest.json")
    killed.processes[1].send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert killed.wait(60) == [75, -signal.SIGKILL]
    assert time.monotonic() - began < 30
    (line,) = killed.lines(0)
    assert "process 1 on " in line and "has ended; this run ends after step" in line
    assert "the last checkpoint is" in line and "--resume" in line
    saved = sorted((tmp_path / "run").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    sealed = [path for path in saved if (path / "manifest.json").is_file()]
    assert sealed and all(first_difference(path) is None for path in sealed)
    assert all((path / f"rng_state_{rank}.pth").is_file() for path in sealed for rank in (0, 1))
    straight.succeed()
    ranks(
        "again", 2, tmp_path / "run", *flags, "--max_steps", "24", "--save_total_limit", "20", "--resume"
    ).succeed()
    tiny.assert_equal(tmp_path / "straight", tmp_path / "run")


def wait_for(path, seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} has not come"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_process_that_hangs_is_given_up_after_the_time_that_was_said(ranks, tmp_path):
    """The library leaves the limit out on a CPU."""
    run = ranks("hangs", 2, tmp_path / "run", *SAME, "--max_steps", "4000", "--ddp_timeout", "5")
    wait_for(tmp_path / "run" / "checkpoint-4" / "manifest.json")
    run.processes[1].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert run.processes[0].wait(60) == 75
    assert 3 < time.monotonic() - began < 30
    (line,) = run.lines(0)
    assert "process 1 on" in line and "is stopped" in line


def test_a_process_that_comes_late_is_waited_for_as_long_as_was_said(ranks, tmp_path):
    late = ranks("late", 2, tmp_path / "late", *SAME, "--max_steps", "2", "--save_strategy", "no", start=[0])
    never = ranks("never", 2, tmp_path / "never", *SAME, "--ddp_timeout", "3", start=[0])
    assert never.wait(60) == [2]
    (line,) = never.lines(0)
    assert "not all 2 processes met at 127.0.0.1:" in line and "within 3 s (--ddp_timeout)" in line
    assert not (tmp_path / "never").exists()
    late.add(1)
    late.succeed()


OTHER_VERSION = """
import importlib.metadata, sys
version = importlib.metadata.version
importlib.metadata.version = lambda name: "9.9.9" if name == "transformers" else version(name)
import closedbook.evaluation.environment as environment
environment.version = importlib.metadata.version
sys.argv = sys.argv[1:]
from closedbook.training.checks.commands import run_command
from closedbook.training.pretraining import main
sys.exit(run_command(main))
"""


def test_processes_that_differ_are_refused_in_one_line_before_anything(tiny, tmp_path, ranks):
    def other_version(rank):
        words = tiny.pretraining_process(tmp_path / "versions", *SAME)
        return ["-c", OTHER_VERSION, *words] if rank else words

    versions = Ranks(tiny, other_version, 2, tmp_path / "said-versions")
    flags = ranks("flags", 2, tmp_path / "flags", lambda rank: [*SAME, "--learning_rate", f"{0.01 + rank:g}"])
    data = ranks("data", 2, tmp_path / "data", lambda rank: [*SAME, "--num_people", str(20 + rank)])
    batch = ranks("batch", 3, tmp_path / "batch", *SAME)
    for run, what in (
        (versions, "transformers is 9.9.9 and not "),
        (flags, "learning_rate is 1.01 and not 0.01"),
        (data, "data_sha256 is"),
        (batch, "global_batch_size 8 does not divide among 3 processes"),
    ):
        assert set(run.wait()) == {2}, run.said(0)
        (line,) = run.lines(0)  # one process speaks
        assert what in line
        assert run is batch or "process 1 on " in line
        assert not any(run.lines(rank) for rank in range(1, run.world_size))
    for name in ("versions", "flags", "data", "batch"):
        assert not (tmp_path / name).exists()


def test_what_one_process_alone_finds_wrong_ends_all(files, ranks, tmp_path):
    """What its checks find is said by the first for all; what it finds later, by itself."""

    def no_tracker(rank):
        return [*SAME, "--report_to", "tensorboard" if rank == 0 else "no_such_tracker"]

    def no_file(rank):
        return [*SAME, "--corpus", "wiki", "--corpus_path", files["wiki"] if rank == 0 else tmp_path / "none.txt"]

    early, late = ranks("early", 2, tmp_path / "early", no_tracker), ranks("late", 2, tmp_path / "late", no_file)
    assert early.wait() == [2, 2]
    (line,) = early.lines(0)
    assert "process 1 on " in line and "no_such_tracker" in line and not early.lines(1)
    assert late.wait() == [75, 2]
    assert "process 1 on " in late.lines(0)[0] and "this run ends after step 0" in late.lines(0)[0]
    assert "none.txt" in late.lines(1)[0]
    assert not (tmp_path / "early").exists() and not (tmp_path / "late").exists()
