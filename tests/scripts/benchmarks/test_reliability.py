"""The benchmark that kills: its own counting, on few trials."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from closedbook.evaluation.reports.generated.reliability import reliability_block
from closedbook.scripts.benchmarks import reliability
from closedbook.scripts.benchmarks.reliability_inputs import KINDS, command, wrong_inputs


def test_it_kills_damages_and_mistypes_and_finds_nothing_lost(tiny, tmp_path):
    """In a process of its own: it forks, which a process with threads should not."""
    script = Path(reliability.__file__)
    flags = [
        "--kills",
        "1",
        "--inputs_every",
        "60",
        "--processes",
        "False",
        "--output",
        tmp_path / "reliability.json",
    ]
    done = subprocess.run(
        [sys.executable, script, *flags], env=tiny.environment(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result == json.loads((tmp_path / "reliability.json").read_text(encoding="utf-8"))
    assert result["not_right"] == []
    assert result["kills"]["tried"] == result["kills"]["survived"] == 1
    assert result["sigterm"] == {"tried": 1, "right": 1} == result["two_at_once"] == result["full_disk"]
    assert result["damage"]["planted"] == result["damage"]["found"] == 5
    assert result["wrong_inputs"]["refused_in_one_line"] == result["wrong_inputs"]["tried"] >= 5
    table = reliability_block(tmp_path)
    assert "Kills: 1 of 1 runs lost nothing." in table and "| SIGTERM | 1 | 1 |" in table


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    return wrong_inputs(folder, folder / "model")


def test_there_are_enough_wrong_inputs_of_every_script_and_kind(inputs):
    assert len(inputs) >= 150
    assert {item.script for item in inputs} == set(KINDS)
    assert len({item.what for item in inputs}) >= 10
    assert len({(item.script, item.flags) for item in inputs}) == len(inputs)


def test_a_wrong_input_stands_behind_what_makes_it_quick(inputs, tmp_path):
    for item in inputs:
        words = command(item.script, item.flags, tmp_path / "model", tmp_path / "run")
        assert words[len(words) - len(item.flags) :] == list(item.flags)
