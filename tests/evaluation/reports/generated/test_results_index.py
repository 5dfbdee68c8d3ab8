"""results/index.md tells of every file which command made it, from which commit, and is up to date."""

import json
from pathlib import Path

import pytest

from closedbook.evaluation.reports.generated.results_index import results_index

RESULTS = Path(__file__).resolve().parents[4] / "results"


def test_the_index_is_what_the_files_say_and_names_every_one():
    page = results_index(RESULTS)
    assert (RESULTS / "index.md").read_text(encoding="utf-8") == page
    files = [path for path in RESULTS.rglob("*") if path.is_file() and path.name != "index.md"]
    for path in files:
        assert f"]({path.relative_to(RESULTS).as_posix()})" in page


def test_every_record_has_a_command_and_what_is_drawn_of_it_stands_beside_it(tmp_path):
    (tmp_path / "probes").mkdir()
    runs = [{"seed": 1, "commit": "a" * 40, "command": "old"}, {"seed": 0, "commit": f"{'b' * 40}-dirty"}]
    runs[1] |= {"command": "python scripts/experiments/probe.py", "hardware": "one core"}
    (tmp_path / "probes" / "copy.json").write_text(json.dumps({"runs": runs}))
    for name in ("copy.md", "copy-luck.png"):
        (tmp_path / "probes" / name).touch()
    row = results_index(tmp_path).splitlines()[-1]
    assert row == (
        "| [copy.json](probes/copy.json), [copy-luck.png](probes/copy-luck.png), [copy.md](probes/copy.md) "
        "| `python scripts/experiments/probe.py` | `bbbbbbbb-dirty` | one core | 0, 1 |"
    )


def test_a_subject_that_nobody_described_is_refused(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "one.json").write_text("{}")
    with pytest.raises(ValueError, match="new is of no subject"):
        results_index(tmp_path)
