"""Several seeds of a variant put together, and the table of variants."""

import pytest

from closedbook.evaluation.reports.comparison import comparison_table, summarise_runs
from closedbook.evaluation.statistics.intervals import wilson_interval


def result(seed, correct, loss):
    return {
        "parameters": 3_323_392,
        "seed": seed,
        "n": 500,
        "correct": correct,
        "accuracy": correct / 500,
        "pretraining_loss": loss,
        "train_characters": 1000,
        "train_seconds": 10.0,
    }


def test_means_are_over_seeds_and_each_seed_is_kept():
    row = summarise_runs("vanilla", [result(0, 10, 2.0), result(1, 20, 2.5)])
    assert (row["n"], row["correct"], row["seeds"], row["accuracies"]) == (1000, 30, [0, 1], [0.02, 0.04])
    assert (row["pretraining_loss"], row["pretraining_losses"]) == (2.25, [2.0, 2.5])
    assert row["accuracy"] == pytest.approx(0.03)


def test_the_pooled_interval_is_narrower_than_that_of_the_questions_alone():
    row = summarise_runs("vanilla", [result(seed, 15, 2.0) for seed in range(3)])
    assert row["interval"] == list(wilson_interval(45, 1500))
    assert row["interval_questions"] == list(wilson_interval(15, 500))


def test_the_table_has_a_row_a_variant():
    rows = [summarise_runs(name, [result(0, 10, 2.0), result(1, 20, 2.5)]) for name in ("vanilla", "other")]
    lines = comparison_table(rows).splitlines()
    assert lines[2] == "| vanilla | 3,323,392 | 2.250 (2.000, 2.500) | 3.0% [2.1%, 4.3%] | 2 | 1,000 |"
    assert len(lines) == 4 and lines[3].startswith("| other |")
