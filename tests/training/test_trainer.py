"""The same run is the same: repeated, resumed, killed, with other workers, with another split of the batch."""

import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch
import warm
from transformers import GPT2Config, GPT2LMHeadModel

from closedbook.data.mixture import Component, Mixture
from closedbook.data.people.biographies import biography_documents
from closedbook.data.people.population import Population
from closedbook.evaluation.run_record import read_run
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.training import trainer
from closedbook.training.arguments import ClosedbookTrainingArguments, RegularisationArguments

ACCUMULATED = ["--global_batch_size", "8", "--per_device_train_batch_size", "4"]
EXACT = ["--precision", "fp32", "--dropout", "0"]


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others(tiny, pretrained, tmp_path):
    tiny.pretrain(tmp_path / "again")
    tiny.assert_equal(pretrained, tmp_path / "again")
    tiny.pretrain(tmp_path / "other", "--seed", "4")
    assert tiny.log(tmp_path / "other") != tiny.log(pretrained)


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(["--optimizer", "muon"], id="muon"),
        pytest.param(["--optimizer", "adamw"], id="adamw"),
        pytest.param(["--optimizer", "muon", "--dataloader_num_workers", "2"], id="muon-2-workers"),
        pytest.param(["--optimizer", "adamw", "--dataloader_num_workers", "2"], id="adamw-2-workers"),
        pytest.param(["--precision", "bf16", "--eval_strategy", "steps", "--eval_steps", "3"], id="bf16-eval"),
        pytest.param(["--architecture", "perceiver", "--num_latents", "16"], id="perceiver"),
        pytest.param(["--objectives", "span_corruption=3", "left_to_right"], id="two-objectives"),
    ],
)
def test_a_resumed_run_equals_one_never_stopped(tiny, tmp_path, flags):
    flags = [*ACCUMULATED, "--dropout", "0.1", "--attention_dropout", "0.1", *flags]
    tiny.pretrain(tmp_path / "straight", *flags)
    stopped = tiny.stopped_at(4, tmp_path / "straight", tmp_path / "stopped")
    tiny.pretrain(stopped, *flags, "--resume")
    tiny.assert_equal(tmp_path / "straight", stopped)


def test_finetuning_resumes_like_pretraining(tiny, pretrained, tmp_path):
    flags = [*tiny.people(), "--validation_share", "0.2", "--save_strategy", "steps", "--save_steps", "2"]
    flags += ["--eval_strategy", "steps", "--eval_steps", "1"]
    tiny.finetune(tmp_path / "straight", pretrained, *flags)
    stopped = tiny.stopped_at(2, tmp_path / "straight", tmp_path / "stopped")
    tiny.finetune(stopped, pretrained, *flags, "--resume")
    tiny.assert_equal(tmp_path / "straight", stopped)


def test_a_run_killed_in_the_middle_and_resumed_equals_one_never_stopped(tiny, tmp_path):
    flags = ["--max_steps", "60", "--save_steps", "10", "--dropout", "0.1"]
    killed = tmp_path / "killed"
    command, log = tiny.pretraining_process(killed, *flags), str(tmp_path / "log")
    process = warm.Process(command, env=tiny.environment(), standard=(os.devnull, log, log))
    patience = time.monotonic() + 120
    while process.poll() is None and not (killed / "checkpoint-20").exists():
        assert time.monotonic() < patience, (tmp_path / "log").read_text(encoding="utf-8")
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "model.safetensors").exists(), "the run was over before it could be killed"
    warm.run([*command, "--resume"], env=tiny.environment(), check=True)
    tiny.pretrain(tmp_path / "straight", *flags)
    tiny.assert_equal(tmp_path / "straight", killed)


