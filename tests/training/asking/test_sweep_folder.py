"""A sweep over arms on one model: what they owe to it, and that several processes ask each of them once."""

import threading
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import pytest

from closedbook.evaluation.prompting.arm_files import ArmFormat, read_arm_file
from closedbook.training.asking import sweep_folder
from closedbook.training.asking.incontext_arguments import InContextArguments
from closedbook.training.asking.reasoning import ReasoningArguments
from closedbook.training.asking.sweep_folder import ask_missing, fingerprint
from closedbook.training.finished_runs import ArmFiles, digest


@dataclass(frozen=True)
class Arm:
    seed: int

    def digest(self, sweep):
        return digest([asdict(self), sweep])


ARMS = [Arm(seed) for seed in range(5)]


def read_arm(path):
    return read_arm_file(path, ArmFormat({}, settings=("seed",), counts=("seed",)))


def store_in(folder, model="model"):
    return ArmFiles(folder, {"asked": 1, "model": model}, read_arm)


def rows():
    return [{"row": 0, "question": "Who?", "new_tokens": 1, "complete": True, "dropped": 0}]


@pytest.fixture
def processes(monkeypatch):
    """Runs a function in as many processes as are wanted, threads in truth; returns what each returned."""

    def run(number, function):
        barrier, own, returned = threading.Barrier(number, timeout=60), threading.local(), {}

        def one(index):
            own.state = SimpleNamespace(
                process_index=index,
                num_processes=number,
                is_main_process=index == 0,
                wait_for_everyone=barrier.wait,
            )
            try:
                returned[index] = function(index)
            except ValueError as error:
                returned[index] = error

        monkeypatch.setattr(sweep_folder, "process_state", lambda: own.state)
        threads = [threading.Thread(target=one, args=(index,)) for index in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [returned[index] for index in range(number)]

    return run


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_arm_is_asked_by_one_process_and_the_first_sums_up_when_all_are_there(number, tmp_path, processes):
    store, asked, begun = store_in(tmp_path), [], []
    store.begin()
    store.write(ARMS[2], rows())

    def begin(state):
        begun.append(state.process_index)

        def ask(group):
            asked.extend(group)
            return [rows() for _ in group]

        return ask

    def process(index):
        sums_up = ask_missing(store, ARMS, begin, lambda arms: [arms[:2], arms[2:]])
        return sums_up, len(list(tmp_path.glob("arms/*.jsonl")))

    assert processes(number, process) == [(index == 0, 5) for index in range(number)]
    assert sorted(asked, key=ARMS.index) == [arm for arm in ARMS if arm != ARMS[2]]
    assert (
        sorted(begun) == [0, 1][:number]
    )  # there are two groups; a third process has nothing to load a model for
    assert store.missing(ARMS) == []


def test_another_sweep_is_refused_in_every_process_and_changes_nothing(tmp_path, processes):
    store = store_in(tmp_path)
    store.begin()
    store.write(ARMS[0], rows())
    before = (tmp_path / "sweep.json").read_bytes()
    refused = processes(2, lambda index: ask_missing(store_in(tmp_path, "other"), ARMS, None))
    for error in refused:
        assert "sweep.json is of a sweep with another model, " in str(error)
    assert (tmp_path / "sweep.json").read_bytes() == before


def test_arms_are_asked_alone_where_nothing_says_otherwise_and_a_finished_sweep_begins_nothing(
    tmp_path, processes
):
    groups = []

    def begin(state):
        return lambda group: groups.append(group) or [rows()]

    assert processes(1, lambda index: ask_missing(store_in(tmp_path), ARMS, begin)) == [True]
    assert groups == [[arm] for arm in ARMS]
    assert processes(1, lambda index: ask_missing(store_in(tmp_path), ARMS, None)) == [True]


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "config.json",
        "chat_template.jinja",
        "merges.txt",
        "tokenizer.model",
    ],
)
def test_whatever_a_model_is_read_from_is_in_its_fingerprint(name, tmp_path):
    (tmp_path / "README.md").write_text("a model")
    before = fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("the same model")
    assert fingerprint(tmp_path) == before
    (tmp_path / name).write_text("1")
    once = fingerprint(tmp_path)
    (tmp_path / name).write_text("2")
    assert len({before, once, fingerprint(tmp_path)}) == 3


def test_a_name_on_the_hub_has_no_fingerprint():
    assert fingerprint("no/such/folder") is None


@pytest.mark.parametrize("kind", [InContextArguments, ReasoningArguments])
def test_threads_are_counted_from_none(kind):
    with pytest.raises(ValueError, match="--num_threads must be 0"):
        kind(model="m", question_file="q", output_dir="o", num_threads=-2)
