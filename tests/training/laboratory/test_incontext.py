"""The in-context laboratory: what it writes, that it goes on where it stopped, and what it refuses."""

import json

import pytest
import torch

from closedbook.data.generated.mappings import FAMILIES, MappingExamples, split_mappings
from closedbook.training.experiments.probe_training import small_model
from closedbook.training.experiments.variants import VARIANTS
from closedbook.training.laboratory import incontext as laboratory

pytestmark = pytest.mark.usefixtures("leave_threads_as_they_were")


def run(results, *flags):
    return laboratory.main(["--quick", "--results", str(results), *map(str, flags)])


def read(results):
    return json.loads((results / "laboratory" / "incontext.json").read_text(encoding="utf-8"))


def keys(entries):
    return [(entry["family"], entry["variant"], entry["num_mappings"], entry["seed"]) for entry in entries]


def test_it_writes_results_tables_and_a_picture(tmp_path):
    flags = ("--variants", "vanilla", "perceiver-last", "--seeds", 0, 1, "--num_mappings", 4)
    pooled = run(tmp_path, *flags)
    content = read(tmp_path)
    assert content["pooled"] == pooled and content["budget"]["shift_steps"] == 2
    full = {family: len(split_mappings(family)["training"]) for family in FAMILIES}
    assert keys(content["runs"]) == [
        (family, *arm, seed)
        for seed in (0, 1)
        for family in FAMILIES
        for arm in (("vanilla", full[family]), ("perceiver-last", full[family]), ("vanilla", 4))
    ]
    for entry in content["runs"]:
        assert entry["parameters"] > 0 and entry["configuration"]["hidden_size"] == 16
        assert {"versions", "hardware", "commit", "command", "seconds", "last_loss"} <= entry.keys()
        for split in ("training", "held_out"):
            number = entry["num_mappings"] if split == "training" else 0
            asked = MappingExamples(entry["family"], split, laboratory.TEST_SEED, 8, 8, number)
            counted = [sum(example.counted[shots] for example in asked) for shots in range(8)]
            assert [count["n"] for count in entry[split]] == counted
    assert [(row["family"], row["variant"], row["seeds"]) for row in pooled[:2]] == [
        ("lookup", "vanilla", [0, 1]),
        ("lookup", "vanilla", [0, 1]),
    ]
    assert content["references"].keys() == set(FAMILIES)
    assert "| perceiver-last |" in (tmp_path / "laboratory" / "incontext.md").read_text(encoding="utf-8")
    assert (tmp_path / "laboratory" / "incontext.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_variant_looks_ahead_when_it_is_asked(variant):
    budget = laboratory.Budget(hidden_size=16, num_attention_heads=2)
    model = small_model(variant, budget, FAMILIES["shift"].vocabulary_size, seed=0).eval()
    ids = torch.tensor([example.tokens for example in MappingExamples("shift", "training", 0, 8, 2)])
    other = ids.clone()
    other[:, 7:] = (ids[:, 7:] + 5) % FAMILIES["shift"].vocabulary_size  # y of the fourth pair, and all after it
    with torch.no_grad():
        before, after = (model(input_ids=tokens, use_cache=False).logits for tokens in (ids, other))
    torch.testing.assert_close(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7], after[:, 7])


def test_finished_runs_are_not_repeated_and_a_stopped_command_goes_on(tmp_path, monkeypatch):
    flags = ("--families", "lookup", "--num_mappings", 4)
    run(tmp_path, *flags, "--variants", "vanilla", "--seeds", 0)
    before = read(tmp_path)["runs"]
    done = []
    original = laboratory.run_arm

    def stopped_after_one(arm, budget):
        if done:
            raise KeyboardInterrupt
        done.append(arm)
        return original(arm, budget)

    more = (*flags, "--variants", "vanilla", "vanilla-rotary", "--seeds", 0, 1)
    monkeypatch.setattr(laboratory, "run_arm", stopped_after_one)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, *more)
    monkeypatch.setattr(laboratory, "run_arm", original)
    run(tmp_path, *more)
    runs = read(tmp_path)["runs"]
    full = len(split_mappings("lookup")["training"])
    assert done == [("lookup", "vanilla-rotary", full, 0)]
    assert runs[:2] == before
    assert keys(runs) == [
        *[("lookup", "vanilla", full, 0), ("lookup", "vanilla", 4, 0), ("lookup", "vanilla-rotary", full, 0)],
        *[("lookup", "vanilla", full, 1), ("lookup", "vanilla-rotary", full, 1), ("lookup", "vanilla", 4, 1)],
    ]


def test_the_same_run_gives_the_same_numbers(tmp_path):
    first, again = (
        run(tmp_path / name, "--families", "shift", "--variants", "vanilla-bigbird", "--seeds", 5)
        for name in ("first", "again")
    )
    for row in (*first, *again):
        row.pop("seconds")
    assert first == again


def test_training_is_on_the_mappings_asked_for_and_on_no_other(monkeypatch):
    read_in_training = []

    def no_training(model, example, **sizes):
        read_in_training.extend(example(index).mapping for index in range(sizes["steps"] * sizes["batch_size"]))
        return 0.0

    monkeypatch.setattr(laboratory, "train_on_stream", no_training)
    laboratory.run_arm(laboratory.Arm("shift", "vanilla", 3, 0), laboratory.Budget(**laboratory.QUICK))
    assert read_in_training and set(read_in_training) <= set(split_mappings("shift", 3)["training"])


def test_training_lowers_the_loss(tmp_path):
    losses = []
    for name, steps in (("short", 1), ("long", 60)):
        flags = ("--lookup_steps", steps, "--variants", "vanilla", "--seeds", 0, "--num_mappings", 9999)
        small = ("--hidden_size", 32, "--num_hidden_layers", 2, "--test_examples", 8, "--families", "lookup")
        laboratory.main([*map(str, (*flags, *small)), "--results", str(tmp_path / name)])
        losses.append(read(tmp_path / name)["runs"][0]["last_loss"])
    assert losses[1] < losses[0] - 0.2  # from ln 12, of the whole vocabulary, towards ln 8, of the outputs


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--variants", "transformer"), "--variants: 'transformer' is unknown; known: vanilla, vanilla-rotary"),
        (("--families", "sorting"), "--families: 'sorting' is unknown; known: lookup, shift"),
        (("--seeds", 1, 1), "--seeds names 1 twice"),
        (("--num_mappings", 0), "--num_mappings must be at least 1, got 0"),
        (("--num_mappings", 4, 4), "--num_mappings names 4 twice"),
        (("--shift_steps", 0), "--shift_steps must be at least 1, got 0"),
        (("--num_pairs", 6), "--num_pairs must be a multiple of 4, got 6"),
        (("--num_pairs", 32), "shift has 29 inputs, none of which comes twice"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "results", *flags)
    assert not (tmp_path / "results").exists()


def test_runs_with_another_budget_do_not_mix(tmp_path):
    flags = ("--families", "lookup", "--variants", "vanilla", "--seeds", 0)
    run(tmp_path, *flags)
    with pytest.raises(ValueError, match="laboratory/incontext.json is of runs with another budget.num_pairs"):
        run(tmp_path, *flags, "--num_pairs", 4)
