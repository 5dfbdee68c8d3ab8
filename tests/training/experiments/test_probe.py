"""The probe script: what it writes, that it goes on where it stopped, and what it refuses."""

import json

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from closedbook.data.generated.probes import PROBES
from closedbook.training.experiments import probe
from closedbook.training.experiments.variants import VARIANTS
from closedbook.training.models import model_name

TINY = [
    *("--steps", "2", "--batch_size", "4", "--test_examples", "6", "--block_size", "32", "--hidden_size", "16"),
    *("--num_attention_heads", "2"),
]


pytestmark = pytest.mark.usefixtures("leave_threads_as_they_were")


def run(results, *flags):
    return probe.main([*TINY, "--results", str(results), *map(str, flags)])


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_variant_runs_under_the_name_that_results_give_it():
    for name in VARIANTS:
        model = probe.new_model(name, probe.Budget(hidden_size=16, block_size=32), seed=0)
        assert model_name(model.config) == name
        assert model(input_ids=torch.ones(1, 32, dtype=torch.long)).logits.isfinite().all()


def test_a_seed_gives_the_same_model_again_and_another_one_another():
    weights = [
        probe.new_model("vanilla", probe.Budget(), seed=seed).get_input_embeddings().weight.detach()
        for seed in (0, 0, 1)
    ]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert weights[0].std().item() == pytest.approx(probe.Budget().initializer_range, rel=0.05)


def test_it_writes_results_a_table_and_a_picture_for_each_probe(tmp_path):
    pooled = run(tmp_path, "--variants", "vanilla", "perceiver-last", "--seeds", 0, 1)
    assert list(pooled) == list(PROBES)
    for name in PROBES:
        content = read(tmp_path / "probes" / f"{name}.json")
        assert [(entry["variant"], entry["seed"]) for entry in content["runs"]] == [
            *[("vanilla", 0), ("perceiver-last", 0)],
            *[("vanilla", 1), ("perceiver-last", 1)],
        ]
        assert content["budget"]["steps"] == 2
        for entry in content["runs"]:
            assert entry["parameters"] > 0 and entry["configuration"]["hidden_size"] == 16
            assert {"versions", "hardware", "commit", "command", "interval", "seconds"} <= entry.keys()
            for axis in ("by_distance", "by_source"):
                assert sum(bucket["n"] for bucket in entry[axis]) == entry["n"]
        assert content["pooled"] == pooled[name]
        assert [row["seeds"] for row in pooled[name]] == [[0, 1], [0, 1]]
        assert "| perceiver-last |" in (tmp_path / "probes" / f"{name}.md").read_text(encoding="utf-8")
        assert (tmp_path / "probes" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_finished_runs_are_not_repeated_and_a_stopped_command_goes_on(tmp_path, monkeypatch):
    run(tmp_path, "--probes", "copy", "--variants", "vanilla", "--seeds", 0)
    before = read(tmp_path / "probes" / "copy.json")["runs"][0]
    done = []
    original = probe.run_probe

    def stopped_after_one(name, variant, seed, budget):
        if done:
            raise KeyboardInterrupt
        done.append((variant, seed))
        return original(name, variant, seed, budget)

    flags = ("--probes", "copy", "--variants", "vanilla", "vanilla-rotary", "--seeds", 0, 1)
    monkeypatch.setattr(probe, "run_probe", stopped_after_one)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, *flags)
    monkeypatch.setattr(probe, "run_probe", original)
    run(tmp_path, *flags)
    runs = read(tmp_path / "probes" / "copy.json")["runs"]
    assert done == [("vanilla-rotary", 0)]
    assert runs[0] == before
    assert [(entry["variant"], entry["seed"]) for entry in runs] == [
        *[("vanilla", 0), ("vanilla-rotary", 0)],
        *[("vanilla", 1), ("vanilla-rotary", 1)],
    ]


def test_the_same_run_gives_the_same_numbers(tmp_path):
    first, again = (
        run(tmp_path / name, "--probes", "associative_recall", "--variants", "vanilla-bigbird", "--seeds", 5)
        for name in ("first", "again")
    )
    for row in (*first["associative_recall"], *again["associative_recall"]):
        row.pop("seconds")
    assert first == again


def test_training_lowers_the_loss():
    budget = probe.Budget(steps=60, block_size=32, hidden_size=32, num_hidden_layers=2, test_examples=8)
    losses = []
    for steps in (1, 60):
        budget.steps = steps
        losses.append(probe.train_on_probe(probe.new_model("vanilla", budget, 0), "copy", 0, budget))
    assert losses[1] < losses[0] - 0.1  # from ln 66 towards ln 32, the loss of knowing the alphabet


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--variants", "transformer"), "--variants: 'transformer' is unknown; known: vanilla, vanilla-rotary"),
        (("--variants", "vanilla", "vanilla"), "--variants names vanilla twice"),
        (("--probes", "sorting"), "--probes: 'sorting' is unknown; known: copy, associative_recall"),
        (("--seeds", 1, 1), "--seeds names 1 twice"),
        (("--steps", 0), "--steps must be at least 1, got 0"),
        (("--block_size", 60), "--block_size must be a multiple of 8, got 60"),
        (("--block_size", 256), "block_size must be between 32 and 128"),
        (("--num_attention_heads", 3), "multiple of num_attention_heads"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, flags, message):
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        run(tmp_path / "results", *flags)
    assert not (tmp_path / "results").exists()


def test_runs_with_another_budget_do_not_mix(tmp_path):
    run(tmp_path, "--probes", "copy", "--variants", "vanilla", "--seeds", 0)
    with pytest.raises(ValueError, match="copy.json is of runs with another budget.steps, which does not compare"):
        run(tmp_path, "--probes", "copy", "--variants", "vanilla", "--seeds", 1, "--steps", 3)
