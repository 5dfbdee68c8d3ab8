"""Every metric travels as one folder that needs neither this package nor a network; one spelling for all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import warm

import closedbook.evaluation

METRICS = Path(closedbook.evaluation.__file__).parent / "metrics"
ANSWERS = {"predictions": ["the river Thames", "Rome"], "references": [["Thames", "the Isis"], ["Rome"]]}
VERDICTS = {"predictions": [0.75, 0.25], "references": [1, 0]}
CASES = {
    "answer_f1": (ANSWERS, {"answer_f1": (2 / 3 + 1) / 2, "n": 2}),
    "answer_match": (ANSWERS, {"answer_match": 0.5, "correct": 1, "n": 2}),
    "contains_answer": (ANSWERS, {"contains_answer": 1.0, "correct": 2, "n": 2}),
    "exact_match": (ANSWERS, {"exact_match": 0.5, "correct": 1, "n": 2}),
    "calibration_error": (VERDICTS, {"expected_calibration_error": 0.25, "brier": 0.0625, "n": 2}),
    "selective_accuracy": (
        VERDICTS,
        {"aurc": 0.25, "accuracy_at": {"0.5": 1.0, "0.8": 0.5, "0.95": 0.5}, "answered": 1.0, "n": 2},
    ),
}
LOAD = """
import json, sys
sys.modules["closedbook"] = None  # whoever imports it fails
import evaluate
found = {}
for name, (sample, _) in json.loads(sys.argv[2]).items():
    for path in (f"{sys.argv[1]}/{name}", f"{sys.argv[1]}/{name}/{name}.py"):
        found[path] = evaluate.load(path, cache_dir="cache").compute(**sample)
print(json.dumps(found))
"""
FORBIDDEN = ("evaluate", "datasets", "torch", "transformers", "scipy", "matplotlib")


def in_a_fresh_process(code: str, *words: str, folder: Path) -> str:
    home = {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    process = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=folder,
        env=os.environ | home,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_every_metric_is_tried():
    assert {path.parent.name for path in METRICS.glob("*/README.md")} == CASES.keys()


def test_a_copied_folder_loads_offline_without_the_package_by_its_folder_and_by_its_file(tmp_path):
    shutil.copytree(METRICS, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("__pycache__"))
    modules = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = warm.run(["-c", LOAD, "elsewhere", json.dumps(CASES)], cwd=tmp_path, env=modules)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, (_, expected) in CASES.items():
        assert [found[f"elsewhere/{name}{file}"] for file in ("", f"/{name}.py")] == [expected] * 2


def test_answers_are_normalised_by_one_file_in_all_folders_that_need_it():
    copies = sorted(METRICS.glob("*/normalisation.py"))
    assert [path.parent.name for path in copies] == ["answer_f1", "answer_match", "contains_answer"]
    assert len({path.read_bytes() for path in copies}) == 1


def test_the_arithmetic_is_imported_without_the_library(tmp_path):
    plain = [
        f"closedbook.evaluation.metrics.{path.parent.name}.{path.stem}"
        for path in sorted(METRICS.glob("*/*.py"))
        if path.stem not in (path.parent.name, "__init__")
    ]
    assert len(plain) == 9
    code = f"import sys, {', '.join(plain)}\nprint(*(name for name in {FORBIDDEN} if name in sys.modules))"
    assert in_a_fresh_process(code, folder=tmp_path).split() == []
