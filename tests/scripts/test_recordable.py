"""Whatever keeps a result refuses, before anything else, to add to the project's own from changed files."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from closedbook.__main__ import commands
from closedbook.evaluation import environment

SURFACE = Path(__file__).parents[1] / "surface" / "flags.txt"

# Command and flags, each with something that is refused, too, but later.
RECORDING = [
    ("ablation", ["--data", "nowhere", "--results", "results"]),
    ("compare", ["--data", "nowhere", "--results", "results"]),
    ("ask", ["--model", "nowhere", "--question_file", "nowhere", "--output", "results/new/one.csv"]),
    ("demo", ["--pretraining_steps", "-1", "--results", "results"]),
    ("evaluate", ["--model", "nowhere", "--results", "results"]),
    (
        "evaluate_incontext",
        [
            "--model",
            "nowhere",
            "--question_file",
            "nowhere",
            "--output_dir",
            "new",
            "--results",
            "results/new/one",
        ],
    ),
    (
        "evaluate_reasoning",
        [
            "--model",
            "nowhere",
            "--question_file",
            "nowhere",
            "--output_dir",
            "new",
            "--results",
            "results/new/one",
        ],
    ),
    ("explore_attention", ["constructions", "--draws", "0", "--output", "results/new/one"]),
    ("explore_attention", ["model", "--model", "nowhere", "--text", "Who?", "--output", "results/new/one"]),
    ("laboratory", ["extraction", "--quick", "true", "--output_dir", "new", "--results", "results"]),
    ("laboratory_incontext", ["--variants", "none", "--results", "results"]),
    ("laboratory_reasoning", ["--arms", "none", "--results", "results"]),
    ("learning_curve", ["--model", "nowhere", "--train_questions", "nowhere", "--results", "results"]),
    ("optimizer_speed", ["--repeats", "0", "--output", "results/new/one.json"]),
    ("page_speed", ["--model", "nowhere", "--question_file", "nowhere", "--output", "results/new/one.json"]),
    ("probe", ["--probes", "none", "--results", "results"]),
    ("promise", ["--draws", "0", "--output", "results/new/one.json"]),
    ("scale", ["--work_dir", "nowhere", "--steps", "0", "--output", "results/new.json"]),
    ("scale_processes", ["--steps", "0", "--output", "results/new.json"]),
    ("scale_questions", ["--rounds", "0", "--output", "results/new.json"]),
    ("time_to_knowledge", ["--corpus_path", "nowhere", "--output", "results/new.json"]),
    (
        "self_questions",
        ["--reader", "nowhere", "--train_questions", "nowhere", "--output", "new", "--results", "results/new/one"],
    ),
    ("report", ["--record", "nowhere", "--results", "results"]),
    ("benchmarks/answering", ["--questions", "nowhere", "--output", "results/new/one.json"]),
    ("benchmarks/architectures", ["--variants", "none", "--output", "results/new/one.json"]),
    ("benchmarks/confidence", ["--questions", "nowhere", "--output", "results/new/one.json"]),
    ("benchmarks/incontext", ["--question_file", "nowhere", "--output", "results/new/one.json"]),
    ("benchmarks/objectives", ["--corpus_path", "nowhere", "--output", "results/new/one.json"]),
    ("benchmarks/teach", ["--model", "nowhere", "--arms", "none", "--results", "results"]),
    ("benchmarks/reliability", ["--kills", "0", "--output", "results/new/one.json"]),
    ("benchmarks/training", ["--corpus_path", "nowhere", "--output", "results/new/one.json"]),
]
ONLY_READING = {
    "benchmarks/architecture_table",  # its --results is a file that it draws
}


@pytest.fixture
def changed_project(tmp_path, monkeypatch):
    """The working directory, taken for the checkout of the package: it has results, and a file that changed."""
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "environment.py").write_text("first = 1\n")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "one.json").write_text("{}\n")
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True)
    (tmp_path / "evaluation" / "environment.py").write_text("second = 2\n")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "evaluation" / "environment.py"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder):
    return sorted(path for path in folder.rglob("*") if ".git" not in path.parts)


def run(command, flags):
    module = commands()[command][0] if command in commands() else f"closedbook.scripts.{command.replace('/', '.')}"
    importlib.import_module(module).main(flags)


@pytest.mark.parametrize(("command", "flags"), RECORDING, ids=[f"{name} {flags[0]}" for name, flags in RECORDING])
def test_a_command_refuses_before_anything_else_to_record_from_changed_files(changed_project, command, flags):
    before = files(changed_project)
    with pytest.raises(ValueError, match=r"^results\S* belongs to .* but evaluation/environment.py changed"):
        run(command, flags)
    assert files(changed_project) == before


def test_what_is_drawn_of_results_may_be_drawn_at_any_time(changed_project):
    with pytest.raises(ValueError, match="there are no results in results"):
        run("report", ["--figures", "results/report"])


def test_no_command_that_keeps_results_is_left_out():
    lines = SURFACE.read_text(encoding="utf-8").splitlines()
    keeping = {line.split()[0] for line in lines if re.search(r" --(results|output) ", line)}
    assert keeping - ONLY_READING <= {command for command, _ in RECORDING}
    assert {"report", "explore_attention"} <= keeping
