"""The sweep as a user runs it: what it writes, what it refuses, and that nothing is lost or asked twice."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
import warm
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from closedbook.training.asking import incontext
from closedbook.training.asking.incontext_arguments import SweepArguments

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "evaluate_incontext.py"
CAPITALS = {"Peru": "Lima", "Mali": "Bamako", "Laos": "Vientiane", "Chad": "N'Djamena", "Oman": "Muscat"}
SMALL = ["--num_questions", "2", "--max_new_tokens", "3", "--num_threads", "1"]
SWEEP = [*SMALL, "--num_shots", "0", "2", "--decodings", "greedy", "self_consistency=2", "--seeds", "0", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A Llama of random weights over bytes, whose tokenizer has neither a pad nor an end of text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(alphabet), max_position_embeddings=128, initializer_range=0.5, **sizes)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    LlamaForCausalLM(config).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def questions(tmp_path) -> Path:
    path = tmp_path / "capitals.jsonl"
    rows = [{"question": f"Capital of {country}?", "answer": answer} for country, answer in CAPITALS.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def flags(folder, questions, tmp_path) -> list[str]:
    paths = {"model": folder, "question_file": questions, "output_dir": tmp_path / "sweep"}
    return [part for name, path in paths.items() for part in (f"--{name}", str(path))]


def arm_files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (folder / "arms").iterdir()}


def test_a_sweep_writes_every_answer_and_what_all_say_together(flags, tmp_path):
    summary = incontext.main([*flags, *SWEEP, "--results", str(tmp_path / "results" / "tiny")])
    # zero-shot: greedy once, votes twice; two shots: two draws of each
    written = arm_files(tmp_path / "sweep")
    assert len(written) == 3 + 4
    for name, text in written.items():
        rows = [json.loads(line) for line in text.splitlines()]
        assert [row["row"] for row in rows] == [0, 1]
        assert {row["arm_hash"] for row in rows} == {name.removesuffix(".jsonl")}
        assert all(row["prompt"].count("Question:") == row["arm"]["num_shots"] + 1 for row in rows)
        assert all(row["prompt"].endswith(f"Question: {row['question']}\nAnswer:") for row in rows)
    assert summary["num_questions"] == 2
    assert [(arm["arm"]["num_shots"], arm["arm"]["decoding"]) for arm in summary["arms"]] == [
        (0, "greedy"),
        (0, "self_consistency"),
        (2, "greedy"),
        (2, "self_consistency"),
    ]
    assert json.loads(json.dumps(summary)) == json.loads((tmp_path / "results" / "tiny.json").read_text("utf-8"))
    for name in ("tiny.md", "tiny.png", "tiny-luck.png"):
        assert (tmp_path / "results" / name).stat().st_size > 0


def test_a_killed_sweep_goes_on_where_it_was_and_ends_as_if_it_had_not_stopped(flags, tmp_path):
    many = [*SMALL, "--num_shots", "0", "1", "2", "3", "--seeds", *map(str, range(8))]
    process = warm.Process([SCRIPT, *flags, *many], env=os.environ | {"OMP_NUM_THREADS": "1"})
    arms = tmp_path / "sweep" / "arms"
    while process.poll() is None and not (arms.exists() and list(arms.glob("*.jsonl"))):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: (path.read_text(encoding="utf-8"), path.stat().st_mtime_ns) for path in arms.glob("*.jsonl")}
    assert kept
    assert all(len(text.splitlines()) == 2 for text, _ in kept.values())

    resumed = incontext.main([*flags, *many])
    assert all(path.stat().st_mtime_ns == written for path, (_, written) in kept.items())
    fresh = [*flags[:-1], str(tmp_path / "fresh")]
    assert incontext.main([*fresh, *many])["arms"] == resumed["arms"]
    finished = {name: text for name, text in arm_files(tmp_path / "sweep").items() if name.endswith(".jsonl")}
    assert finished == arm_files(tmp_path / "fresh")


def test_a_larger_sweep_adds_to_a_smaller_one(flags, tmp_path):
    incontext.main([*flags, *SMALL, "--num_shots", "1", "--seeds", "0"])
    before = arm_files(tmp_path / "sweep")
    summary = incontext.main([*flags, *SMALL, "--num_shots", "1", "2", "--seeds", "0", "1"])
    after = arm_files(tmp_path / "sweep")
    assert len(after) == 4 and before.items() <= after.items()
    assert [len(arm["draws"]) for arm in summary["arms"]] == [2, 2]


def test_the_folder_of_another_sweep_is_refused_and_left_as_it_was(flags, questions, tmp_path):
    incontext.main([*flags, *SMALL, "--num_shots", "0"])
    before = arm_files(tmp_path / "sweep")
    with pytest.raises(ValueError, match=r"sweep\.json is of a sweep with another max_new_tokens"):
        incontext.main([*flags, *SMALL, "--num_shots", "0", "--max_new_tokens", "4"])
    questions.write_text('{"question": "Who?", "answer": "I"}\n' * 1 + questions.read_text(), encoding="utf-8")
    with pytest.raises(ValueError, match=r"another pool, questions"):
        incontext.main([*flags, *SMALL, "--num_shots", "0"])
    assert arm_files(tmp_path / "sweep") == before


def test_a_damaged_arm_is_named_before_anything_is_asked(flags, tmp_path):
    incontext.main([*flags, *SMALL, "--num_shots", "0"])
    (arm,) = (tmp_path / "sweep" / "arms").iterdir()
    arm.write_bytes(arm.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"{arm}, line 2 is not JSON"):
        incontext.main([*flags, *SMALL, "--num_shots", "0", "1", "--num_threads", "1"])
    assert arm_files(tmp_path / "sweep").keys() == {arm.name}


def test_prompts_longer_than_the_context_lose_demonstrations_and_the_summary_says_so(flags):
    summary = incontext.main([*flags, *SMALL, "--num_shots", "3", "--selections", "fixed"])
    assert summary["arms"][0]["dropped_per_question"] > 0
    assert summary["arms"][0]["shortened_share"] == 1.0


def without_a_model(flags: list[str]) -> list[str]:
    """What is wrong is found before the model is even looked for."""
    return ["--model", "no/such/model", *flags[2:]]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--num_shots", "0", "4"], "pool"),
        (["--num_questions", "9"], "--num_questions 9, but .* has 5"),
        (["--num_questions", "0"], "--num_questions must be at least 1"),
        (["--decodings", "beam=many"], "--decodings beam=many: write a number after ="),
        (["--decodings", "guess"], "method must be one of greedy"),
        (["--decodings", "greedy=3"], "greedy decoding writes one sequence"),
        (["--decodings", "beam"], "--decodings beam: say how many beams or samples, as in beam=4"),
        (["--decodings", "self_consistency"], "say how many beams or samples, as in self_consistency=4"),
        (["--seeds", "-1"], "seed must be 0 or more, but is -1"),
        (["--num_questions", "5"], "all 5 questions of .* are asked.*name a --pool_file"),
        (["--selections", "nearby"], "unknown selection 'nearby'"),
        (["--template", "{question}"], "must have {question} in it"),
        (["--end", ""], "end is empty"),
        (["--max_new_tokens", "0"], "must be at least 1"),
    ],
)
def test_bad_settings_are_refused_before_anything_slow(flags, more, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        incontext.main([*without_a_model(flags), *SMALL, "--num_shots", "1", *more])
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("selection", "library"), [("bm25", "bm25s"), ("nearest", "sklearn.feature_extraction.text")]
)
def test_a_missing_library_is_missed_before_the_model_is_read(flags, selection, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install closedbook\[icl\]"):
        incontext.main([*without_a_model(flags), *SMALL, "--num_shots", "1", "--selections", selection])


def test_a_list_of_nothing_is_refused_by_name():
    with pytest.raises(ValueError, match="--order_seeds needs at least one value"):
        SweepArguments(order_seeds=[]).arms()


def test_a_model_that_was_misspelt_does_not_spoil_the_folder(flags):
    with pytest.raises(OSError, match="no/such/model"):
        incontext.main([*without_a_model(flags), *SMALL, "--num_shots", "0"])
    assert incontext.main([*flags, *SMALL, "--num_shots", "0"])["sweep"]["model"] == flags[1]


def test_seeds_that_change_nothing_are_not_asked_again(flags, tmp_path):
    incontext.main([*flags, *SMALL, "--num_shots", "0", "2", "--seeds", "5"])
    summary = incontext.main([*flags, *SMALL, "--num_shots", "0", "2", "--seeds", "3"])
    assert [arm["draws"] for arm in summary["arms"]] == [[[0, 0]], [[3, 0], [5, 0]]]


@pytest.mark.slow
def test_two_processes_share_the_arms_and_one_of_them_sums_up(flags, launch, tmp_path):
    said = launch("evaluate_incontext", *flags, *SWEEP)
    assert said.count("95% interval for other questions and other draws") == 1
    incontext.main([*flags[:-1], str(tmp_path / "alone"), *SWEEP])
    assert arm_files(tmp_path / "sweep") == arm_files(tmp_path / "alone")


def test_a_question_file_without_answers_is_refused_by_file_and_line(flags, questions):
    questions.write_text('{"question": "Who?", "answer": "I"}\n{"question": "What?"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"capitals\.jsonl:2: .*answer"):
        incontext.main([*without_a_model(flags), *SMALL, "--num_shots", "0"])


def test_a_question_that_does_not_fit_is_named_before_the_first_answer(flags, questions, tmp_path):
    rows = questions.read_text(encoding="utf-8").splitlines()
    rows[1] = json.dumps({"question": "Which " * 30, "answer": "none"})
    questions.write_text("\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="question 1 has no room"):
        incontext.main([*flags, *SMALL, "--num_shots", "0"])
    assert not (tmp_path / "sweep" / "arms").exists()


def test_a_model_whose_weights_are_not_numbers_is_reported_with_the_question(flags, folder, tmp_path):
    broken = tmp_path / "broken"
    model = LlamaForCausalLM.from_pretrained(folder)
    torch.nn.init.constant_(model.lm_head.weight, float("nan"))
    model.save_pretrained(broken)
    PreTrainedTokenizerFast.from_pretrained(folder).save_pretrained(broken)
    with pytest.raises(ValueError, match=r"question \d: .* not numbers"):
        incontext.main(["--model", str(broken), *flags[2:], *SMALL, "--num_shots", "0"])
    assert not (tmp_path / "sweep" / "arms").exists()


def test_a_pool_of_its_own_and_a_format_of_ones_own(flags, questions, tmp_path):
    pool = tmp_path / "pool.tsv"
    pool.write_text("Capital of Peru?\tLima\nCapital of Fiji?\tSuva\n", encoding="utf-8")
    own = ["--pool_file", str(pool), "--template", "{question} ~{answer}", "--separator", r"\n", "--end", "!"]
    incontext.main([*flags, *SMALL, *own, "--num_shots", "1", "--selections", "bm25"])
    (text,) = arm_files(tmp_path / "sweep").values()
    prompts = [json.loads(line)["prompt"] for line in text.splitlines()]
    # Peru is asked itself, so it does not see its own answer
    assert prompts == ["Capital of Fiji? ~Suva\nCapital of Peru? ~", "Capital of Peru? ~Lima\nCapital of Mali? ~"]


def test_temperature_is_for_samples_alone():
    swept = SweepArguments(num_shots=[0], decodings=["greedy", "beam=2", "sample"], temperature=0.5, seeds=[0])
    assert [(arm.decoding, arm.temperature) for arm in swept.arms()] == [
        ("greedy", 1.0),
        ("beam", 1.0),
        ("sample", 0.5),
    ]
