"""Who may write to a run's folder, from which checkpoint it goes on, and what a half-written folder does."""

import errno
import os
import shutil

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import save_file
from transformers import AutoTokenizer, GenerationConfig

from closedbook.evaluation.run_record import read_run
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import CharTokenizer, build_char_tokenizer
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.keeping.checkpoints import checkpoint_problem, last_good_checkpoint, seal_checkpoint
from closedbook.training.run_folder import (
    check_output_folder,
    save_model_folder,
)


@pytest.fixture
def run(tmp_path, pretrained):
    """A finished run of one's own, with checkpoints 4 and 8."""
    return shutil.copytree(pretrained, tmp_path / "run")


def truncate(path, keep=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_or_empty_folder_is_free(tmp_path):
    assert check_output_folder(tmp_path / "new", resume=False, overwrite=False) is None
    assert check_output_folder(tmp_path, resume=False, overwrite=True) is None
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tiny, run):
    before = snapshot(run)
    with pytest.raises(ValueError, match=r"already holds files.*--resume.*--overwrite"):
        tiny.pretrain(run)
    assert snapshot(run) == before


def test_ways_out_are_named_only_where_they_lead_out(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="already holds files: use another folder$"):
        check_output_folder(tmp_path, resume=False, overwrite=False)
    (tmp_path / "export.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="use another folder, or --overwrite to replace it$"):
        check_output_folder(tmp_path, resume=None, overwrite=False, record="export.json")


def test_overwriting_replaces_a_run_of_this_package(tiny, run):
    tiny.pretrain(run, "--overwrite", "--max_steps", "2", "--save_steps", "2")
    assert read_run(run).last.steps == 2
    assert [path.name for path in run.glob("checkpoint-*")] == ["checkpoint-2"]


def test_overwriting_refuses_files_that_no_run_of_this_package_wrote(tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="not written by this command"):
        tiny.pretrain(tmp_path, "--overwrite")
    assert (tmp_path / "thesis.tex").read_text(encoding="utf-8") == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="is a file"):
        check_output_folder(tmp_path / "file", resume=False, overwrite=True)


def test_resume_and_overwrite_exclude_each_other(tiny, run):
    before = snapshot(run)
    with pytest.raises(ValueError, match="choose one"):
        tiny.pretrain(run, "--resume", "--overwrite")
    assert snapshot(run) == before


def test_resuming_without_a_checkpoint_is_an_error(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="no complete checkpoint"):
        tiny.pretrain(tmp_path / "nothing", "--resume")
    (tmp_path / "half" / "checkpoint-4").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="no complete checkpoint"):
        tiny.pretrain(tmp_path / "half", "--resume")


def test_a_mistake_in_another_flag_does_not_cost_the_run_to_be_overwritten(tiny, run):
    before = snapshot(run)
    for flags in (["--corpus", "wiki"], ["--num_attention_heads", "3"], ["--objectives", "none"]):
        with pytest.raises((ValueError, StrictDataclassError)):
            tiny.pretrain(run, "--overwrite", *flags)
        assert snapshot(run) == before


def test_a_model_cannot_be_finetuned_over_itself(tiny, run):
    before = snapshot(run)
    for model in (run, run / "checkpoint-4"):
        with pytest.raises(ValueError, match="holds the model to start from"):
            tiny.finetune(run, model, "--overwrite", *tiny.people())
        assert snapshot(run) == before


def test_a_run_killed_before_its_end_can_be_overwritten(tiny, tmp_path, monkeypatch):
    from closedbook.training import trainer

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_model_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            tiny.pretrain(tmp_path / "run")
    tiny.pretrain(tmp_path / "run", "--overwrite")
    assert read_run(tmp_path / "run").last.steps == 8


def test_the_newest_checkpoint_counts_by_number_not_by_name(tmp_path, pretrained):
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-x"):
        shutil.copytree(pretrained / "checkpoint-4", tmp_path / name)
    assert last_good_checkpoint(tmp_path).name == "checkpoint-10"


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"])
@pytest.mark.parametrize("harm", ["missing", "empty", "truncated", "garbage"])
def test_a_broken_checkpoint_is_passed_over(run, caplog, file, harm):
    path = run / "checkpoint-8" / file
    if harm == "missing":
        path.unlink()
    elif harm == "garbage":
        path.write_bytes(b"\x00garbage" * 20)
    else:
        truncate(path, 0.0 if harm == "empty" else 0.5)
    assert checkpoint_problem(run / "checkpoint-8")
    assert last_good_checkpoint(run) == run / "checkpoint-4"
    assert "passing over" in caplog.text
    assert "checkpoint-8" in caplog.text


def test_a_run_goes_on_from_the_checkpoint_before_a_broken_one(tiny, run, pretrained, capsys):
    for path in run.iterdir():
        if path.is_file():
            path.unlink()
    truncate(run / "checkpoint-8" / "optimizer.pt")
    tiny.pretrain(run, "--resume")
    assert "has no run.json, so that" in capsys.readouterr().err
    tiny.assert_equal(pretrained, run)
    assert checkpoint_problem(run / "checkpoint-8") is None


