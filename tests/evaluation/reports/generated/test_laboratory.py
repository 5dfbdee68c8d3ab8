"""The table of the laboratory's leading figure says what the two result files say."""

from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.reports.generated.laboratory import wordings_block


def arm(wordings: int, answered: list[float], **more: str) -> dict:
    mean = sum(answered) / len(answered)
    return {
        "wordings": wordings,
        "memorised": {"accuracy": 1 - mean / 10, "interval": [0, 1]},
        "answered": {"accuracy": mean, "interval": [mean - 0.01, mean + 0.02]},
        "by_seed": {"answered": answered},
    } | more


def test_every_arm_has_a_line_with_its_readings_and_its_seeds(tmp_path):
    common = {"finished_arms": 2, "hardware": "an abacus"}
    common["results"] = [{"parameters": 1234, "processor_seconds": seconds} for seconds in (60.0, 90.0)]
    files = {
        "wordings": [arm(1, [0.1, 0.3], objectives="a"), arm(1, [0.7, 0.9], objectives="a+b")],
        "extraction": [arm(16, [0.5, 0.6])],
    }
    for number, (name, rows) in enumerate(files.items(), 1):
        settings = {"objectives": ["a"], "exposures": [96 * number]}
        write_json_atomic(tmp_path / "laboratory" / f"{name}.json", common | {"rows": rows, "settings": settings})
    text = wordings_block(tmp_path)
    assert text.splitlines()[2:5] == [
        "| left to right | 1 | 96 | 98.0 | 20.0 [19.0, 22.0] | 10, 30 |",
        "| with `b` | 1 | 96 | 92.0 | 80.0 [79.0, 82.0] | 70, 90 |",
        "| left to right | 16 | 192 | 94.5 | 55.0 [54.0, 57.0] | 50, 60 |",
    ]
    assert text.count("2 models of 1,234 parameters, 2 core minutes") == 2 and "an abacus" in text
