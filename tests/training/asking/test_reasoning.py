"""A sweep over arms of reasoning on a tiny model with random weights: files, going on, and bad input."""

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from closedbook.training.asking import reasoning

QUESTIONS = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(3)]
SHOWN = [
    {"question": "What is 5 + 5?", "answer": "10", "rationale": "5 + 5 = 10"},
    {"question": "What is 7 + 1?", "answer": "8", "rationale": "7 + 1 = 8"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of two layers that knows nothing, with bytes for tokens, and the two files."""
    folder = tmp_path_factory.mktemp("reasoning")
    alphabet = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bytes_alone = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_alone, eos_token="<|end|>")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=200, bos_token_id=0, eos_token_id=0, **sizes
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    write(folder / "asked.jsonl", QUESTIONS)
    write(folder / "shown.jsonl", SHOWN)
    return folder


def write(path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def flags_of(folder, output, *flags) -> list[str]:
    given = {"model": folder / "model", "question_file": folder / "asked.jsonl", "output_dir": output}
    given |= {"demonstration_file": folder / "shown.jsonl", "max_new_tokens": 8}
    argv = [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return [*argv, *map(str, flags)]


def sweep(folder, output, *flags) -> dict:
    return reasoning.main(flags_of(folder, output, *flags))


def test_a_sweep_writes_every_prompt_and_a_summary_and_goes_on_where_it_stopped(folder, tmp_path):
    flags = ["--arms", "zero_shot", "direct", "worked", "self_consistency=2", "--seeds", 0, 1]
    content = sweep(folder, tmp_path, *flags)
    asked = [(arm["name"], arm["seeds"], arm["num_samples"]) for arm in content["arms"]]
    assert asked == [
        ("zero_shot", [0], 1),
        ("direct", [0, 1], 1),
        ("worked", [0, 1], 1),
        ("self_consistency", [0, 1], 2),
    ]
    assert all(arm["n"] == 3 for arm in content["arms"])
    assert content["sweep"]["max_new_tokens"] == 8 and content["sweep"]["asked"] == 3
    assert json.loads((tmp_path / "reasoning.json").read_text())["arms"] == content["arms"]
    assert (tmp_path / "reasoning.md").read_text().count("\n") == 6
    assert (tmp_path / "reasoning.png").read_bytes().startswith(b"\x89PNG")

    files = sorted((tmp_path / "arms").glob("*.jsonl"))
    texts = {path: path.read_text("utf-8") for path in files}
    rows = [json.loads(line) for text in texts.values() for line in text.splitlines()]
    assert len(files) == 7 and len(rows) == 21
    assert {"prompt", "output", "extracted", "steps", "verdict", "new_tokens", "arm_hash"} <= set(rows[0])

    kept = {path: path.stat().st_mtime_ns for path in files[1:]}
    files[0].unlink()
    again = sweep(folder, tmp_path, *flags)
    assert {path: path.read_text("utf-8") for path in files} == texts
    assert {path: path.stat().st_mtime_ns for path in files[1:]} == kept
    assert again["arms"] == content["arms"]

    with pytest.raises(ValueError, match="another max_new_tokens"):
        sweep(folder, tmp_path, *flags, "--max_new_tokens", 9)


def test_seeds_in_another_order_do_not_repeat_what_seeds_do_not_change(folder, tmp_path):
    flags = ["--arms", "zero_shot", "direct", "--seeds"]
    assert sweep(folder, tmp_path, *flags, 1, 0)["arms"] == sweep(folder, tmp_path, *flags, 0, 1)["arms"]
    assert len(list((tmp_path / "arms").glob("*.jsonl"))) == 3


def test_a_damaged_arm_is_named_before_anything_is_asked(folder, tmp_path):
    sweep(folder, tmp_path, "--arms", "zero_shot")
    (arm,) = (tmp_path / "arms").iterdir()
    lines = arm.read_text("utf-8").splitlines(keepends=True)
    arm.write_text(lines[0] + lines[1].replace('"right": ', '"right": "no"') + lines[2], encoding="utf-8")
    with pytest.raises(ValueError, match=f"{arm}, line 2"):
        sweep(folder, tmp_path, "--arms", "zero_shot", "direct")
    assert list((tmp_path / "arms").iterdir()) == [arm]


@pytest.mark.slow
def test_two_processes_share_the_arms_and_one_of_them_sums_up(folder, launch, tmp_path):
    flags = ["--arms", "zero_shot", "direct", "worked", "self_consistency=2", "--seeds", 0, 1, "--num_threads", 1]
    said = launch("evaluate_reasoning", *flags_of(folder, tmp_path / "two", *flags))
    assert said.count("| arm | shots |") == 1
    sweep(folder, tmp_path / "one", *flags)
    two, one = (
        {path.name: path.read_text("utf-8") for path in (tmp_path / name / "arms").iterdir()}
        for name in ("two", "one")
    )
    assert len(two) == 7 and two == one


def test_demonstrations_without_room_are_dropped_and_counted(folder, tmp_path, capsys):
    content = sweep(folder, tmp_path, "--arms", "worked", "--max_new_tokens", 70, "--num_questions", 1)
    assert content["arms"][0]["dropped"] == 1  # of 200 bytes, 130 are left: two demonstrations take more
    assert "1 demonstrations had no room" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--arms", "magic"], "unknown arm 'magic'"),
        (["--arms", "worked=5"], "samples are for self_consistency"),
        (["--arms", "self_consistency=1"], "at least 2 samples"),
        (["--arms", "worked", "--num_shots", "3"], "shows 3 demonstrations, but .*shown.jsonl has 2"),
        (["--num_questions", "4"], "asked.jsonl has 3"),
        (["--max_new_tokens", "0"], "--max_new_tokens must be at least 1"),
        (["--arms", "zero_shot", "--chat", "true"], "no chat template"),
        (["--arms", "zero_shot", "--max_new_tokens", "199"], "question 0 has no room"),
        (["--arms", "zero_shot", "--dtype", "float7"], "no precision"),
    ],
)
def test_flags_that_make_no_sense_are_refused(folder, tmp_path, flags, complaint):
    with pytest.raises(ValueError, match=complaint):
        sweep(folder, tmp_path, *flags)


def test_worked_steps_need_rationales_and_direct_answers_do_not(folder, tmp_path):
    write(tmp_path / "bare.jsonl", [{"question": row["question"], "answer": row["answer"]} for row in SHOWN])
    bare = ["--demonstration_file", tmp_path / "bare.jsonl"]
    with pytest.raises(ValueError, match=r"bare.jsonl 'What is 5 \+ 5\?' has no 'rationale'"):
        sweep(folder, tmp_path / "out", "--arms", "worked", *bare)
    assert sweep(folder, tmp_path / "out", "--arms", "direct", *bare)["arms"][0]["n"] == 3


def test_a_question_among_all_demonstrations_is_refused_before_the_model_is_loaded(folder, tmp_path):
    write(tmp_path / "asked.jsonl", [*QUESTIONS, {"question": SHOWN[0]["question"], "answer": 10}])
    with pytest.raises(ValueError, match="2 demonstrations were asked for.*1 different questions besides"):
        sweep(folder, tmp_path, "--question_file", tmp_path / "asked.jsonl", "--model", tmp_path / "no_model")


def test_a_question_file_without_answers_is_refused(folder, tmp_path):
    write(tmp_path / "open.jsonl", [{"question": "What is 1 + 1?"}])
    with pytest.raises(ValueError, match=r"open.jsonl:1: no answer"):
        sweep(folder, tmp_path / "out", "--question_file", tmp_path / "open.jsonl")


def test_demonstrations_without_a_file_are_refused(folder, tmp_path):
    argv = ["--model", folder / "model", "--question_file", folder / "asked.jsonl", "--output_dir", tmp_path]
    with pytest.raises(ValueError, match="--demonstration_file, which is not given"):
        reasoning.main([*map(str, argv), "--arms", "direct"])
