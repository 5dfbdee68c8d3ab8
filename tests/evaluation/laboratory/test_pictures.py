"""What the laboratory's pictures draw under a label is the figure of that name: rows of which no two numbers are
alike, so that exchanged curves, bars or labels cannot pass."""

from itertools import count

import pytest

from closedbook.evaluation.figures import new_figure
from closedbook.evaluation.laboratory import pictures


def drawn(figure: str, rows: list[dict]) -> dict[str, list[float]]:
    """Label of the legend -> heights under it."""
    axes = new_figure(5, 4).subplots()
    pictures._PICTURES[figure](axes, rows)
    found = {}
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        if hasattr(handle, "patches"):
            found[label] = [bar.get_height() for bar in handle.patches]
        else:
            line = handle[0] if isinstance(handle, tuple) else handle
            found[label] = [float(value) for value in line.get_ydata()]
    return found


def share(percent: float) -> dict:
    return {"accuracy": percent / 100, "interval": [(percent - 1) / 100, (percent + 1) / 100]}


def test_bars_of_attributes_are_under_their_names():
    rows = [
        {"attribute": "birth_place", "memorised": share(80), "answered": share(20)},
        {"attribute": "employer", "memorised": share(70), "answered": share(10)},
    ]
    found = drawn("attributes", rows)
    assert found == {"memorised": pytest.approx([80, 70]), "answered": pytest.approx([20, 10])}


def test_directions_of_the_reversal_are_under_their_names():
    rows = [
        {"objectives": name, "direction": direction, "answered": share(percent)}
        for (name, direction), percent in zip(
            [(name, direction) for name in ("a", "b") for direction in ("forward", "reverse")],
            (60, 5, 50, 40),
            strict=True,
        )
    ]
    found = drawn("reversal", rows)
    assert found["asked from person to value"] == pytest.approx([60, 50])
    assert found["asked from value to person"] == pytest.approx([5, 40])


def test_lines_of_mentions_are_under_their_names():
    rows = [{"mentions": n, "memorised": share(10 * n), "answered": share(5 * n)} for n in (1, 4)]
    assert drawn("frequency", rows) == {
        "memorised": pytest.approx([10, 40]),
        "answered": pytest.approx([5, 20]),
    }


def test_wordings_and_other_objectives_are_drawn_apart_and_under_their_names():
    numbers = count(10, 4)
    rows = [
        {"objectives": objectives, "wordings": wordings, "order": order}
        | {name: share(next(numbers)) for name in ("memorised", "answered")}
        | {"by_seed": {"memorised": [0.1], "answered": [0.2]}}
        for order in ("fixed", "shuffled")
        for objectives, wordings in (("a", 1), ("a", 4), ("a+b", 1), ("a+c", 1))
    ]
    found = drawn("wordings", rows)
    assert len(found) == 8
    for order in ("fixed", "shuffled"):
        for name in ("memorised", "answered"):
            own = [100 * row[name]["accuracy"] for row in rows if row["order"] == order]
            assert found[f"{name}, {order} order"] == pytest.approx(own[:2])
            assert found[f"{name}, other objectives, {order} order"] == pytest.approx(own[2:])


def test_parts_of_a_stack_are_under_their_names():
    row = {"n": 200, "both": 20, "memorised_only": 60, "answered_only": 10, "neither": 110}
    found = drawn("extraction", [row | {"wordings": 1, "order": "fixed"}])
    wanted = {"memorised and answered": 10, "memorised only": 30, "answered only": 5, "neither": 55}
    assert {label: heights[0] for label, heights in found.items()} == pytest.approx(wanted)


def test_what_is_learned_and_what_there_is_to_learn_are_told_apart():
    rows = [
        {"hidden_size": size, "exposures": times, "parameters": 10 * size}
        | {"bits_per_parameter": size / 100 + times / 10, "most_bits_per_parameter": size / 10}
        for size in (16, 24)
        for times in (1, 2)
    ]
    found = drawn("bits", rows)
    assert found["160 parameters"] == pytest.approx([0.26, 0.36])
    assert found["240 parameters"] == pytest.approx([0.34, 0.44])
    assert found["all there is to learn (1.60)"] == pytest.approx([1.6, 1.6])
