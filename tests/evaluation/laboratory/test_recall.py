"""Counting what was recalled, and showing it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from closedbook.data.generated.probes import PROBES, VOCABULARY_SIZE, ProbeExamples
from closedbook.evaluation.laboratory.recall import as_batch, count_recall, plot_recall, pool, recall, recall_table
from closedbook.evaluation.statistics.intervals import wilson_interval


class Knowing:
    """A model that has seen the examples: it tells the answers whose distance it may know, and else filler."""

    def __init__(self, examples, may_know):
        self.examples = {example.tokens: example for example in examples}
        self.may_know = may_know

    def __call__(self, input_ids, use_cache):
        logits = torch.zeros(*input_ids.shape, VOCABULARY_SIZE)
        for row, tokens in enumerate(input_ids.tolist()):
            example = self.examples[tuple(tokens)]
            for place, answer, distance in zip(example.places, example.answers, example.distances, strict=True):
                logits[row, place, answer if self.may_know(distance) else 0] = 1
        return SimpleNamespace(logits=logits)


@pytest.mark.parametrize("probe", PROBES)
def test_what_a_model_knows_is_counted_where_it_belongs(probe):
    examples = ProbeExamples(probe, 0, 64, 30)
    distances, sources, right = recall(Knowing(list(examples), lambda distance: distance <= 30), examples, 4)
    assert right == [distance <= 30 for distance in distances]
    assert 0 < sum(right) < len(right)
    assert sources == [source for example in examples for source in example.sources]
    _, _, right = recall(Knowing(list(examples), lambda distance: True), examples, 4)
    assert all(right)


def test_a_batch_points_at_every_question():
    examples = [ProbeExamples("copy", 0, 32, 5)[i] for i in range(5)]
    examples.append(replace(examples[0], places=(31,), answers=(7,), sources=(1,), distances=(9,)))
    ids, rows, places, answers = as_batch(examples)
    assert ids.shape == (6, 32)
    assert rows.tolist() == [row for row, example in enumerate(examples) for _ in example.places]
    assert (rows[-1], places[-1], answers[-1]) == (5, 31, 7)


def test_every_answer_is_counted_in_one_bucket():
    counted = count_recall([0, 7, 8, 15, 19], [True, False, True, True, False], block_size=20, width=8)
    assert counted == [
        {"from": 0, "to": 7, "n": 2, "correct": 1},
        {"from": 8, "to": 15, "n": 2, "correct": 2},
        {"from": 16, "to": 19, "n": 1, "correct": 0},
    ]


def run(seed, correct, variant="vanilla"):
    counted = [{"from": 0, "to": 7, "n": 10, "correct": correct}, {"from": 8, "to": 15, "n": 0, "correct": 0}]
    return {
        "variant": variant,
        "parameters": 1234,
        "seed": seed,
        "seconds": 2.0,
        "n": 10,
        "correct": correct,
        "accuracy": correct / 10,
        "by_distance": counted,
        "by_source": counted,
    }


def test_runs_are_pooled_answer_by_answer_and_keep_their_seeds_apart():
    pooled = pool([run(0, 2), run(1, 9)])
    assert (pooled["n"], pooled["correct"], pooled["accuracies"], pooled["seeds"]) == (20, 11, [0.2, 0.9], [0, 1])
    assert pooled["interval"] == list(wilson_interval(11, 20))
    assert pooled["by_distance"][0]["interval"] == pooled["interval"]
    assert pooled["by_distance"][1]["accuracy"] is None  # nothing was asked there


def test_the_table_has_a_row_a_variant_and_no_column_where_nothing_was_asked():
    table = recall_table([pool([run(0, 2), run(1, 9)]), pool([run(0, 10, "perceiver-last")])], "8 a bucket")
    assert "| vanilla | 1,234 | 55.0 [34.2, 74.2] | 20.0, 90.0 | 55 |" in table
    assert table.count("| perceiver-last |") == 2  # by distance and by place
    assert "0-7" in table and "8-15" not in table


def test_the_picture_is_a_png(tmp_path):
    plot_recall([pool([run(0, 2)]), pool([run(0, 3, "other")])], "copy", tmp_path / "new" / "copy.png")
    assert (tmp_path / "new" / "copy.png").read_bytes().startswith(b"\x89PNG")
