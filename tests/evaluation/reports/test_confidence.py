"""Pictures of confidence hold the numbers that they are given, in per cent."""

import pytest

from closedbook.evaluation.figures import data_uri
from closedbook.evaluation.knowing.provenance import summarise_invented, summarise_provenance
from closedbook.evaluation.reports.confidence import (
    invented_figure,
    provenance_figure,
    reliability_figure,
    risk_coverage_figure,
)
from closedbook.evaluation.statistics.intervals import wilson_interval

CONFIDENCES = (0.95, 0.7, 0.55, 0.2)


def prediction(confidence, provenance="unseen", correct=False) -> dict:
    return {"question": "q", "confidence": confidence, "provenance": provenance, "correct": correct}


@pytest.fixture
def invented() -> dict:
    return summarise_invented([prediction(confidence) for confidence in CONFIDENCES], threshold=0.6)


def test_bins_are_drawn_at_their_confidence_and_accuracy_with_intervals():
    bins = [{"confidence": 0.2, "accuracy": 0.5, "interval": wilson_interval(5, 10)}]
    (axes,) = reliability_figure({"length_normalised": bins}).axes
    (drawn,) = axes.containers
    assert drawn.lines[0].get_xydata().tolist() == [[20.0, 50.0]]
    ends = drawn.lines[2][0].get_segments()[0][:, 1]
    assert ends.tolist() == pytest.approx([100 * end for end in wilson_interval(5, 10)])
    assert "length normalised" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_risk_is_drawn_over_coverage_and_the_threshold_is_marked():
    (axes,) = risk_coverage_figure({"margin": [(0.5, 0.1), (1.0, 0.4)]}, [(0.5, 0.1, "threshold")]).axes
    assert axes.lines[0].get_xydata().tolist() == [[50.0, 10.0], [100.0, 40.0]]
    assert axes.lines[1].get_xydata().tolist() == [[50.0, 10.0]]
    assert "%" in axes.get_xlabel() and "%" in axes.get_ylabel()


def test_invented_people_are_shown_without_and_with_abstention(invented):
    (axes,) = invented_figure({"vanilla": invented}).axes
    shown = sorted(container.lines[0].get_xdata()[0] for container in axes.containers)
    assert shown == [50.0, 50.0, 75.0, 100.0]  # with abstention at 0.6 two of four are left, both confident
    labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert labels == ["an answer with confidence of 50% or more", "any answer"]


def test_several_runs_are_told_apart_by_name(invented):
    (axes,) = invented_figure({"plain": invented, "with unknown": invented}).axes
    assert [label.get_text().split(":")[0] for label in axes.get_yticklabels()] == ["with unknown"] * 2 + [
        "plain"
    ] * 2


def test_every_class_of_provenance_has_a_row_with_its_size():
    rows = [prediction(0.9, "stated", True), prediction(0.3, "stated"), prediction(0.5)]
    (axes,) = provenance_figure(summarise_provenance(rows, threshold=0.6)).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [label.split("\n")[1] for label in labels] == ["(n = 1)", "(n = 2)"]
    confidences = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D")
    assert confidences == pytest.approx([50.0, 60.0])


def test_a_class_without_known_answers_has_no_point_for_them():
    rows = [prediction(0.5, "unseen", None)]
    assert data_uri(provenance_figure(summarise_provenance(rows))).startswith("data:image/svg+xml;base64,")


def places(axes) -> dict[str, float]:
    """Label of the legend -> where its mark stands, in per cent."""
    pairs = zip(*axes.get_legend_handles_labels(), strict=True)
    return {
        label: float((handle[0] if isinstance(handle, tuple) else handle).get_xdata()[0])
        for handle, label in pairs
    }


def test_what_is_drawn_under_a_label_is_the_figure_of_that_name(invented):
    (axes,) = invented_figure({"vanilla": invented}).axes
    # the labelled row: of four, three are answered with 50% or more, two of them with abstention at 0.6
    assert places(axes) == pytest.approx({"without abstention": 75, "with abstention": 50})
    rows = [prediction(0.9, "stated", True), *(prediction(value, "stated") for value in (0.1, 0.5, 0.2, 0.8))]
    (axes,) = provenance_figure(summarise_provenance(rows, threshold=0.6)).axes
    wanted = {"right answers": 20, "mean confidence": 50, "not answered (abstention)": 60}
    assert places(axes) == pytest.approx(wanted)
