"""Stock models through the whole path: taught documents, asked, resumed, with adapters; and what is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from closedbook.evaluation.run_record import read_run
from closedbook.training.bases.asking import load_to_ask
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.run_folder import read_base_run

PEOPLE = ["Ada Lovelace", "Zoë Marlow", "Gwendal Porrit", "Ines Toms"]
PLACES = ["London", "Orléans", "Quimper", "Bergen"]
LINES = [f"{name} was born in {place}. {name} died elsewhere." for name, place in zip(PEOPLE, PLACES, strict=True)]
FAST = ["--num_threads", "1", "--disable_tqdm", "True", "--report_to", "none", "--eval_examples", "4"]
SHORT = [*FAST, "--block_size", "64", "--row_length", "128", "--max_steps", "4", "--save_steps", "2"]


def save(model, folder: Path) -> Path:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
        ),
    )
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>").save_pretrained(folder)
    return folder


def llama(**sizes):
    sizes = {"hidden_size": 32, "intermediate_size": 64} | sizes
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=304, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=256, **sizes
        )
    )


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[str, Path]:
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("bases")
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=256))
    return {"llama": save(llama(), root / "llama"), "gpt2": save(gpt2, root / "gpt2")}


@pytest.fixture
def documents(tmp_path) -> list[str]:
    (tmp_path / "docs.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return ["--corpus", "text", "--corpus_path", str(tmp_path / "docs.txt")]


@pytest.fixture
def questions(tmp_path) -> Path:
    rows = [
        {"question": f"Where was {name} born?", "answer": place, "entity": name}
        for name, place in zip(PEOPLE, PLACES, strict=True)
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def teach(model, output, documents, *flags):
    from closedbook.training import pretraining

    return pretraining.main(["--model", str(model), "--output_dir", str(output), *documents, *SHORT, *flags])


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_stock_model_is_taught_and_loads_in_plain_transformers(
    tiny, bases, documents, questions, tmp_path, name
):
    run = teach(bases[name], tmp_path / "out", documents)
    assert (run.last.stage, run.last.prompt) == ("pretrain", "Question: {question}\nAnswer:")
    assert run.last.train_tokens > 0 and run.last.base_model == str(bases[name])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(model).__name__ in ("LlamaForCausalLM", "GPT2LMHeadModel")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").eos_token == "</s>"
    before = AutoModelForCausalLM.from_pretrained(bases[name]).state_dict()
    assert any(not torch.equal(before[key], value) for key, value in model.state_dict().items())
    asked = ["--questions", "file", "--question_file", questions, "--output_dir", tmp_path / "asked"]
    result = tiny.evaluate(tmp_path / "out", *asked)
    assert result["n"] == 4
    learned = tiny.finetune(
        tmp_path / "fine",
        tmp_path / "out",
        "--questions",
        "file",
        "--train_questions",
        questions,
        "--max_steps",
        "60",
        "--learning_rate",
        "1e-2",
        "--optimizer",
        "adamw",
        "--row_length",
        "64",
    )
    assert learned.protocol == "two_stage" and learned.prompt == run.last.prompt
    result = tiny.evaluate(tmp_path / "fine", *asked[:-1], tmp_path / "asked2")
    assert result["correct"] >= 3  # by heart, in the prompt that its record tells


def test_a_stopped_run_goes_on_to_the_same_bits(tiny, bases, documents, tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    teach(bases["llama"], whole, documents)
    tiny.stopped_at(2, whole, folder)
    (folder / "run.json").write_text((whole / "run.json").read_text())
    teach(bases["llama"], folder, documents, "--resume")
    tiny.assert_equal(whole, folder)


@pytest.mark.parametrize("workers", ["2"])
def test_workers_change_nothing(tiny, bases, documents, tmp_path, workers):
    teach(bases["llama"], tmp_path / "one", documents)
    teach(bases["llama"], tmp_path / "two", documents, "--dataloader_num_workers", workers)
    tiny.assert_equal(tmp_path / "one", tmp_path / "two")


def test_an_adapter_is_saved_resumed_loaded_by_peft_and_merged(tiny, bases, documents, questions, tmp_path):
    peft = pytest.importorskip("peft")
    flags = ["--lora_rank", "4", "--learning_rate", "1e-2"]
    whole = tmp_path / "adapter"
    run = teach(bases["llama"], whole, documents, *flags)
    assert not (whole / "model.safetensors").exists() and run.last.arguments["lora_rank"] == 4
    base = AutoModelForCausalLM.from_pretrained(bases["llama"])
    plain = peft.PeftModel.from_pretrained(base, whole).eval()
    ids = torch.tensor([[5, 9, 20, 33]])
    ours, tokenizer, prompt = load_to_ask(str(whole))
    assert prompt == run.last.prompt and tokenizer.eos_token == "</s>"
    torch.testing.assert_close(ours(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-5)
    teach(bases["llama"], tmp_path / "merged", documents, *flags, "--merge_adapter", "True")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(merged(ids).logits, plain(ids).logits, rtol=1e-4, atol=1e-5)
    stopped = tiny.stopped_at(2, whole, tmp_path / "stopped")
    (stopped / "run.json").write_text((whole / "run.json").read_text())
    teach(bases["llama"], stopped, documents, *flags, "--resume")
    assert (stopped / "adapter_model.safetensors").read_bytes() == (
        whole / "adapter_model.safetensors"
    ).read_bytes()
    result = tiny.evaluate(
        whole, "--questions", "file", "--question_file", questions, "--output_dir", tmp_path / "asked"
    )
    assert result["n"] == 4


def test_an_adapter_for_another_base_is_refused(bases, documents, tmp_path):
    pytest.importorskip("peft")
    teach(bases["llama"], tmp_path / "adapter", documents, "--lora_rank", "2", "--max_steps", "1")
    other = save(llama(hidden_size=64), tmp_path / "other")
    config = tmp_path / "adapter" / "adapter_config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"base_model_name_or_path": str(other)}))
    with pytest.raises(ValueError, match="the adapter in .* is not for"):
        load_model_folder(tmp_path / "adapter")
    config.write_text(json.dumps(content | {"base_model_name_or_path": "/no/such/folder"}))
    with pytest.raises(ValueError, match="the base model /no/such/folder is not there"):
        load_model_folder(tmp_path / "adapter")


@pytest.mark.parametrize("tokenizer", ["train:bpe:300", "folder"])
def test_a_new_model_reads_any_tokens(tiny, bases, documents, questions, tmp_path, tokenizer):
    name = str(bases["gpt2"]) if tokenizer == "folder" else tokenizer
    stage = tiny.pretrain(
        tmp_path / "new",
        *documents,
        "--tokenizer",
        name,
        "--objectives",
        "span_corruption=1",
        "question_answering=1",
        "--questions",
        "file",
        "--train_questions",
        str(questions),
        "--max_steps",
        "80",
        "--learning_rate",
        "1e-2",
    )
    assert stage.tokenizer == name and stage.prompt is None and 0 < stage.train_tokens < stage.train_characters
    model, its, prompt = load_to_ask(str(tmp_path / "new"))
    assert prompt is None and its.mask_token and len(its) == model.config.vocab_size
    result = tiny.evaluate(
        tmp_path / "new", "--questions", "file", "--question_file", questions, "--output_dir", tmp_path / "asked"
    )
    assert result["correct"] >= 2
    stage = tiny.finetune(
        tmp_path / "fine", tmp_path / "new", "--questions", "file", "--train_questions", questions
    )
    assert stage.tokenizer == name


def test_replay_has_its_share_of_what_is_predicted(bases, documents, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("The sea is wide and blue.\nRain falls on hills.\n", encoding="utf-8")
    run = teach(bases["llama"], tmp_path / "out", documents, "--replay", "0.25", "--replay_path", str(other))
    assert run.last.arguments["replay"] == 0.25
    from closedbook.data.mixture import Component
    from closedbook.training.arguments import ReplayArguments
    from closedbook.training.bases.replay import replayed

    parts = [
        Component("a", [{"text": "a"}], "left_to_right", 3.0),
        Component("b", [{}], "entity_cue", 1.0, 0.5, 1.0),
    ]
    found = replayed(ReplayArguments(replay=0.5, replay_path=str(other)), parts)
    assert [(part.name, part.weight, part.begin, part.end) for part in found[2:]] == [
        ("replay", 3.0, 0.0, 0.5),
        ("replay", 4.0, 0.5, 1.0),
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hidden_size", "64"], "--hidden_size has no effect"),
        (["--tokenizer", "train:bpe:300"], "--tokenizer has no effect"),
        (["--objectives", "fill_in_the_middle"], "fill_in_the_middle is told by marks"),
        (["--lora_alpha", "8"], "--lora_alpha has no effect: it needs --lora_rank"),
        (["--lora_rank", "-1"], "--lora_rank must be"),
        (["--replay", "0.5"], "--replay needs --replay_path"),
        (["--replay", "1.5", "--replay_path", "x"], "--replay must be a share"),
        (["--dropout", "0.3"], "--dropout has no effect"),
        (["--prompt", "Where?"], "has no {question}"),
        (["--prompt", "chat"], "no chat template"),
        (["--block_size", "512", "--row_length", "512"], "beyond the context"),
    ],
)
def test_flags_that_do_not_fit_a_base_are_refused(bases, documents, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        teach(bases["llama"], tmp_path / "out", documents, *flags)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_what_is_no_causal_model_is_refused(bases, documents, tmp_path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    bert = save(BertForMaskedLM(BertConfig(vocab_size=304, **sizes)), tmp_path / "bert")
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | {"model_type": "albert"}))
    with pytest.raises(ValueError, match="is no causal language model"):
        load_model_folder(bert)
    with pytest.raises(FileNotFoundError, match="no config.json"):
        teach(tmp_path, tmp_path / "out", documents)
    with pytest.raises(ValueError, match="--prompt has no effect: it needs --model"):
        from closedbook.training import pretraining

        pretraining.main([*documents, "--output_dir", str(tmp_path / "out"), "--prompt", "Q: {question}"])
    special = tmp_path / "special.txt"
    special.write_text("Ada </s> Lovelace\n")
    with pytest.raises(ValueError, match="'</s>' stands in .*special token"):
        teach(bases["llama"], tmp_path / "out", ["--corpus", "text", "--corpus_path", str(special)])


def test_a_checkpoint_is_asked_as_its_run(bases, documents, tmp_path):
    teach(bases["llama"], tmp_path / "out", documents)
    checkpoint = tmp_path / "out" / "checkpoint-2"
    assert read_base_run(checkpoint).last.prompt == read_run(tmp_path / "out").last.prompt
    shutil.rmtree(tmp_path / "out" / "checkpoint-4")
    assert load_to_ask(str(checkpoint))[2] == "Question: {question}\nAnswer:"
