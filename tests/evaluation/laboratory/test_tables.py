"""What the laboratory says of its arms: rows that add up, tables, and pictures of every kind."""

import struct

import pytest

from closedbook.evaluation.laboratory.pictures import draw
from closedbook.evaluation.laboratory.tables import FIGURES, summarise, table
from closedbook.evaluation.statistics.intervals import wilson_interval


def cell(n, memorised=True, answered=True, **more):
    defaults = {"direction": "forward", "attribute": "employer", "mentions": None}
    return defaults | {"n": n, "memorised": memorised, "answered": answered} | more


def arm(cells=(), parameters=1000, knowledge=None, **settings):
    defaults = {"wordings": 1, "order": "fixed", "objectives": "left_to_right", "hidden_size": 16, "exposures": 10}
    defaults["seed"] = 0
    return {"arm": defaults | settings, "cells": list(cells), "parameters": parameters, "knowledge": knowledge}


def knowledge(bits, most=100.0, parameters=1000):
    rates = {"bits_per_parameter": bits / parameters, "most_bits_per_parameter": most / parameters}
    return {"bits": bits, "most_bits": most} | rates


RESULTS = {
    "attributes": [arm([cell(3), cell(1, answered=False), cell(5, attribute="birth_date", answered=False)])],
    "extraction": [arm([cell(2), cell(1, False, False)]), arm([cell(4, True, False)], order="shuffled")],
    "wordings": [
        arm([cell(4, True, False)]),
        arm([cell(4)], wordings=8, order="shuffled"),
        arm([cell(4)], objectives="left_to_right+entity_cue"),
    ],
    "reversal": [
        arm([cell(4), cell(3, answered=False, direction="reverse")]),
        arm([cell(4), cell(3, direction="reverse")], objectives="left_to_right+reversed_order"),
    ],
    "frequency": [arm([cell(4, mentions=64), cell(4, False, False, mentions=1), cell(2, mentions=8)])],
    "bits": [
        arm(knowledge=knowledge(20.0)),
        arm(knowledge=knowledge(40.0), seed=1),
        arm(knowledge=knowledge(80.0), exposures=100),
    ],
}


def test_facts_are_counted_over_attributes_and_seeds():
    rows = summarise("wordings", [arm([cell(3), cell(1, answered=False, attribute="x")]), arm([cell(4)], seed=1)])
    assert [(row["wordings"], row["order"], row["n"], row["both"]) for row in rows] == [(1, "fixed", 8, 7)]
    assert rows[0]["answered"] == {
        "correct": 7,
        "n": 8,
        "accuracy": 7 / 8,
        "interval": list(wilson_interval(7, 8)),
    }


def test_what_each_seed_says_stays_apart():
    first, second = [cell(3), cell(1, False, False)], [cell(1, answered=False), cell(3)]
    (row,) = summarise("wordings", [arm(second, seed=7), arm(first, seed=5)])
    assert row["by_seed"] == {"seeds": [5, 7], "memorised": [0.75, 1.0], "answered": [0.75, 0.75]}
    (row,) = summarise("wordings", [arm(first, seed=5), arm([cell(4, answered=False)], seed=7)])
    assert row["by_seed"]["answered"] == [0.75, 0.0]
    assert table("wordings", [row]).splitlines()[-1].endswith("| 75.0, 0.0 |")


def test_other_objectives_are_rows_of_their_own():
    rows = summarise("wordings", [arm([cell(4)]), arm([cell(4, answered=False)], objectives="a+b")])
    assert [(row["objectives"], row["answered"]["correct"]) for row in rows] == [("left_to_right", 4), ("a+b", 0)]


def test_directions_and_groups_are_kept_apart():
    rows = summarise("reversal", RESULTS["reversal"])
    assert [(row["direction"], row["answered"]["correct"], row["n"]) for row in rows] == [
        *[("forward", 4, 4), ("reverse", 0, 3)],
        *[("forward", 4, 4), ("reverse", 3, 3)],
    ]
    assert [row["mentions"] for row in summarise("frequency", RESULTS["frequency"])] == [1, 8, 64]


def test_bits_are_means_over_seeds():
    rows = summarise("bits", RESULTS["bits"])
    assert [(row["exposures"], row["bits"], row["runs"]) for row in rows] == [(10, 30.0, 2), (100, 80.0, 1)]
    assert rows[0]["each_run"] == [0.02, 0.04]


@pytest.mark.parametrize(
    ("figure", "line"),
    [
        ("attributes", "| employer | 4 | 100.0 [51.0, 100.0] | 75.0 [30.1, 95.4] | 75.0 [30.1, 95.4] | 75.0 |"),
        ("extraction", "| 1 | fixed | 3 | 2 | 0 | 0 | 1 | 100.0 [34.2, 100.0] |"),
        ("frequency", "| 1 | 4 | 0.0 [0.0, 49.0] | 0.0 [0.0, 49.0] | - | 0.0 |"),
        ("bits", "| 16 | 100 | 1,000 | 80 | 100 | 0.080 | 0.100 | 80.0% |"),
    ],
)
def test_a_table_says_what_its_rows_say(figure, line):
    text = table(figure, summarise(figure, RESULTS[figure]))
    assert line in text.splitlines()
    columns = {row.count("|") for row in text.splitlines() if row.startswith("|")}
    assert len(columns) == 1


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_drawn(figure, tmp_path):
    path = tmp_path / "figure.png"
    draw(figure, summarise(figure, RESULTS[figure]), path)
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert (width, height) == (1125, 750)
    draw(figure, summarise(figure, RESULTS[figure][:1]), path)  # as after the first arm of a run
