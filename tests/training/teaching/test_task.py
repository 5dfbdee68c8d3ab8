"""Ways to teach, compared: who is held out, what is counted, and what is refused before anything slow."""

import json

import pytest

from closedbook.training.checks.together import Problems
from closedbook.training.teaching import arms as teaching_arms
from closedbook.training.teaching import comparison as teaching
from closedbook.training.teaching.arms import Arm, Taught
from closedbook.training.teaching.asked import ask_directly
from closedbook.training.teaching.summary import best_rate, summarise, summary_table
from closedbook.training.teaching.task import WORDINGS, make_task, training_passes


@pytest.mark.parametrize("seed", [0, 1, 100])
def test_every_fact_stands_once_and_nobody_is_on_two_sides(seed):
    task = make_task(seed)
    text = " ".join(task.documents["text"])
    sides = [{row["entity"] for row in rows} for rows in (task.trained, task.held_out, task.invented)]
    assert sides[0] | sides[1] == set(task.documents["title"]) and len(sides[0]) == len(sides[1]) == 10
    assert not sides[0] & sides[1] and not sides[2] & set(task.documents["title"])
    assert not any(name in text for name in sides[2])
    for row in (*task.trained, *task.held_out):
        assert task.document_of(row["entity"]).count(row["answers"][0]) == 1
    for completion, row in zip(task.completions, task.held_out[::WORDINGS], strict=True):
        assert (completion.entity, completion.rest.strip()) == (row["entity"], row["answers"][0])
        assert task.document_of(row["entity"]).startswith(completion.beginning + completion.rest)


def test_passes_hold_all_documents_and_one_wording_of_the_trained_questions_only():
    task = make_task(0)
    passes = training_passes(task)
    seen = set()
    for _ in range(WORDINGS):
        texts = next(passes)
        assert sorted(text for read, text in texts if not read) == sorted(task.documents["text"])
        asked = [read for read, _ in texts if read]
        assert len(asked) == len(task.trained) // WORDINGS
        seen |= set(asked)
    assert seen == {ask_directly(row) for row in task.trained}  # and so none that is held out


def _record(seed, right, completed, confidence=0.9, loss=3.0, general=(True, True), arm="trl"):
    """A run whose held-out facts, three wordings each, are answered as `right` says."""
    rows = [
        {"entity": f"person {place // 6}", "correct": correct, "exact": correct, "confidence": confidence}
        for place, correct in enumerate(right)
    ]
    made_up = {"entity": "nobody", "correct": False, "exact": False, "confidence": confidence / 2}
    return {
        "arm": arm,
        "seed": seed,
        "held_out": rows,
        "trained": rows[:2],
        "invented": [made_up] * 4,
        "completed": list(completed),
        "control_loss": loss,
        "general": list(general),
        "tokens": 100,
        "seconds": 4.0,
        "cpu_seconds": 2.0,
        "learning_rate": 1e-4,
    }


def test_the_summary_counts_as_one_would_by_hand():
    half = [True, True, False, False, False, False] * 10
    runs = {
        "untouched": [_record(seed, [False] * 60, [False] * 20, loss=2.5) for seed in (0, 1)],
        "trl": [_record(seed, half, [True] * 20, general=(True, False)) for seed in (0, 1)],
        "ours": [_record(seed, [True] * 60, [True] * 20, loss=2.6) for seed in (0, 1)],
    }
    summary = summarise(runs)
    peer, ours = summary["arms"]["trl"], summary["arms"]["ours"]
    assert (peer["heldout_correct"], peer["heldout_n"], peer["completed_not_answered"]) == (40, 120, 80)
    assert (ours["completed_not_answered"], peer["old_answers"], peer["old_answers_kept"]) == (0, 4, 2)
    assert (peer["control_loss_before"], peer["control_loss_after"]) == (2.5, 3.0)
    assert (peer["tokens"], peer["tokens_per_second"], peer["tokens_per_cpu_second"]) == (100, 25.0, 50.0)
    # 4 strangers of 64 are wrong, which a promise of 10% lets through; it does not let through one in three
    selective = ours["selective"]
    assert (selective["coverage"], selective["errors"], ours["invented_answered"]) == (1.0, 8, 8)
    assert (peer["selective"]["coverage"], peer["invented_answered"]) == (0.0, 0)
    against = summary["against_peer"]["ours"]
    assert (against["ratio"], against["only_arm"], against["only_peer"], against["facts"]) == (3.0, 20, 0, 40)
    assert len(summary_table(summary["arms"], dict.fromkeys(runs, "told")).splitlines()) == 2 + 3


def test_of_equal_rates_that_which_forgets_least_is_used():
    runs = [_record(100, [True] * 6, [True], loss=loss) | {"learning_rate": loss} for loss in (3.0, 2.9, 3.1)]
    runs.append(_record(100, [False] * 6, [True], loss=2.0) | {"learning_rate": 2.0})
    assert best_rate(runs) == 2.9


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--arms", "trll"], "trll"),
        (["--arms", "untouched", "--tokens", "100"], "--tokens 100"),
        (["--arms", "untouched", "--tuning_seed", "1"], "--tuning_seed 1"),
        (["--arms", "untouched", "--num_people", "3"], "--num_people"),
        (["--arms", "untouched", "--seeds", "1", "1"], "--seeds names 1 twice"),
        (["--arms", "untouched", "--lora_rank", "0", "--seeds", "1", "1"], "--lora_rank"),
    ],
)
def test_what_cannot_be_is_refused_before_a_model_is_looked_for(flags, told, tmp_path):
    with pytest.raises((ValueError, Problems), match=told):
        teaching.main(["--model", str(tmp_path / "nowhere"), "--results", str(tmp_path / "results"), *flags])
    assert not (tmp_path / "results").exists()


def test_a_run_is_made_once_and_tuned_on_other_people(monkeypatch, tmp_path):
    taught = []

    def teach(task, budget, rate, folder):
        taught.append((task.seed, rate))
        return Taught(None, None, ask_directly, budget.tokens, 4.0, 2.0, {})

    def ask(model, tokenizer, task, ask):
        right = taught[-1][1] == 0.2 or task.seed != 100
        record = _record(task.seed, [right] * 12, [True] * 4)
        return {
            name: record[name]
            for name in ("held_out", "trained", "invented", "completed", "control_loss", "general")
        }

    arms = {"untouched": Arm("untouched", teach, (), "nothing"), "trl": Arm("trl", teach, (0.1, 0.2), "the peer")}
    for module in (teaching, teaching_arms):
        monkeypatch.setattr(module, "ARMS", arms)
    monkeypatch.setattr(teaching, "check_arms", lambda names: None)
    monkeypatch.setattr(teaching, "ask_all", ask)
    flags = ["--model", "somewhere", "--arms", "untouched", "trl", "--results", str(tmp_path)]
    first = teaching.main([*flags, "--seeds", "0"])
    assert taught == [(100, 0.1), (100, 0.2), (0, 0.0), (0, 0.2)]
    second = teaching.main([*flags, "--seeds", "0", "1"])
    assert taught[4:] == [(1, 0.0), (1, 0.2)]
    assert first["arms"]["trl"]["seeds"] == [0] and second["arms"]["trl"]["seeds"] == [0, 1]
    assert json.loads((tmp_path / "summary.json").read_text())["arms"]["trl"]["heldout_correct"] == 24
    assert (tmp_path / "teach.png").exists() and (tmp_path / "summary.md").exists()
    with pytest.raises(ValueError, match="tokens"):
        teaching.main([*flags, "--tokens", "2048"])