def test_the_number_of_data_workers_changes_nothing(tiny, pretrained, tmp_path):
    tiny.pretrain(tmp_path / "workers", "--dataloader_num_workers", "2")
    tiny.assert_equal(pretrained, tmp_path / "workers")


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_accumulation_equals_the_whole_batch_at_once(tiny, tmp_path, optimizer):
    flags = [*EXACT, "--optimizer", optimizer, "--global_batch_size", "8"]
    tiny.pretrain(tmp_path / "whole", *flags, "--per_device_train_batch_size", "8")
    tiny.pretrain(tmp_path / "parts", *flags, "--per_device_train_batch_size", "2")
    tiny.assert_close(tmp_path / "whole", tmp_path / "parts", logged=1e-3, weights=3e-3)


def test_accumulation_of_answers_weighs_every_character_alike(tiny, pretrained, tmp_path):
    """Labels are sparse and unequal here, so a mean of means would show."""
    flags = [*EXACT, *tiny.people(), "--global_batch_size", "8", "--optimizer", "adamw"]
    tiny.finetune(tmp_path / "whole", pretrained, *flags, "--per_device_train_batch_size", "8")
    tiny.finetune(tmp_path / "parts", pretrained, *flags, "--per_device_train_batch_size", "2")
    tiny.assert_close(tmp_path / "whole", tmp_path / "parts", logged=1e-3, weights=3e-3)


def test_time_spent_before_a_kill_is_counted(tiny, tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))

    begun = []

    class Killed(trainer.FiniteTrainer):
        def training_step(self, *args, **kwargs):
            if self.state.global_step == 0:
                begun.append(read_run(tmp_path / "run").last.train_seconds)
            if self.state.global_step == 6:
                raise KeyboardInterrupt
            return super().training_step(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "FiniteTrainer", Killed)
        with pytest.raises(KeyboardInterrupt):
            tiny.pretrain(tmp_path / "run")
    before = read_run(tmp_path / "run").last.train_seconds
    assert before >= begun[0] + 100  # every checkpoint brings the time up to date
    facts = tiny.pretrain(tmp_path / "run", "--resume")
    assert facts.train_seconds >= before + 100


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--row_length", "256", "--precision", "bf16"], "eager"),
        (["--row_length", "257", "--precision", "bf16"], "sdpa"),
        (["--row_length", "256", "--precision", "fp32"], "sdpa"),
        (["--row_length", "257", "--attn_implementation", "eager"], "eager"),
        (["--row_length", "64", "--attn_implementation", "sdpa"], "sdpa"),
    ],
)
def test_short_rows_in_bf16_on_a_cpu_take_the_plain_attention_unless_told_otherwise(
    tiny, tmp_path, monkeypatch, flags, expected
):
    class Seen(Exception):
        pass

    def look(model, **_):
        raise Seen(model.config._attn_implementation)

    monkeypatch.setattr(trainer, "FiniteTrainer", look)
    with pytest.raises(Seen, match=f"^{expected}$"):
        tiny.pretrain(tmp_path / "run", *flags)


def test_steps_are_counted_from_epochs_and_rounded_up(parse):
    def steps(records, *flags):
        args, _ = parse((ClosedbookTrainingArguments,), ["--global_batch_size", "8", *flags])
        args.divide_batch()
        return trainer.count_steps(args, records)

    assert steps(16, "--num_train_epochs", "3") == 6
    assert steps(17, "--num_train_epochs", "3") == 7
    assert steps(17, "--num_train_epochs", "3", "--max_steps", "5") == 5


def test_the_run_file_counts_what_was_read(tiny, tmp_path):
    facts = tiny.pretrain(tmp_path / "run", "--objectives", "left_to_right", "--max_steps", "3")
    assert facts == read_run(tmp_path / "run").last
    assert (facts.stage, facts.steps, facts.global_batch_size, facts.seed) == ("pretrain", 3, 8, 3)
    records = biography_documents(
        Population(20), versions=2, attributes=["birth_place"], unit="sentence"
    ).to_list()
    mixture = Mixture([Component("left_to_right", records, "left_to_right")], 3, 64, 3 * 8)
    assert facts.train_characters == sum(len(mixture[index]) for index in range(3 * 8))
    assert facts.parameters == sum(weight.numel() for weight in tiny.weights(tmp_path / "run").values())


