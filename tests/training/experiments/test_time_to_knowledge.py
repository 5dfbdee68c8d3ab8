"""The clock counts steps and nothing else, in any build; the figures are those of what was measured."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from closedbook.training.experiments import clocked
from closedbook.training.experiments import time_to_knowledge as measure


@pytest.fixture
def files(tmp_path):
    """A corpus, questions and a former checkout, each as little as the checks look at."""
    former = tmp_path / "former"
    (former / "scripts").mkdir(parents=True)
    (former / "scripts" / "pretrain.py").touch()
    for name in ("wiki.txt", "questions.tsv"):
        (tmp_path / name).write_text("Ada\tLondon\n", "utf-8")
    return [
        *("--num_threads", str(torch.get_num_threads())),
        *("--corpus_path", str(tmp_path / "wiki.txt"), "--train_questions", str(tmp_path / "questions.tsv")),
        *("--former", str(former), "--output", str(tmp_path / "time.json"), "--output_dir", str(tmp_path / "out")),
        *("--repeats", "3", "--save_steps", "100", "--most_steps", "1000", "--targets", "0.2", "0.8"),
    ]


def speed(per_second: float) -> dict[str, float]:
    return {"characters_per_second": per_second, "characters_per_cpu_second": 2 * per_second}


@pytest.fixture
def measured(monkeypatch):
    """Every measurement in the order in which it is asked for, all made up."""
    asked = []
    fast = {"ours": 300.0, "former": 100.0, "starter": 50.0}

    def time_system(system, args, corpus):
        asked.append(system)
        return speed(fast[system] + len(asked))

    def learn_on(system, args, number):
        asked.append((system, number))
        slow = 1 if system == "ours" else 4
        return {
            "steps": 100 * number,
            "pretraining_seconds": slow * number * 10.0,
            "pretraining_cpu_seconds": slow * number * 20.0,
            "finetuning_seconds": slow * 2.0,
            "finetuning_cpu_seconds": slow * 4.0,
            "accuracy": min(0.1 * number, 0.5 if system == "former" else 1.0),
        }

    monkeypatch.setattr(measure, "time_system", time_system)
    monkeypatch.setattr(measure, "learn_on", learn_on)
    monkeypatch.setattr(measure, "read_corpus", lambda *_: SimpleNamespace(documents=None, texts=None))
    return asked


def test_systems_take_turns_and_only_what_was_measured_is_said(files, measured, tmp_path, capsys):
    found = measure.main(files)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert measured[:9] == ["ours", "former", "starter"] * 3
    assert measured[9:13] == [("ours", 1), ("former", 1), ("ours", 2), ("former", 2)]
    # a build that has reached all targets waits for the others, which end where most_steps says
    assert measured[-1] == ("former", 10) and ("ours", 9) not in measured
    assert found["characters_per_second_ratio"] == pytest.approx(304 / 105)
    assert found["characters_per_cpu_second_ratio_starter"] == pytest.approx(304 / 56)
    assert found["seconds_to_20"] == {"ours": 22.0, "former": 88.0} and found["ratio_20"] == 4
    assert found["seconds_to_80"] == {"ours": 82.0} and "ratio_80" not in found
    assert found["cpu_seconds_to_20"] == {"ours": 44.0, "former": 176.0} and found["cpu_ratio_20"] == 4


def test_what_was_measured_is_not_measured_again(files, measured, tmp_path):
    first = measure.main(files)
    measured.clear()
    again = measure.main(files)
    assert not measured and again["runs"] == first["runs"]
    measure.main([*files, "--repeats", "4"])
    assert measured == ["ours", "former", "starter"]
    with pytest.raises(ValueError, match="seed"):
        measure.main([*files, "--seed", "1"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--systems", "ours", "theirs"], "--systems takes some of"),
        (["--systems", "ours", "ours"], "each once"),
        (["--systems", "ours"], "--former has no effect"),
        (["--former", "nowhere"], "no checkout"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--targets", "23"], "--targets must be"),
        (["--most_steps", "99"], "nobody is asked"),
        (["--corpus_path", "nowhere.txt"], "nowhere.txt does not exist"),
        (["--recipe", "nothing.yaml"], "--recipe nothing.yaml is not in"),
        (["--recipe", "cs224n_names_pretrain.yaml", "--parts", "speed"], "--recipe has no effect"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(files, measured, flags, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        measure.main([*files, *flags])
    assert not measured


def walk(clock, first, last, taken=0.01):
    """Steps of a run, with a batch before each, and slow things between them that are not to be counted."""
    state = SimpleNamespace(global_step=first)
    clock.on_train_begin(None, state, None)
    for step in range(first, last):
        time.sleep(taken)  # the batch
        clock.on_step_begin(None, state, None)
        state.global_step = step + 1
        clock.on_step_end(None, state, None)
        time.sleep(0.05)
        clock.on_evaluate(None, state, None)
        time.sleep(0.05)
        clock.on_save(None, state, None)


def test_the_clock_counts_batches_and_steps_alone_and_goes_on_when_resumed(tmp_path):
    file = tmp_path / "clock.json"
    walk(clocked.Clock(file, 0), 0, 5)
    steps = measure.read_clock(file)
    assert list(steps) == [1, 2, 3, 4, 5]
    assert steps[1][0] < 0.01 <= steps[2][0]  # the first batch of a process is not counted
    assert 4 * 0.01 <= steps[5][0] < 5 * 0.05
    walk(clocked.Clock(file, 0), 3, 6)  # from the checkpoint of step 3
    again = measure.read_clock(file)
    assert list(again) == [1, 2, 3, 4, 5, 6] and again[3] == steps[3] and again[6][0] > again[4][0]


def test_the_clock_stops_a_run_before_the_step_after(tmp_path):
    file = tmp_path / "clock.json"
    with pytest.raises(SystemExit):
        walk(clocked.Clock(file, 2), 0, 5)
    assert list(measure.read_clock(file)) == [1, 2]


@pytest.mark.parametrize("has_package", [True, False])
def test_a_build_is_imported_from_its_own_checkout_whatever_is_installed(tmp_path, monkeypatch, has_package):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "marker.py").write_text("WHERE = __file__\n", "utf-8")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "pretrain.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom closedbook.training.marker import WHERE\n"
        "Path(sys.argv[2]).write_text(WHERE)\n",
        "utf-8",
    )
    if has_package:
        (tmp_path / "closedbook").mkdir()
        (tmp_path / "closedbook" / "__init__.py").write_text("VERSION = 'former'\n", "utf-8")
    for name in [name for name in sys.modules if name.partition(".")[0] == "closedbook"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(clocked.trainer, "DEFAULT_CALLBACKS", [])
    said = tmp_path / "said"
    clocked.main([str(tmp_path), str(tmp_path / "clock.json"), "7", "scripts/pretrain.py", "--to", str(said)])
    assert Path(said.read_text("utf-8")) == tmp_path / "training" / "marker.py"
    assert getattr(sys.modules["closedbook"], "VERSION", None) == ("former" if has_package else None)
    (clock,) = clocked.trainer.DEFAULT_CALLBACKS
    assert clock.stop == 7
    for name in [name for name in sys.modules if name.partition(".")[0] == "closedbook"]:
        del sys.modules[name]  # monkeypatch puts back those of this process
