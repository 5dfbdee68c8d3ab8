"""Runs of the scripts that take a second: a model of a few thousand weights and twenty people."""

import gc
import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

# Neither torch nor the package here: the process of xdist that hands out tests does not need them, and those that
# run tests begin when it has read this file.
sys.path.append(str(Path(__file__).parent / "processes"))  # for warm.py; the tests are no package
from leaks import changes, state

settings.register_profile("closedbook", deadline=None)  # a busy machine is not a failing property
settings.load_profile("closedbook")

CHECKOUT = Path(__file__).resolve().parents[1]


# Files that take longest, the longest first: each is run by one process, and none is to be left over for the end.
LONG = (
    "golden/test_golden.py",
    "modeling/test_saving.py",
    "modeling/test_cache.py",
    "examples/test_notebooks.py",
    "modeling/test_generation.py",
    "modeling/test_native_graphs.py",
    "training/publishing/test_publishing.py",
    "modeling/test_outputs.py",
    "scripts/benchmarks/test_measure.py",
    "scripts/benchmarks/test_architectures.py",
    "training/test_every_flag_counts.py",
    "training/laboratory/test_figures.py",
    "modeling/test_packed_rows.py",
    "modeling/test_native.py",
    "scripts/benchmarks/test_reliability.py",
    "evaluation/answering/test_prompts.py",
    "evaluation/answering/test_closed_book.py",
    "training/keeping/test_keeper.py",
    "training/conversion/test_course.py",
    "training/test_trainer.py",
    "scripts/test_distributed.py",
)


def pytest_collection_modifyitems(items) -> None:
    places = {str(CHECKOUT / "tests" / name): place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(str(item.path), len(LONG)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    item.state_before = state()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item):
    """What a test changes for those after it is an error of that test, with the name of what changed."""
    result = yield
    if changed := changes(item.state_before, state()):
        pytest.fail(f"this test changed what later tests find: {'; '.join(changed)}", pytrace=False)
    return result


def pytest_collection_finish() -> None:
    """The Trainer collects garbage after every run, which takes half of a tiny one over all that was imported.

    And models compute in one thread from the first test on (`one_thread.py`).
    """
    from one_thread import compute_in_one_thread

    compute_in_one_thread()
    gc.collect()
    gc.freeze()


PEOPLE = ["--num_people", "20", "--attributes", "birth_place"]
TRAINING = [
    *("--num_threads", "1", "--use_cpu", "True", "--disable_tqdm", "True", "--logging_steps", "1"),
    *("--per_device_train_batch_size", "8", "--row_length", "64", "--eval_examples", "8", "--seed", "3"),
]
SIZES = ["--hidden_size", "16", "--num_hidden_layers", "2", "--num_attention_heads", "2", "--block_size", "64"]
PRETRAINING = [*PEOPLE, *TRAINING, *SIZES, "--num_versions", "2", "--max_steps", "8", "--save_steps", "4"]
FINETUNING = [*TRAINING, "--max_steps", "4", "--save_strategy", "no"]


class TinyRuns:
    """The scripts with tiny defaults; flags given to a method win over them."""

    checkout = CHECKOUT

    def pretrain(self, output, *flags):
        """The stage as `run.json` has it."""
        from closedbook.training import pretraining

        return _call(pretraining.main, [*PRETRAINING, "--output_dir", output, *flags]).last

    def finetune(self, output, model, *flags):
        """The stage as `run.json` has it."""
        from closedbook.training import finetuning

        return _call(finetuning.main, [*FINETUNING, "--model", model, "--output_dir", output, *flags]).last

    def evaluate(self, model, *flags) -> dict | None:
        from closedbook.training.asking import questions

        return _call(questions.main, ["--model", model, "--max_new_tokens", "8", *flags])

    def training(self) -> list[str]:
        """The flags of a tiny run of pretraining, but for those about people and checkpoints."""
        return [*TRAINING, *SIZES, "--max_steps", "8"]

    def call(self, main, argv):
        """A command in this process, which is left as it was."""
        return _call(main, argv)

    def people(self) -> list[str]:
        """The flags that name the same twenty people in every script."""
        return list(PEOPLE)

    def pretraining_process(self, output, *flags) -> list[str]:
        """The command of `pretrain` for a process of its own: script and flags."""
        script = CHECKOUT / "scripts" / "pretrain.py"
        return [*map(str, [script, *PRETRAINING, "--output_dir", output, *flags])]

    def environment(self, **variables) -> dict[str, str]:
        """Of a child process: one thread, no network, and nothing that this process set for itself."""
        leaked = ("TENSORBOARD_LOGGING_DIR", "ACCELERATE_", "MASTER_", "LOCAL_", "WORLD_SIZE", "RANK")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(leaked)}
        quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        return kept | quiet | {"CUDA_VISIBLE_DEVICES": ""} | variables

    def stopped_at(self, step: int, run: Path, folder: Path) -> Path:
        """A folder as `run` would have left it, had it been stopped right after its checkpoint of `step`."""
        shutil.copytree(run / f"checkpoint-{step}", folder / f"checkpoint-{step}")
        return folder

    def weights(self, folder) -> dict:
        """Name -> tensor."""
        from safetensors.torch import load_file

        return load_file(Path(folder) / "model.safetensors")

    def log(self, folder) -> list[dict]:
        """The logged numbers that a repetition of the run must show again (no times)."""
        state = json.loads((Path(folder) / "trainer_state.json").read_text(encoding="utf-8"))
        timeless = ("step", "loss", "grad_norm", "learning_rate", "eval_loss", "eval_exact_match")
        entries = [{name: entry[name] for name in timeless if name in entry} for entry in state["log_history"]]
        return [entry for entry in entries if len(entry) > 1]

    def assert_equal(self, one, other) -> None:
        """Bit-equal weights, equal logs, and as much read."""
        import torch

        from closedbook.evaluation.run_record import read_run

        weights, others = self.weights(one), self.weights(other)
        assert weights.keys() == others.keys()
        differing = [name for name in weights if not torch.equal(weights[name], others[name])]
        assert differing == []
        assert self.log(one) == self.log(other)
        read = [(run.last.train_characters, run.last.train_tokens) for run in map(read_run, (one, other))]
        assert read[0] == read[1]

    def assert_close(self, one, other, *, logged: float, weights: float) -> None:
        """Logged losses and gradient norms within `logged` (relative), weights within `weights` (absolute)."""
        import torch

        for entry, again in zip(self.log(one), self.log(other), strict=True):
            assert entry == pytest.approx(again, rel=logged)
        ours, others = self.weights(one), self.weights(other)
        for name in ours:
            torch.testing.assert_close(ours[name], others[name], rtol=0, atol=weights, msg=lambda m, n=name: n + m)


