"""The benchmark of in-context prompts runs from end to end and reports what it promises; no time is asserted."""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from closedbook.scripts.benchmarks import incontext
from closedbook.scripts.benchmarks.measure import SIDES

pytestmark = pytest.mark.usefixtures("leave_threads_as_they_were")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small model with the tokenizer of the benchmark's random one."""
    with torch.device("meta"):
        _, tokenizer = incontext.load_model(None)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,  # large, so that no two tokens are nearly equal
        bos_token_id=None,
        eos_token_id=None,
    )
    path = tmp_path_factory.mktemp("incontext") / "llama"
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_the_benchmark_ends_with_one_json_object_and_counts_equal_texts(folder, capsys, tmp_path, monkeypatch):
    # the same run, but in this process: two fresh ones take longer than all the rest
    monkeypatch.setattr(
        incontext, "memory_in_fresh_process", lambda _, argv, side: incontext.main([*argv, "--only", side])
    )
    output = tmp_path / "speed.json"
    flags = ["--num_questions", "3", "--num_shots", "2", "--repeats", "1", "--num_threads", "1"]
    returned = incontext.main([*flags, "--model", str(folder), "--output", str(output)])
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == returned == json.loads(output.read_text(encoding="utf-8"))
    assert (printed["benchmark"], printed["equal_answers"], printed["num_questions"]) == ("incontext", 3, 3)
    assert printed["ratio"] == pytest.approx(printed["peer"] / printed["ours"])
    assert printed["left_padded_ratio"] == pytest.approx(printed["left_padded"] / printed["ours"])
    assert printed["settings"]["precision"] == "torch.float32"
    assert min(printed[f"peak_memory_{side}_mib"] for side in ("ours", "peer")) > 0


def test_its_prompts_share_the_demonstrations_and_ask_other_questions(tmp_path):
    rows = [{"question": f"q{number}?", "answers": [f"a{number}", "other"]} for number in range(5)]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    args = incontext.IncontextBenchmarkArguments(question_file=str(path), num_questions=3, num_shots=2)
    shown = "Question: q0?\nAnswer: a0\n\nQuestion: q1?\nAnswer: a1\n\n"
    assert incontext.load_prompts(args) == [f"{shown}Question: q{number}?\nAnswer:" for number in (2, 3, 4)]
    args.num_questions = 4
    with pytest.raises(ValueError, match="5 questions are fewer than the 2 demonstrations and 4 questions"):
        incontext.load_prompts(args)


@pytest.mark.parametrize("flag", ["num_questions", "num_shots", "max_new_tokens", "tokens_per_batch", "repeats"])
def test_counts_below_one_are_refused_by_name(flag):
    with pytest.raises(ValueError, match=f"--{flag} must be at least 1"):
        incontext.main([f"--{flag}", "0"])
    with pytest.raises(ValueError, match=", ".join(SIDES)):
        incontext.main(["--only", "nobody"])