@pytest.mark.parametrize(
    "model",
    [
        VanillaGPTForCausalLM(VanillaGPTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2)),
        PerceiverGPTForCausalLM(PerceiverGPTConfig(hidden_size=16, num_hidden_layers=3, num_attention_heads=2)),
    ],
    ids=["vanilla", "perceiver"],
)
def test_dropout_of_a_model_already_made_can_be_switched_off_and_on(model):
    ids = torch.arange(2, 60).unsqueeze(0)
    model.train()
    for dropout, attention_dropout, equal in ((0.0, 0.0, True), (0.5, 0.0, False), (0.0, 0.5, False)):
        trainer.apply_dropout(model, RegularisationArguments(dropout, attention_dropout))
        assert torch.equal(model(ids).logits, model(ids).logits) == equal
    assert model.config.hidden_dropout == model.config.embedding_dropout == 0.0
    assert model.config.attention_dropout == 0.5


def test_a_stock_model_keeps_the_dropout_of_its_configuration_and_says_so():
    sizes = {"vocab_size": 20, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0.3, embd_pdrop=0.2, attn_pdrop=0.1))
    rates = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    trainer.apply_dropout(model, RegularisationArguments())
    assert [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)] == rates
    assert set(rates) == {0.1, 0.2, 0.3} and not hasattr(model.config, "embedding_dropout")
    with pytest.raises(ValueError, match="GPT2LMHeadModel keeps the dropout of its own configuration"):
        trainer.apply_dropout(model, RegularisationArguments(0.9, 0.9))


@pytest.mark.parametrize("stock", [False, True])
def test_the_last_evaluation_reads_packed_rows_without_a_cache_and_the_saved_model_has_one(
    stock, tmp_path, monkeypatch
):
    """Packed rows leak through the cache of a stock model, and answering needs it."""
    sizes = {"vocab_size": 20, "n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    own = VanillaGPTConfig(vocab_size=20, hidden_size=16, num_attention_heads=2)
    model = GPT2LMHeadModel(GPT2Config(**sizes)) if stock else VanillaGPTForCausalLM(own)
    model.config.use_cache = False  # as the library's Trainer leaves it
    seen = []

    def note(what, value):
        seen.append((what, model.config.use_cache))
        return value

    monkeypatch.setattr(trainer, "save_model_folder", lambda *_: note("save", None))
    monkeypatch.setattr(trainer, "record_run", lambda _, run: run)
    stand_in = SimpleNamespace(
        args=SimpleNamespace(process_index=0, output_dir=tmp_path, global_batch_size=1),
        model=model,
        is_fsdp_enabled=False,
        accelerator=SimpleNamespace(unwrap_model=lambda model: model),
        evaluate=lambda: note("evaluate", {"eval_loss": 1.0}),
        state=SimpleNamespace(save_to_json=lambda _: None),
    )
    run = trainer.Run().then(trainer.Stage())
    progress = SimpleNamespace(counts=lambda: {"train_characters": 3})
    trainer._finish(stand_in, SimpleNamespace(seconds=lambda: 1.0), run, 1, progress, None)
    assert seen == [("save", True), ("evaluate", False)] and model.config.use_cache


def test_what_is_evaluated_is_another_draw_than_what_is_learned(tiny, tmp_path, monkeypatch):
    made, mixture = [], trainer.Mixture

    def record(components, seed, *rest):
        made.append((seed, *rest))
        return mixture(components, seed, *rest)

    monkeypatch.setattr(trainer, "Mixture", record)
    flags = ["--max_steps", "3", "--eval_examples", "5", "--shift_positions", "True", "--save_strategy", "no"]
    tiny.pretrain(tmp_path / "run", *flags)
    (learned, *learned_rest), (evaluated, *evaluated_rest) = made
    assert learned == 3 and evaluated not in range(1000)  # no seed that a person would give another run
    assert learned_rest == [64, 3 * 8, True, None] and evaluated_rest == [64, 5, True, None]