def _call(main, argv):
    with _process_left_as_it_was():
        return main([str(item) for item in argv])


@contextmanager
def _process_left_as_it_was():
    import torch

    threads = torch.get_num_threads()
    variables = dict(os.environ)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)


@pytest.fixture(scope="session")
def tiny() -> TinyRuns:
    """With all that its runs import: later a test may have changed what importing reads (as `online` does)."""
    from closedbook.training import finetuning, pretraining  # noqa: F401
    from closedbook.training.asking import questions  # noqa: F401

    return TinyRuns()


@pytest.fixture(scope="session")
def pretrained(tiny, tmp_path_factory) -> Path:
    """A pretrained folder with checkpoints of steps 4 and 8; tests only read it."""
    folder = tmp_path_factory.mktemp("shared") / "pretrained"
    tiny.pretrain(folder)
    return folder


@pytest.fixture
def launch(tiny):
    """Run a script with `accelerate launch` in two processes on the CPU, as `scripts/launch/cpu2.yaml` says."""

    def run(script, *flags) -> str:
        folder = tiny.checkout / "scripts"
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", _free_port()]
        command = [*launcher, "--config_file", folder / "launch" / "cpu2.yaml", folder / f"{script}.py", *flags]
        process = subprocess.run(
            list(map(str, command)),
            env=tiny.environment(ACCELERATE_USE_CPU="true"),
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout + process.stderr

    return run


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture
def leave_threads_as_they_were():
    """For commands that set how many threads compute."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def quiet():
    """Without the warnings of transformers."""
    import transformers

    before = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    yield
    transformers.logging.set_verbosity(before)


@pytest.fixture
def free_port() -> int:
    return _free_port()


@pytest.fixture
def parse():
    """`parse_arguments`, which sets environment variables, with the environment restored afterwards."""
    from closedbook.training.command_line import parse_arguments

    with _process_left_as_it_was():
        yield parse_arguments


NAMES = ["Ada Lind", "Bo Marsh", "Cy Ross", "Di Stone", "Ed Vance", "Flo West", "Gus Young", "Hal Zorn"]
PLACES = ["Oslo", "Rome", "Lima", "Rome", "Cairo", "Oslo", "Rome", "Lima"]


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    """The reference task's four files in small: `wiki`, `train` (6 people), `dev` (3, one of them trained on),
    `inputs` (the dev questions without answers)."""
    paths = {name: tmp_path / f"{name}.txt" for name in ("wiki", "train", "dev", "inputs")}
    born = list(zip(NAMES, PLACES, strict=True))
    lines = {
        "wiki": [f"{name}. {name} was born in {place}. Where? In {place}." for name, place in born],
        "train": [f"Where was {name} born?\t{place}" for name, place in born[:6]],
        "dev": [f"Where was {name} born?\t{place}" for name, place in born[5:]],
        "inputs": [f"Where was {name} born?" for name, _ in born[5:]],
    }
    for name, path in paths.items():
        path.write_text("\n".join(lines[name]) + "\n", encoding="utf-8")
    return paths


@pytest.fixture(scope="session", autouse=True)
def columns_are_sliced():
    """A column of a data set that is iterated reads its rows one by one, a hundred times as slowly as `[:]`."""
    from datasets.arrow_dataset import Column

    iterate = Column.__iter__

    def refuse(column):
        caller = sys._getframe(1).f_globals.get("__name__", "")
        assert not caller.startswith("closedbook."), f"{caller} iterates a column: slice it with [:]"
        return iterate(column)

    Column.__iter__ = refuse
    yield
    Column.__iter__ = iterate