def test_a_full_disk_leaves_the_old_model_and_nothing_else(run, monkeypatch):
    before = snapshot(run)
    model, tokenizer = load_model_folder(run)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tokenizer, "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        save_model_folder(model, tokenizer, run)
    assert snapshot(run) == before
    assert not [path for path in run.iterdir() if path.name.startswith(".")]
    load_model_folder(run)


def test_a_saved_model_folder_loads_with_equal_weights_and_vocabulary(tmp_path, pretrained):
    model, tokenizer = load_model_folder(pretrained)
    save_model_folder(model, tokenizer, tmp_path / "deep" / "copy")
    again, its_tokenizer = load_model_folder(tmp_path / "deep" / "copy")
    assert isinstance(again, VanillaGPTForCausalLM)
    assert isinstance(its_tokenizer, CharTokenizer)
    assert its_tokenizer.get_vocab() == tokenizer.get_vocab()
    state = model.state_dict()
    assert all(torch.equal(weight, state[name]) for name, weight in again.state_dict().items())


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_model_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no model"):
        load_model_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_damaged_weights_are_refused(run, keep):
    truncate(run / "model.safetensors", keep)
    with pytest.raises(ValueError, match="damaged"):
        load_model_folder(run)


def test_missing_weights_are_refused(run):
    (run / "model.safetensors").unlink()
    with pytest.raises((OSError, ValueError), match=r"model.safetensors"):
        load_model_folder(run)


def test_weights_of_another_architecture_are_refused(tiny, run, tmp_path):
    tiny.pretrain(tmp_path / "perceiver", "--architecture", "perceiver", "--num_latents", "8", "--max_steps", "1")
    shutil.copy(tmp_path / "perceiver" / "model.safetensors", run / "model.safetensors")
    with pytest.raises(ValueError, match=r"not those of its config.json \(vanilla_gpt\).*down_block"):
        load_model_folder(run)


def test_weights_that_lack_a_tensor_or_have_another_size_are_refused(tiny, run):
    weights = tiny.weights(run)
    without = {name: weight for name, weight in weights.items() if name != "lm_head.weight"}
    save_file(without, run / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing_keys.*lm_head.weight"):
        load_model_folder(run)
    wider = weights | {"model.norm.weight": torch.ones(17)}
    save_file(wider, run / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"model.norm.weight"):
        load_model_folder(run)


def test_a_tokenizer_of_another_vocabulary_is_refused(run):
    build_char_tokenizer(["abc"]).save_pretrained(run)
    with pytest.raises(ValueError, match="the tokenizer has 5 characters"):
        load_model_folder(run)


@pytest.mark.parametrize("flags", [("--seed", "11"), ("--global_batch_size", "4")])
def test_a_run_is_not_resumed_with_settings_that_make_it_another(tiny, run, flags):
    before = snapshot(run)
    with pytest.raises(ValueError, match=f"--resume: the run in this folder has {flags[0][2:]}"):
        tiny.pretrain(run, "--resume", *flags)
    assert snapshot(run) == before


def test_a_sharded_checkpoint_is_left_to_its_own_reader_to_check(tmp_path):
    checkpoint = tmp_path / "checkpoint-3"
    (checkpoint / "pytorch_model_fsdp_0").mkdir(parents=True)
    assert checkpoint_problem(checkpoint) is not None, "no state file: the save was cut short"
    (checkpoint / "trainer_state.json").write_text("{}", encoding="utf-8")
    assert checkpoint_problem(checkpoint) is None


def test_a_saved_folder_is_ready_to_be_asked_in_batches_and_takes_the_most_probable_answer(tmp_path):
    tokenizer = build_char_tokenizer(["abc ?"])
    config = VanillaGPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=24,
        initializer_range=0.5,
    )
    save_model_folder(VanillaGPTForCausalLM(config).eval(), tokenizer, tmp_path / "saved")
    assert GenerationConfig.from_pretrained(tmp_path / "saved").do_sample is False
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert loaded.padding_side == "left"
    model, _ = load_model_folder(tmp_path / "saved")
    batch = loaded(["ab c?⁇", "a⁇"], padding=True, return_tensors="pt")
    together = model.generate(**batch, max_new_tokens=4)[:, batch["input_ids"].shape[1] :]
    for row, text in enumerate(["ab c?⁇", "a⁇"]):
        one = loaded(text, return_tensors="pt")
        alone = model.generate(**one, max_new_tokens=4)[0, one["input_ids"].shape[1] :].tolist()
        assert together[row, : len(alone)].tolist() == alone


@pytest.mark.parametrize("umask", [0o022, 0o007, 0o077])
def test_weights_are_for_whoever_may_read_the_rest(tmp_path, pretrained, umask):
    """safetensors would write them for their owner alone; a strict umask is kept."""
    model, tokenizer = load_model_folder(pretrained)
    before = os.umask(umask)
    try:
        save_model_folder(model, tokenizer, tmp_path / "run")
        checkpoint = tmp_path / "run" / "checkpoint-1"
        model.save_pretrained(checkpoint)
        seal_checkpoint(checkpoint)
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert {path.name for path in files} > {"model.safetensors", "config.json", "manifest.json"}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}
