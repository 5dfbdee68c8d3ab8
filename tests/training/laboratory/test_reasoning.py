"""The laboratory's chain of thought from end to end in a few steps: nothing run twice, characters equal."""

import json

import pytest
from transformers import set_seed

from closedbook.data.generated.word_problems import ALPHABET, ANSWER_STYLES, WordProblems
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.arguments import ModelArguments, RegularisationArguments
from closedbook.training.laboratory import reasoning, reasoning_runs
from closedbook.training.laboratory.reasoning_runs import (
    ReasoningArguments,
    ask,
    room_needed,
    taught_records,
)
from closedbook.training.models import build_model

pytestmark = pytest.mark.usefixtures("leave_threads_as_they_were")


def run(folder, *flags):
    places = ["--output_dir", str(folder / "models"), "--results", str(folder / "results")]
    return reasoning.main(["--quick", *places, *map(str, flags)])


def read(folder):
    return json.loads((folder / "results" / "laboratory" / "reasoning.json").read_text(encoding="utf-8"))


def examples(style, seed=0, characters=20_000, block_size=300):
    settings = ReasoningArguments(train_characters=characters)
    records = taught_records(style, seed, settings, block_size)
    return records, sum(len(r["question"]) + len(r["answers"][0]) + 2 for r in records)


def test_it_runs_from_end_to_end_and_an_arm_never_twice(tmp_path, monkeypatch):
    first = run(tmp_path, "--arms", "direct", "worked")
    content = read(tmp_path)
    assert content["finished_arms"] == content["arms"] == 2
    assert {name: content[name] for name in first} == first
    assert {"versions", "hardware", "commit", "command", "settings", "train_seconds"} <= content.keys()
    assert {(cell["style"], cell["num_steps"], cell["n"]) for cell in first["cells"]} == {
        (style, steps, 3) for style in ("direct", "worked") for steps in range(1, 9)
    }
    direct, worked = content["results"]
    assert direct["parameters"] == worked["parameters"] and direct["train_problems"] > worked["train_problems"]
    for result in content["results"]:
        budget = content["settings"]["train_characters"]
        assert result["steps"] == result["train_problems"] // 32
        # what is left over is less than a batch of the longest examples
        assert budget - 33 * 224 < result["train_characters"] <= budget
    results = tmp_path / "results"
    assert "| 8 | " in (results / "laboratory" / "reasoning.md").read_text(encoding="utf-8")
    assert (results / "laboratory" / "reasoning.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(reasoning_runs, "train", None)  # calling it would fail
    monkeypatch.setattr(reasoning_runs, "answer_questions", None)
    assert run(tmp_path, "--arms", "direct", "worked") == first
    with pytest.raises(TypeError):  # another setting is another arm
        run(tmp_path, "--arms", "direct", "--learning_rate", "0.001")


def test_a_stopped_command_goes_on_where_it_was(tmp_path, monkeypatch):
    asked = reasoning_runs.ask

    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(reasoning_runs, "ask", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "--arms", "filler")
    monkeypatch.setattr(reasoning_runs, "ask", asked)
    monkeypatch.setattr(reasoning_runs, "train", None)  # the model is there already
    summary = run(tmp_path, "--arms", "filler")
    assert {cell["style"] for cell in summary["cells"]} == {"filler"} and summary["steps"] == []


def test_all_arms_read_equally_many_characters_and_begin_with_the_same_problems():
    taught = {style: examples(style) for style in ANSWER_STYLES}
    for records, characters in taught.values():
        assert 20_000 - 300 < characters <= 20_000
        assert [r["question"] for r in records] == [r["question"] for r in taught["direct"][0][: len(records)]]
    assert len(taught["direct"][0]) > len(taught["worked"][0]) == len(taught["filler"][0])
    assert taught["worked"][0] != examples("worked", seed=1)[0]


def test_what_is_asked_is_never_among_what_was_taught():
    taught = {record["question"] for record in examples("direct", characters=50_000)[0]}
    asked = {problem.question for problem in WordProblems(0, 400, (1, 2, 3, 4, 5, 6, 7, 8), "test", 8)}
    assert len(taught) > 400 and not taught & asked


def test_rotary_models_are_asked_longer_problems_than_their_block_holds():
    tokenizer = build_char_tokenizer(ALPHABET)
    set_seed(0)
    sizes = ModelArguments(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, block_size=64, position="rotary"
    )
    model = build_model(sizes, RegularisationArguments(dropout=0.0), len(tokenizer))
    problems = list(WordProblems(0, 2, [6], "test"))
    new_tokens, needed = room = room_needed(problems, "worked", sizes)
    assert needed > max(len(p.question) for p in problems) + new_tokens > 64
    assert new_tokens > max(len(p.rationale) for p in problems)
    rows = ask(model, tokenizer, problems, "worked", room)
    assert [row["question"] for row in rows] == [problem.question for problem in problems]
    assert all(row["fault"] for row in rows)  # nothing was trained


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--arms", "wordy"), "--arms: 'wordy' is unknown; known: direct, worked, filler"),
        (("--arms", "direct", "direct"), "--arms names direct twice"),
        (("--seeds", 1, 1), "--seeds names 1 twice"),
        (("--asked_steps", 0, 1), "--asked_steps must be at least 1, got 0"),
        (("--problems_each", 0), "--problems_each must be at least 1, got 0"),
        (("--train_characters", 1000), "train_characters 1000 hold .* problems, not one batch of 32; raise it"),
        (("--block_size", 64, "--row_length", 64), "the block holds 64"),
        (("--arms", "worked", "--position", "learned"), "take up to .* the block holds 224: raise block_size"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_trained(tmp_path, monkeypatch, flags, message):
    monkeypatch.setattr(reasoning_runs, "train", None)
    with pytest.raises(ValueError, match=message):
        run(tmp_path, *flags)
    assert not (tmp_path / "results").exists()
