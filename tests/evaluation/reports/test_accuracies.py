"""Pictures hold the numbers of the result files and logs, and are files that a reader can open."""

import json
import os

import pytest
from matplotlib.image import imread

from closedbook.evaluation.figures import data_uri, save_figure
from closedbook.evaluation.files import write_json_atomic
from closedbook.evaluation.reports import accuracies as module
from closedbook.evaluation.reports.accuracies import (
    accuracy_figure,
    learning_figure,
    plot_stages,
    read_curve,
    read_log_history,
)
from closedbook.evaluation.results import make_result
from closedbook.evaluation.run_record import Run
from closedbook.evaluation.statistics.intervals import wilson_interval

LOG_HISTORY = [
    {"step": 10, "epoch": 0.5, "loss": 3.2, "learning_rate": 0.001},
    {"step": 20, "epoch": 1.0, "loss": 2.1, "learning_rate": 0.0005},
    {"step": 20, "epoch": 1.0, "eval_loss": 2.4},
    {"step": 20, "eval_exact_match": 0.25},
    {"step": 20, "train_runtime": 12.0, "train_loss": 2.65},
]
PRETRAINED = {"stage": "pretrain", "seed": 1, "steps": 20, "train_characters": 1000, "recipe": "p.yaml"}
FINETUNED = {"stage": "finetune", "seed": 1, "steps": 20, "train_characters": 200, "recipe": "f.yaml"}


def result(model="vanilla", protocol="two_stage", seed=0, correct=100, **changes) -> dict:
    measured = {"task": "cs224n", "split": "dev", "parameters": 3_323_392, "recipe": "reference", "n": 500}
    measured |= {"train_characters": 272_000_000, "train_seconds": 60.0}
    return make_result(model=model, protocol=protocol, seed=seed, correct=correct, **measured | changes)


@pytest.fixture(scope="module")
def results() -> list[dict]:
    return [
        result(seed=1, correct=110),
        result(seed=0, correct=100),
        result("always-London", "majority", correct=25, parameters=0, train_characters=0),
        result(split="test", correct=1),
    ]


@pytest.fixture
def run_folder(tmp_path):
    """Two stages in two folders, and the run file of the second."""
    for name, run in (("first", PRETRAINED), ("second", FINETUNED)):
        write_json_atomic(tmp_path / name / "run.json", run)
        write_json_atomic(tmp_path / name / "trainer_state.json", {"log_history": LOG_HISTORY})
    run = FINETUNED | {"pretraining": PRETRAINED, "base_model": "first"}
    return tmp_path / "second", Run.from_json(run)


def test_points_and_error_bars_are_the_accuracies_and_their_intervals(results):
    (axes,) = accuracy_figure(results[1:3]).axes
    points = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert points == pytest.approx([5.0, 20.0])
    for container, correct in zip(axes.containers, (25, 100), strict=True):
        ends = container.lines[2][0].get_segments()[0][:, 0]
        assert sorted(ends) == pytest.approx([100 * end for end in wilson_interval(correct, 500)])
    assert [label.get_text() for label in axes.get_yticklabels()] == ['always "London"', "vanilla, two stages"]


