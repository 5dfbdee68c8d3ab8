"""The benchmark of optimizer steps sets ours beside torch's; how fast either is, no test asserts."""

import json

import pytest

from closedbook.training.experiments import optimizer_speed as optimizer

pytestmark = pytest.mark.usefixtures("leave_threads_as_they_were")


def test_each_size_has_its_seconds_and_ratios(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(optimizer, "SIZES", ((16, 1),))
    output = tmp_path / "new" / "optimizer.json"
    returned = optimizer.main(["--repeats", "1", "--output", str(output)])
    assert (
        json.loads(capsys.readouterr().out.splitlines()[-1]) == returned == json.loads(output.read_text("utf-8"))
    )
    entry = returned["sizes"]["1 x 16"]
    seconds = entry["seconds"]
    assert seconds.keys() == {"torch", "float32", "bfloat16"} and min(seconds.values()) > 0
    assert entry["ratio"] == pytest.approx(seconds["torch"] / min(seconds["float32"], seconds["bfloat16"]))
    assert entry["ratio_float32"] == pytest.approx(seconds["torch"] / seconds["float32"])


def test_a_count_below_one_is_refused():
    with pytest.raises(ValueError, match="--repeats must be at least 1, got 0"):
        optimizer.main(["--repeats", "0"])
