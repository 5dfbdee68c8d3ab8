"""The README's tables on prompts, chains of thought and constructions say what the result files say."""

from pathlib import Path

import pytest

from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.reports.generated.prompting import (
    constructions_block,
    incontext_block,
    learning_in_context_block,
    luck_block,
    reasoning_block,
)

CHECKOUT = Path(__file__).resolve().parents[4]
LUCK = {"deviation": 0.05, "chance_deviation": 0.03, "luck_deviation": 0.04, "luck_interval": [0.01, 0.2]}


def arm(num_shots: int, selection: str, decoding: str, runs: list[float], order: str = "near_last") -> dict:
    exact = {"mean": sum(runs) / len(runs), "interval": [0.0, 0.5], "each_run": runs}
    return {
        "arm": {
            "num_shots": num_shots,
            "selection": selection if num_shots else "none",
            "order": order if num_shots > 1 else "none",
            "decoding": decoding,
            "num_sequences": 4 if decoding == "beam" else 1,
            "temperature": 1.0,
        },
        "draws": [[seed, 0] for seed in range(len(runs))],
        "metrics": {"answer_match": exact, "substring": {"mean": exact["mean"] + 0.125}},
        "spread": {"seeds": LUCK if len(runs) > 1 else None, "orders": None},
        "tokens_per_question": 6.4,
    }


@pytest.fixture
def results(tmp_path) -> Path:
    arms = [
        arm(0, "none", "greedy", [0.01]),
        arm(1, "random", "greedy", [0.02, 0.04]),
        arm(8, "random", "greedy", [0.1, 0.2, 0.3]),
        arm(8, "nearest", "greedy", [0.4]),
        arm(8, "nearest", "beam", [0.5]),
        arm(8, "nearest", "greedy", [0.9], order="near_first"),
    ]
    write_json_atomic(tmp_path / "incontext" / "smollm2.json", {"arms": arms})
    return tmp_path


def test_zero_shot_stands_before_every_selection_and_other_orders_are_left_out(results):
    lines = incontext_block(results).splitlines()
    assert (
        lines[0] == "| demonstrations, decoding | 0 shots | 1 shot | 8 shots | tokens | runs, lowest to highest |"
    )
    assert lines[2:] == [
        "| random, greedy | 1.0 [0, 50] | 3.0 [0, 50] | 20.0 [0, 50] | 6 | 3: 10 to 30 |",
        "| nearest, greedy | 1.0 [0, 50] |  | 40.0 [0, 50] | 6 | 1 |",
        "| nearest, beam 4 |  |  | 50.0 [0, 50] | 6 | 1 |",
    ]


def test_luck_is_shown_where_there_are_several_runs_with_the_most_shots(results):
    lines = luck_block(results).splitlines()
    assert len(lines) == 3
    assert lines[2].endswith("| seeds | 3 | 5.0 | 3.0 | 4.0 [1.0, 20.0] | +12.5 |")


@pytest.mark.skipif(not (CHECKOUT / "results").is_dir(), reason="runs in a checkout only")
@pytest.mark.parametrize(
    ("block", "words"),
    [
        (reasoning_block, ["worked steps, then answer", "8 steps *", "3,000,000 training characters"]),
        (learning_in_context_block, ["| vanilla |", "| perceiver-spread |", "shift, held out"]),
        (constructions_block, ["| copy |", "variance 0.5", "±"]),
    ],
)
def test_the_tables_are_made_of_the_files_that_are_shipped(block, words):
    text = block(CHECKOUT / "results")
    assert all(word in text for word in words)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) >= 4