def test_published_numbers_become_lines_at_their_best_run(results):
    published = {
        "systems": [{"system": "x", "accuracy": [0.1, 0.3]}],
        "ceiling": {"correct": 19, "n": 20, "meaning": "m"},
    }
    plain, (axes,) = accuracy_figure(results[:1]).axes[0], accuracy_figure(results[:1], published).axes
    lines = {line.get_label(): line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"}
    assert lines == {"x: 30.0%": 30.0, "ceiling: 95.0%": 95.0}
    assert len(axes.lines) == len(plain.lines) + 2


@pytest.mark.parametrize("chosen", [slice(0, 0), slice(2, 4)])
def test_an_accuracy_picture_of_nothing_or_of_different_splits_is_refused(results, chosen):
    with pytest.raises(ValueError, match="one task and split"):
        accuracy_figure(results[chosen])


def test_a_picture_is_written_as_its_ending_says(tmp_path, results):
    figure = accuracy_figure(results[:3])
    save_figure(figure, tmp_path / "plots" / "a.png")
    save_figure(figure, tmp_path / "plots" / "a.svg")
    image = imread(tmp_path / "plots" / "a.png")
    assert image.ndim == 3 and image.std() > 0
    assert "<svg" in (tmp_path / "plots" / "a.svg").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        save_figure(figure, tmp_path / "plots" / "a.jpg")
    assert sorted(os.listdir(tmp_path / "plots")) == ["a.png", "a.svg"]


def test_the_same_picture_has_the_same_address(results):
    assert data_uri(accuracy_figure(results[:3])) == data_uri(accuracy_figure(results[:3]))
    assert data_uri(accuracy_figure(results[:3])) != data_uri(accuracy_figure(results[:2]))


def test_stages_and_accuracies_are_drawn_in_one_picture(tmp_path):
    chosen = [result(), result("vanilla", "no_pretraining", correct=5)]
    plot_stages({"pretraining": LOG_HISTORY, "fine-tuning": LOG_HISTORY}, chosen, tmp_path / "stages.png")
    assert imread(tmp_path / "stages.png").shape[1] > 500


def test_every_stage_of_the_picture_shows_its_own_losses_under_its_own_name(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(module, "save_figure", lambda figure, path: drawn.append(figure))
    later = [{"step": 5, "loss": 0.7}, {"step": 9, "loss": 0.4}]
    plot_stages({"pretraining": LOG_HISTORY, "fine-tuning": later}, [result(), result("always-London")], "x.png")
    panels = {axes.get_title(loc="left"): axes for axes in drawn[0].axes}
    losses = {
        title: [line.get_xydata().tolist() for line in axes.lines if len(line.get_xdata()) == 2]
        for title, axes in panels.items()
    }
    first = next(values for title, values in losses.items() if "pretraining" in title)
    second = next(values for title, values in losses.items() if "fine-tuning" in title)
    assert [[10, 3.2], [20, 2.1]] in first and [[5, 0.7], [9, 0.4]] not in first
    assert [[5, 0.7], [9, 0.4]] in second and [[10, 3.2], [20, 2.1]] not in second


def test_a_file_that_is_no_trainer_state_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json holds no log_history"):
        read_log_history(tmp_path / "config.json")


def test_a_curve_counts_characters_through_both_stages(run_folder):
    curve = read_curve(*run_folder)
    assert curve["missing"] == []
    assert curve["loss"] == [[500, 3.2, 0], [1000, 2.1, 0], [1100, 3.2, 1], [1200, 2.1, 1]]
    assert curve["eval_loss"] == [[1000, 2.4, 0], [1200, 2.4, 1]]
    assert curve["accuracy"] == [[1000, 0.25, 0], [1200, 0.25, 1]]
    assert [(stage["begin"], stage["end"]) for stage in curve["stages"]] == [(0, 1000), (1000, 1200)]
    assert json.loads(json.dumps(curve)) == curve


def test_a_first_stage_that_is_gone_or_another_one_is_told_and_left_out(run_folder):
    folder, run = run_folder
    write_json_atomic(folder.parent / "first" / "run.json", PRETRAINED | {"seed": 2})
    curve = read_curve(folder, run)
    assert curve["missing"] == ["the log of stage 1, pretrain, is not beside second"]
    assert curve["loss"] == [[1100, 3.2, 1], [1200, 2.1, 1]]


def test_a_first_stage_is_found_where_the_run_says_it_started(run_folder, tmp_path):
    folder, run = run_folder
    (folder.parent / "first").rename(tmp_path / "moved")
    run = run.with_last(arguments={"model": str(tmp_path / "moved")})
    assert read_curve(folder, run)["missing"] == []


def test_an_unfinished_run_has_no_curve(run_folder):
    folder, run = run_folder
    with pytest.raises(ValueError, match="is it finished"):
        read_curve(folder, run.with_last(train_characters=None))


def test_the_learning_picture_holds_accuracy_and_loss_of_every_stage(run_folder):
    curve = read_curve(*run_folder)
    accuracy, loss = learning_figure([curve]).axes
    drawn = [line.get_xydata().tolist() for line in accuracy.lines if line.get_linestyle() == "-"]
    assert drawn == [[[0.001, 25.0]], [[0.0012, 25.0]]]
    assert [line.get_ydata().tolist() for line in loss.lines if line.get_linestyle() == "-"] == [[3.2, 2.1]] * 2
    assert [line.get_ydata().tolist() for line in loss.lines if line.get_linestyle() == "--"] == [[2.4]] * 2
    labels = {line.get_label(): list(line.get_ydata()) for line in loss.lines}
    assert labels[f"{curve['name']}, training"] == [3.2, 2.1] and labels[f"{curve['name']}, evaluation"] == [2.4]
    assert "characters" in loss.get_xlabel() and "nats a character" in loss.get_ylabel()


def test_a_log_without_accuracy_has_one_panel_and_one_without_anything_is_refused(run_folder):
    curve = read_curve(*run_folder) | {"accuracy": []}
    assert len(learning_figure([curve]).axes) == 1
    with pytest.raises(ValueError, match="hold no loss"):
        learning_figure([curve | {"loss": [], "eval_loss": []}])
