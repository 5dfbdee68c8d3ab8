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
from closedbook.training.arguments import ModelArguments, RegularisationArguments
from closedbook.training.bases.asking import load_to_ask
from closedbook.training.bases.learners import CHARACTERS, Read, new_learner
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.publishing.folder import finished_files
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
    from closedbook.training.bases.replay import read_replay, replayed

    parts = [
        Component("a", [{"text": "a"}], "left_to_right", 3.0),
        Component("b", [{}], "entity_cue", 1.0, 0.5, 1.0),
    ]
    args = ReplayArguments(replay=0.5, replay_path=str(other))
    found = replayed(args, read_replay(args), parts)
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


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        ([], ["--prompt", "Q: {question} A:"], "prompt Question: "),
        (["--lora_rank", "2"], ["--lora_rank", "2", "--lora_alpha", "9"], "lora_alpha null, now it is 9"),
        (
            ["--lora_rank", "2"],
            ["--lora_rank", "2", "--merge_adapter", "True"],
            "merge_adapter false, now it is true",
        ),
        (["--lora_rank", "2", "--learning_rate", "1e-4"], ["--learning_rate", "1e-4"], "lora_rank 2, now it is 0"),
        (["--learning_rate", "1e-4"], ["--lora_rank", "2", "--learning_rate", "1e-4"], "lora_rank 0, now it is 2"),
        ([], ["--probe_facts", "2"], "probe_facts null, now it is 2"),
    ],
)
def test_a_run_does_not_go_on_as_another_one(bases, tmp_path, first, then, told):
    (tmp_path / "docs.txt").write_text("Ada Lind. Ada Lind was born in Rome.\n", encoding="utf-8")
    documents = ["--corpus", "text", "--corpus_path", str(tmp_path / "docs.txt")]
    teach(bases["llama"], tmp_path / "out", documents, *first)
    (tmp_path / "out" / "model.safetensors").unlink(missing_ok=True)  # as one that was stopped
    with pytest.raises(ValueError, match=told):
        teach(bases["llama"], tmp_path / "out", documents, *then, "--resume", "True", "--max_steps", "6")


def test_an_adapter_is_trained_on_and_no_second_one_is_put_beside_it(tiny, bases, documents, questions, tmp_path):
    teach(bases["llama"], tmp_path / "adapter", documents, "--lora_rank", "2", "--learning_rate", "1e-2")
    run = teach(tmp_path / "adapter", tmp_path / "whole", documents, "--learning_rate", "1e-2")
    assert run.last.base_model == str(tmp_path / "adapter")
    before, after = (load_model_folder(tmp_path / name)[0].state_dict() for name in ("adapter", "whole"))
    assert before.keys() == after.keys() and not torch.equal(before["lm_head.weight"], after["lm_head.weight"])
    AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    taught = ["--questions", "file", "--train_questions", questions, "--max_steps", "2", "--row_length", "64"]
    tiny.finetune(tmp_path / "fine", tmp_path / "adapter", *taught, "--optimizer", "adamw")
    with pytest.raises(ValueError, match="is an adapter itself"):
        teach(tmp_path / "adapter", tmp_path / "second", documents, "--lora_rank", "2")
    merged = ["--lora_rank", "2", "--merge_adapter", "True"]
    teach(tmp_path / "adapter", tmp_path / "merged", documents, *merged)
    AutoModelForCausalLM.from_pretrained(tmp_path / "merged")


def test_special_tokens_are_refused_wherever_they_are_read(tiny, bases, documents, tmp_path):
    (tmp_path / "other.txt").write_text("Hello </s> world.\n", encoding="utf-8")
    with pytest.raises(ValueError, match="'</s>' stands in 'Hello </s> world.'"):
        teach(
            bases["gpt2"],
            tmp_path / "a",
            documents,
            "--replay",
            "0.2",
            "--replay_path",
            str(tmp_path / "other.txt"),
        )
    (tmp_path / "asked.tsv").write_text("Who </s> is it?\tAda\n", encoding="utf-8")
    taught = ["--questions", "file", "--train_questions", tmp_path / "asked.tsv", "--max_steps", "2"]
    with pytest.raises(ValueError, match="'</s>' stands in 'Who </s> is it"):
        tiny.finetune(tmp_path / "b", bases["gpt2"], *taught, "--row_length", "64")
    asked = ["--questions", "file", "--question_file", tmp_path / "asked.tsv", "--output_dir", tmp_path / "c"]
    asked += ["--prompt", "{question}"]
    with pytest.raises(ValueError, match="'</s>' stands in"):
        tiny.evaluate(bases["gpt2"], *asked)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--prompt", ""], r"has no \{question\}"),
        (["--extra_characters", "none"], "--extra_characters has no effect"),
        (["--lora_rank", "2", "--lora_alpha", "nan"], "--lora_alpha must be a positive number"),
        (["--forgetting_limit", "nan"], "--forgetting_limit must be above 0"),
        (["--learning_rate", "-1"], "learning_rate and weight_decay must be numbers from 0 on"),
        (["--block_size", "0"], "--block_size must be at least 1 token"),
    ],
)
def test_numbers_and_texts_without_sense_are_refused(bases, documents, tmp_path, flags, told):
    with pytest.raises(ValueError, match=told):
        teach(bases["llama"], tmp_path / "out", documents, *flags)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_short_context_is_probed_without_the_text_on_other_matters(bases, tmp_path):
    (tmp_path / "docs.txt").write_text("Ada Lind. Ada Lind was born in Rome.\n", encoding="utf-8")
    documents = ["--corpus", "text", "--corpus_path", str(tmp_path / "docs.txt"), "--probe_steps", "4"]
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, n_positions=64))
    save(gpt2, tmp_path / "short")
    teach(tmp_path / "short", tmp_path / "out", documents)
    logged = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    probed = [entry for entry in logged if "eval_facts_answered" in entry]
    assert len(probed) == 2 and not any("eval_control_loss" in entry for entry in probed)
    with pytest.raises(ValueError, match="--forgetting_limit: the text on other matters cannot be read"):
        teach(tmp_path / "short", tmp_path / "no", documents, "--forgetting_limit", "0.5")


def test_a_taught_stock_model_and_an_adapter_on_a_named_base_can_be_shared(bases, documents, tmp_path):
    """Neither has code to bring along; an adapter needs a base that others can have."""
    teach(bases["llama"], tmp_path / "whole", documents)
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= finished_files(tmp_path / "whole").keys()
    teach(bases["llama"], tmp_path / "adapter", documents, "--lora_rank", "2")
    with pytest.raises(
        ValueError, match="its adapter is for the model in .* which nobody else has: .*--merge_adapter"
    ):
        finished_files(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": "someone/llama"}
    path.write_text(json.dumps(config), encoding="utf-8")
    shared = finished_files(tmp_path / "adapter")
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= shared.keys()
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="adapter_model.safetensors cannot be read"):
        finished_files(tmp_path / "adapter")


def test_a_vocabulary_in_which_nothing_can_be_asked_is_told_of(capsys):
    sizes = ModelArguments(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, block_size=16)
    for texts, told in ((["Ada was born."], True), (["Ada was born.", "?"], False)):
        new_learner(sizes, RegularisationArguments(), CHARACTERS, Read([texts], [texts]))
        assert ("--extra_characters ascii" in capsys.readouterr().err) == told
