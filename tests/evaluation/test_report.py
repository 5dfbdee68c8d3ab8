"""Reports show the numbers of the result files, and plots are files that a reader can open."""

import json
import os

import pytest
from matplotlib.image import imread

from closedbook.evaluation import report as module
from closedbook.evaluation.intervals import wilson_interval
from closedbook.evaluation.report import (
    main,
    plot_accuracies,
    plot_run,
    plot_stages,
    read_log_history,
    results_table,
    summarize,
)
from closedbook.evaluation.results import make_result, result_path, write_json_atomic

LOG_HISTORY = [
    {"step": 10, "epoch": 0.5, "loss": 3.2, "learning_rate": 0.001},
    {"step": 20, "epoch": 1.0, "loss": 2.1, "learning_rate": 0.0005},
    {"step": 20, "epoch": 1.0, "eval_loss": 2.4},
    {"step": 20, "train_runtime": 12.0, "train_loss": 2.65},
]


def result(model="vanilla", protocol="two_stage", seed=0, correct=100, **changes) -> dict:
    measured = {
        "task": "cs224n",
        "split": "dev",
        "parameters": 3_323_392,
        "recipe": "reference",
        "n": 500,
        "train_characters": 272_000_000,
        "train_seconds": 60.0,
    }
    return make_result(model=model, protocol=protocol, seed=seed, correct=correct, **measured | changes)


@pytest.fixture(scope="module")
def results() -> list[dict]:
    return [
        result(seed=1, correct=110),
        result(seed=0, correct=100),
        result(seed=2, correct=92),
        result("always_London", "majority", correct=25, parameters=0, train_characters=0),
        result(split="test", correct=1),
    ]


def test_a_single_seed_is_shown_with_its_interval(results):
    (row,) = [line for line in results_table(results).splitlines() if "London" in line]
    assert row == "| always_London | majority | 0 | 5.0% [3.4%, 7.3%] | 1 | 500 | 0 |"


def test_several_seeds_become_one_row_with_their_mean_and_spread(results):
    rows = [line for line in results_table(results).splitlines() if "two stage" in line]
    low, high = wilson_interval(101, 500)  # the mean of 110, 100 and 92 is 100.67
    assert rows[0] == (
        f"| vanilla | two stage | 3,323,392 | 20.1% [{low:.1%}, {high:.1%}] | 3 (18.4% to 22.0%) | 500 "
        "| 272,000,000 |"
    )


def test_more_seeds_do_not_make_the_interval_narrower(results):
    one, three = result(seed=0, correct=100), [result(seed=seed, correct=100) for seed in range(3)]
    assert summarize([one])[0].interval == summarize(three)[0].interval


def test_every_task_and_split_has_its_own_heading_and_rows_are_ordered_by_accuracy(results):
    lines = results_table(results).splitlines()
    assert [line for line in lines if line.startswith("#")] == ["### cs224n, dev", "### cs224n, test"]
    assert [s.accuracies for s in summarize(results)] == [(0.05,), (0.2, 0.22, 0.184), (0.002,)]
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert len(widths) == 1


def test_two_results_of_one_system_and_seed_are_refused(results):
    with pytest.raises(ValueError, match="share a seed"):
        summarize([results[0], results[0]])


def test_the_accuracy_plot_is_an_image(tmp_path, results):
    plot_accuracies(results[:4], tmp_path / "plots" / "accuracy.png")
    image = imread(tmp_path / "plots" / "accuracy.png")
    assert image.ndim == 3 and image.std() > 0
    assert os.listdir(tmp_path / "plots") == ["accuracy.png"]


@pytest.mark.parametrize("chosen", [slice(0, 0), slice(3, 5)])
def test_an_accuracy_plot_of_nothing_or_of_different_splits_is_refused(tmp_path, results, chosen):
    with pytest.raises(ValueError, match="one task and split"):
        plot_accuracies(results[chosen], tmp_path / "accuracy.png")
    assert os.listdir(tmp_path) == []


def test_a_run_is_drawn_from_the_trainers_own_state_file(tmp_path):
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": LOG_HISTORY}))
    plot_run(read_log_history(tmp_path / "trainer_state.json"), tmp_path / "run.png", title="vanilla")
    assert imread(tmp_path / "run.png").std() > 0


def test_the_curves_hold_the_logged_losses_and_rates(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(module, "_save", lambda figure, path: figures.append(figure))
    plot_run(LOG_HISTORY, tmp_path / "run.png")
    losses, rates = figures[0].axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in losses.lines}
    assert curves == {"training": [[10, 3.2], [20, 2.1]], "evaluation": [[20, 2.4]]}
    assert rates.lines[0].get_xydata().tolist() == [[10, 0.001], [20, 0.0005]]


def test_bars_and_error_bars_are_the_accuracies_and_their_intervals(tmp_path, results, monkeypatch):
    figures = []
    monkeypatch.setattr(module, "_save", lambda figure, path: figures.append(figure))
    plot_accuracies(results[1:2] + results[3:4], tmp_path / "accuracy.png")
    (axes,) = figures[0].axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([5.0, 20.0])
    ends = [container.errorbar.lines[2][0].get_segments()[0][:, 0] for container in axes.containers[1::2]]
    expected = [[100 * end for end in wilson_interval(correct, 500)] for correct in (25, 100)]
    for found, wanted in zip(ends, expected, strict=True):
        assert sorted(found) == pytest.approx(wanted)


def test_a_run_without_learning_rates_or_evaluation_still_has_a_plot(tmp_path):
    plot_run([{"step": 1, "loss": 2.0}], tmp_path / "run.png")
    assert (tmp_path / "run.png").exists()


def test_a_log_without_losses_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no loss"):
        plot_run([{"step": 20, "train_loss": 2.65}], tmp_path / "run.png")


def test_a_file_that_is_no_trainer_state_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json holds no log_history"):
        read_log_history(tmp_path / "config.json")


def test_the_command_writes_the_table_and_a_plot_for_every_split(tmp_path, results, capsys):
    for row in results:
        folder = tmp_path / "results"
        name = "vanilla_test" if row["split"] == "test" else row["model"]
        write_json_atomic(result_path(folder, row["task"], name, row["protocol"], row["seed"]), row)
    main(["--results", str(tmp_path / "results"), "--output", str(tmp_path / "report")])
    assert sorted(os.listdir(tmp_path / "report")) == [
        "accuracy-cs224n-dev.png",
        "accuracy-cs224n-test.png",
        "results.md",
    ]
    table = (tmp_path / "report" / "results.md").read_text(encoding="utf-8")
    assert table == results_table(results)
    assert table in capsys.readouterr().out


def test_the_command_draws_the_curves_of_the_runs_it_is_given(tmp_path):
    results = tmp_path / "results"
    write_json_atomic(results / "task" / "one.json", result())
    run = tmp_path / "my-run"
    history = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    write_json_atomic(run / "trainer_state.json", {"log_history": history})
    main(["--results", str(results), "--output", str(tmp_path / "report"), "--runs", str(run)])
    assert (tmp_path / "report" / "my-run.png").read_bytes().startswith(b"\x89PNG")
    lines = (tmp_path / "report" / "my-run.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == history


def test_stages_and_accuracies_are_drawn_in_one_picture(tmp_path):
    chosen = [result(), result("vanilla", "no_pretraining", correct=5)]
    plot_stages({"pretraining": LOG_HISTORY, "fine-tuning": LOG_HISTORY}, chosen, tmp_path / "stages.png")
    assert imread(tmp_path / "stages.png").shape[1] > 500
