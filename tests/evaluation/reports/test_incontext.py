"""Pictures of a sweep are drawn for few arms and for many, and every arm is in them."""

import struct

import numpy as np
import pytest
from matplotlib.figure import Figure

from closedbook.evaluation.prompting.incontext_arms import ArmRun
from closedbook.evaluation.prompting.incontext_summary import summarise_arms
from closedbook.evaluation.reports import incontext
from closedbook.evaluation.reports.incontext import draw_accuracy, draw_prompt_luck

GREEDY, BEAM, SAMPLE = ("greedy", 1), ("beam", 4), ("sample", 1)


def summary_of(shots, selections=("random",), orders=("near_last",), decodings=(GREEDY,), seeds=3):
    generator, runs = np.random.default_rng(0), {}
    for number in shots:
        for selection in selections if number else ("none",):
            for order in orders if number > 1 else ("none",):
                for decoding, sequences in decodings:
                    for seed in range(seeds if selection == "random" else 1):
                        arm = {"num_shots": number, "selection": selection, "order": order, "decoding": decoding}
                        arm |= {"num_sequences": sequences, "temperature": 1.0, "seed": seed, "order_seed": 0}
                        right = {"answer_match": (generator.random(20) < 0.2 + 0.05 * number).astype(float)}
                        runs[str(arm)] = ArmRun(
                            arm=arm,
                            source=str(arm),
                            rows=tuple(range(20)),
                            questions=("?",) * 20,
                            scores=right,
                            new_tokens=np.ones(20),
                            complete=np.ones(20, dtype=bool),
                            dropped=np.zeros(20),
                        )
    return summarise_arms(list(runs.values()))


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that were saved; saving goes on as ever."""
    figures, save = [], incontext.save_figure
    monkeypatch.setattr(
        incontext, "save_figure", lambda figure, path: (figures.append(figure), save(figure, path))
    )
    return figures


def bars(axes):
    """Numbers of error bars, a line of arms at a time."""
    return [len(container.lines[0].get_xdata()) for container in axes.containers]


@pytest.mark.parametrize(
    ("sweep", "panels"),
    [
        ({"shots": [0]}, {"": [1]}),
        ({"shots": [1]}, {"": [1]}),
        ({"shots": [0, 2], "decodings": (GREEDY, BEAM, SAMPLE)}, {"": [2, 2, 2]}),
        (
            {"shots": [0, 1, 2], "selections": ("random", "nearest", "bm25"), "decodings": (GREEDY, BEAM, SAMPLE)},
            {"greedy": [3] * 3, "beam 4": [3] * 3, "sample, T = 1": [3] * 3},
        ),
        (
            {"shots": [2], "selections": tuple("abcde"), "orders": ("x", "y"), "decodings": (GREEDY, BEAM)},
            {"x, greedy": [1] * 5, "y, greedy": [1] * 5, "x, beam 4": [1] * 5, "y, beam 4": [1] * 5},
        ),
    ],
    ids=["zero", "one", "decodings", "panels", "orders"],
)
def test_every_arm_is_in_the_picture(sweep, panels, drawn, tmp_path):
    draw_accuracy(summary_of(**sweep), tmp_path / "accuracy.png")
    found = {axes.get_title(loc="left"): bars(axes) for axes in drawn[0].axes if axes.containers}
    assert {frozenset(title.split(", ")): sorted(lines) for title, lines in found.items()} == {
        frozenset(title.split(", ")): sorted(lines) for title, lines in panels.items()
    }
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000


def test_heights_intervals_and_single_runs_are_those_of_the_summary(drawn, tmp_path):
    summary = summary_of([0, 4])
    draw_accuracy(summary, tmp_path / "accuracy.svg")
    axes = drawn[0].axes[0]
    means = [100 * arm["metrics"]["answer_match"]["mean"] for arm in summary["arms"]]
    (container,) = axes.containers
    assert list(container.lines[0].get_ydata()) == pytest.approx(means)
    ends = [segment[:, 1] for segment in container.lines[2][0].get_segments()]
    assert ends == [
        pytest.approx([100 * end for end in arm["metrics"]["answer_match"]["interval"]]) for arm in summary["arms"]
    ]
    marks = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 3 and line.get_alpha()]
    runs = [100 * value for value in summary["arms"][1]["metrics"]["answer_match"]["each_run"]]
    assert [list(mark) for mark in marks if len(mark)][-1] == pytest.approx(runs)


def test_the_luck_picture_has_a_row_for_every_arm_with_several_runs(drawn, tmp_path):
    path = tmp_path / "luck.png"
    draw_prompt_luck(summary_of([0, 2, 4], selections=("random", "nearest"), decodings=(GREEDY, BEAM)), path)
    labels = [label.get_text() for label in drawn[0].axes[0].get_yticklabels()]
    assert labels == [
        f"{n} shots, random, near last, {decoding}" for n in (2, 4) for decoding in ("greedy", "beam 4")
    ]
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert width == 1200 and height > 300


def test_without_several_runs_there_is_no_luck_to_draw(tmp_path):
    with pytest.raises(ValueError, match="no arm has two runs"):
        draw_prompt_luck(summary_of([0, 2], seeds=1), tmp_path / "luck.png")
