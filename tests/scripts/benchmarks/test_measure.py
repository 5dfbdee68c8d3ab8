"""The benchmarks run from end to end and report what they promise; how fast anything is, no test asserts."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from closedbook.scripts.benchmarks import answering, confidence, training
from closedbook.scripts.benchmarks.measure import check_flags, device, now, peak_memory_mib, report
from closedbook.training.experiments import starter

PROMISED = {
    "benchmark",
    "unit",
    "ours",
    "peer",
    "ratio",
    "ours_repeats",
    "peer_repeats",
    "peak_memory_ours_mib",
    "peak_memory_peer_mib",
    "parameters",
    "settings",
    "device",
    "threads",
    "hardware",
    "versions",
    "commit",
    "command",
}


@pytest.fixture(autouse=True)
def leave_process_as_it_was(monkeypatch, tmp_path):
    threads = torch.get_num_threads()
    # the training arguments set it where nobody has: restored, other tests choose their own
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def known_memory(monkeypatch):
    """No fresh processes for memory, each half a minute: the test of the answering benchmark has real ones."""
    asked = []

    def measured(script, argv, side):
        asked.append((Path(script).stem, side))
        return {"peak_mib": 2.0, "peak_before_mib": 1.0}

    for module in (training, confidence):
        monkeypatch.setattr(module, "memory_in_fresh_process", measured)
    return asked


def last_line(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_training_benchmark_ends_with_one_json_object_and_writes_it_too(capsys, tmp_path, known_memory):
    output = tmp_path / "new" / "training.json"
    flags = ["--batch_size", "4", "--warmup_steps", "1", "--steps", "1", "--repeats", "1", "--num_threads", "1"]
    returned = training.main([*flags, "--output", str(output)])
    printed = last_line(capsys)
    assert printed.keys() >= PROMISED
    assert printed == returned == json.loads(output.read_text(encoding="utf-8"))
    assert (printed["benchmark"], printed["parameters"]) == ("training", 3_323_392)
    assert (printed["settings"]["steps"], printed["settings"]["optimizer"]) == (1, "muon")
    assert min(printed["ours"], printed["peer"], printed["peak_memory_ours_mib"]) > 0
    assert known_memory == [("training", "ours"), ("training", "starter")]


@pytest.mark.slow
def test_the_answering_benchmark_ends_with_one_json_object_and_counts_equal_answers(capsys):
    answering.main(["--num_questions", "3", "--repeats", "1", "--num_threads", "1"])
    printed = last_line(capsys)
    assert printed.keys() >= PROMISED | {"equal_answers", "num_questions"}
    assert (printed["benchmark"], printed["equal_answers"], printed["num_questions"]) == ("answering", 3, 3)
    assert min(printed["ours"], printed["peer"], printed["peak_memory_peer_mib"]) > 0


def test_the_confidence_benchmark_says_what_confidence_costs(capsys, tmp_path, known_memory):
    output = tmp_path / "cost.json"
    flags = ["--num_questions", "3", "--repeats", "1", "--num_threads", "1", "--num_samples", "2"]
    confidence.main([*flags, "--output", str(output)])
    printed = last_line(capsys)
    assert printed == json.loads(output.read_text(encoding="utf-8"))
    assert printed.keys() >= PROMISED | {"equal_answers", "num_questions", "cost", "cpu_cost"}
    assert (printed["benchmark"], printed["equal_answers"], printed["settings"]["num_samples"]) == (
        "confidence",
        3,
        2,
    )
    assert printed["cost"] == pytest.approx(printed["ours"] / printed["peer"])  # of a single turn
    assert known_memory == [("confidence", "ours"), ("confidence", "starter")]


def test_the_cost_of_confidence_is_the_median_over_turns():
    taken = {"ours": [2.0, 30.0, 8.0], "starter": [1.0, 10.0, 1.0]}
    assert confidence.median_ratio(taken) == 3.0


def test_answers_that_differ_are_no_benchmark():
    with pytest.raises(RuntimeError, match="1 of 2 answers differ, first to 'b'"):
        answering.count_equal(["a", "b"], ["x", "y"], ["x", "z"])


def test_a_position_of_the_peer_reads_itself_and_the_past_alone():
    torch.manual_seed(0)
    model = starter.PlainGPT(vocab_size=20).eval()
    ids = torch.randint(2, 20, (2, 30))
    changed = ids.clone()
    changed[:, 20] = 1
    with torch.no_grad():
        before, after = model(ids), model(changed)
    torch.testing.assert_close(before[:, :20], after[:, :20])
    assert not torch.allclose(before[:, 20:], after[:, 20:])


def test_the_peer_pads_each_example_to_the_block_and_shifts_it_by_one():
    documents = starter.PaddedDocuments([{"text": "abc" * 5}], {"□": 0, "⁇": 1, "a": 2, "b": 3, "c": 4})
    inputs, targets = documents[0]
    assert inputs.shape == targets.shape == (starter.BLOCK - 1,)
    assert torch.equal(inputs[1:], targets[:-1])
    assert (targets == 1).sum() == 2
    assert targets[-1] == 0


@pytest.mark.parametrize("more_is_better, ratio", [(True, 0.5), (False, 2.0)])
def test_the_ratio_says_how_many_times_as_fast_ours_is(more_is_better, ratio):
    memory = {side: {"peak_mib": 2.0, "peak_before_mib": 1.0} for side in ("ours", "starter")}
    taken = {"ours": [1.0, 9.0, 2.0], "starter": [4.0, 4.0, 4.0]}
    result = report("training", "unit", taken, more_is_better, memory, None)
    assert (result["ours"], result["peer"], result["ratio"]) == (2.0, 4.0, ratio)


def test_flags_without_sense_are_refused_by_name():
    with pytest.raises(ValueError, match="--steps must be at least 1, got 0"):
        check_flags(None, steps=0)
    with pytest.raises(ValueError, match="--only must be one of ours, starter, got 'both'"):
        check_flags("both")


def test_the_peak_of_memory_never_falls_and_the_clock_goes_on():
    start, before = now(), peak_memory_mib()
    torch.ones(2**20, device=device()).sum()
    assert peak_memory_mib() >= before >= 0
    assert now() > start


def test_no_benchmark_hides_a_library_of_its_name():
    folder = Path(training.__file__).parent  # first on the path when one of its scripts runs
    rooms = folder.parents[1]  # where pytest finds ours by their short names, by which nobody imports them
    for path in folder.glob("*.py"):
        hidden = importlib.util.find_spec(path.stem)
        ours = hidden is not None and hidden.origin and Path(hidden.origin).is_relative_to(rooms)
        assert path.stem == "__init__" or hidden is None or ours, path.name
