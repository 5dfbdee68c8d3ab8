"""A run's folder while it trains: only what a run wrote ever goes, and the old one only when the new one works."""

import json
import os
import shutil
import signal
import time

import pytest
import torch
import warm

from closedbook.evaluation.run_record import RUN_FILE, read_run
from closedbook.training import trainer
from closedbook.training.keeping.checkpoints import checkpoint_problem, last_good_checkpoint, rotate_checkpoints
from closedbook.training.keeping.finite import NonFiniteError
from closedbook.training.keeping.lock import sole_writer
from closedbook.training.keeping.stopping import Stopped
from closedbook.training.keeping.written import written_files

QUICK = ["--max_steps", "2", "--save_strategy", "no"]


@pytest.fixture
def run(tmp_path, pretrained):
    """A finished run of one's own, with checkpoints 4 and 8."""
    return shutil.copytree(pretrained, tmp_path / "run")


def snapshot(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def belongings(run):
    """What a user has put into the run's folder, in places that a clean-up might think its own."""
    names = ["wiki.txt", "notes.md", "model.py", "checkpoint-best/model.safetensors", "checkpoint-4/thoughts.txt"]
    names += ["logs/mine.txt", "other/run/run.json", "other/run/model.safetensors", "test/predictions.jsonl"]
    names += ["data/results.json", "knowing/essay.txt"]
    for name in names:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(f"mine: {name}", encoding="utf-8")
    (run / "README.md").write_text("# My own card", encoding="utf-8")
    return [*names, "README.md"]


def test_overwriting_removes_what_a_run_wrote_and_nothing_else(tiny, run, belongings):
    before = snapshot(run)
    tiny.pretrain(run, "--overwrite", *QUICK)
    after = snapshot(run)
    assert {name: after.get(name) for name in belongings} == {name: before[name] for name in belongings}
    assert read_run(run).last.steps == 2
    ours = {path.relative_to(run).as_posix() for path in written_files(run)}
    assert after.keys() - ours == set(belongings) - {"README.md"} | ({"README.md"} - ours)
    assert not (run / "checkpoint-8").exists()


def test_answers_of_replaced_weights_go_with_them(tiny, run):
    tiny.evaluate(run, *tiny.people())
    assert (run / "test" / "results.json").is_file()
    tiny.pretrain(run, "--overwrite", *QUICK)
    assert not (run / "test").exists()


def test_what_is_read_does_not_lie_in_the_output(tiny, run):
    (run / "wiki.txt").write_text("Ada Lind was born in Bern.\n", encoding="utf-8")
    before = snapshot(run)
    text = ["--corpus", "text", "--corpus_path", run / "wiki.txt"]
    with pytest.raises(ValueError, match=r"--corpus_path .*wiki.txt lies in the output_dir"):
        tiny.pretrain(run, "--overwrite", *text)
    with pytest.raises(ValueError, match=r"--train_questions .*wiki.txt lies in the output_dir"):
        tiny.finetune(run, run.parent, "--overwrite", "--questions", "file", "--train_questions", run / "wiki.txt")
    assert snapshot(run) == before


class _Broken(Exception):
    pass


@pytest.mark.parametrize("when", ["made", "first step"])
def test_a_run_that_fails_before_its_first_step_costs_the_old_one_nothing(tiny, run, monkeypatch, when):
    class Failing(trainer.FiniteTrainer):
        def __init__(self, *args, **kwargs):
            if when == "made":
                raise _Broken
            super().__init__(*args, **kwargs)

        def training_step(self, *args, **kwargs):
            raise _Broken

    before = snapshot(run)
    monkeypatch.setattr(trainer, "FiniteTrainer", Failing)
    with pytest.raises(_Broken):
        tiny.pretrain(run, "--overwrite", *QUICK)
    assert snapshot(run) == before


def test_two_runs_in_one_folder_are_one_too_many(tiny, tmp_path):
    with sole_writer(tmp_path / "run"), pytest.raises(ValueError, match="another run is writing to .*run"):
        tiny.pretrain(tmp_path / "run", *QUICK)
    assert not (tmp_path / "run").exists()
    tiny.pretrain(tmp_path / "run", *QUICK)
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_killed_run_leaves_a_lock_that_the_next_one_takes(tiny, tmp_path):
    holder = (
        "import sys, time; from closedbook.training.keeping.lock import sole_writer\n"
        "with sole_writer(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    said = tmp_path / "said"
    command, standard = ["-c", holder, tmp_path / "run"], (os.devnull, str(said), os.devnull)
    process = warm.Process(command, env=tiny.environment(), standard=standard)
    while not said.exists() or said.read_text(encoding="utf-8") != "held\n":
        assert process.poll() is None
        time.sleep(0.01)
    with pytest.raises(ValueError, match="another run"), sole_writer(tmp_path / "run"):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "run" / ".lock").exists()
    tiny.pretrain(tmp_path / "run", *QUICK)


def test_the_oldest_checkpoints_go_and_what_a_user_put_there_stays(run):
    (run / "checkpoint-4" / "notes.txt").write_text("mine", encoding="utf-8")
    shutil.copytree(run / "checkpoint-8", run / "checkpoint-12")
    rotate_checkpoints(run, 1, best=str(run / "checkpoint-8"))
    assert snapshot(run / "checkpoint-4") == {"notes.txt": b"mine"}
    assert checkpoint_problem(run / "checkpoint-8") is None and checkpoint_problem(run / "checkpoint-12") is None
    rotate_checkpoints(run, None, None)
    assert (run / "checkpoint-8").exists()


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.pt", "tokenizer.json", "rng_state.pth"])
def test_a_bit_that_turned_in_a_checkpoint_makes_it_be_passed_over(run, file):
    path = run / "checkpoint-8" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    assert file in checkpoint_problem(run / "checkpoint-8")
    assert last_good_checkpoint(run) == run / "checkpoint-4"


# ---- resuming ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--learning_rate", "0.001"], "learning_rate 0.006, now it is 0.001"),
        (["--weight_decay", "0.3"], "weight_decay 0.1, now it is 0.3"),
        (["--dropout", "0.2"], "dropout 0.1, now it is 0.2"),
        (["--objectives", "left_to_right"], "objectives"),
        (["--num_versions", "3"], "documents"),
        (["--precision", "another"], "precision"),
        (["--row_length", "96"], "row_length"),
        (["--num_people", "21"], "documents"),
        (["--population_seed", "5"], "population_seed 0, now it is 5"),
        (["--adam_beta2", "0.9"], "adam_beta2"),
        (["--warmup_steps", "1"], "warmup_steps"),
        (["--max_grad_norm", "3"], "max_grad_norm"),
        (["--lr_scheduler_type", "constant"], "lr_scheduler_type"),
        (["--shift_positions", "True"], "shift_positions"),
        (["--optimizer", "adamw"], "optimizer"),
        (["--max_steps", "3"], "done 4 steps, and max_steps is 3"),
    ],
)
def test_a_run_is_resumed_as_itself_only(tiny, run, flags, named):
    shutil.rmtree(run / "checkpoint-8")
    before = snapshot(run)
    # What `auto` chose depends on the processor: the run keeps that here, but for the row that takes the other.
    chosen, other = ("bf16", "fp32") if read_run(run).last.arguments["precision"] == "bf16" else ("fp32", "bf16")
    flags = [other if flag == "another" else flag for flag in flags]
    with pytest.raises(ValueError, match=f"--resume: the run in this folder has .*{named}"):
        tiny.pretrain(run, "--resume", *(["--precision", chosen] if "precision" not in named else []), *flags)
    assert snapshot(run) == before


def test_another_text_under_the_same_name_is_another_run(tiny, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Ada Lind was born in Bern.\n" * 9, encoding="utf-8")
    flags = ["--corpus", "text", "--corpus_path", text, "--objectives", "left_to_right", "--save_steps", "2"]
    flags += ["--global_batch_size", "8"]
    tiny.pretrain(tmp_path / "run", *flags, "--max_steps", "4")
    shutil.copy(text, tmp_path / "moved.txt")
    longer = [*flags, "--max_steps", "6", "--resume"]
    moved = ["--corpus_path", tmp_path / "moved.txt", "--per_device_train_batch_size", "4", "--logging_steps", "3"]
    assert tiny.pretrain(tmp_path / "run", *longer, *moved).steps == 6
    text.write_text("Ada Lind was born in Rome.\n" * 9, encoding="utf-8")
    with pytest.raises(ValueError, match="--resume: the run in this folder has data_sha256"):
        tiny.pretrain(tmp_path / "run", *longer)


# ---- finite or nothing -------------------------------------------------------------------------------------


def test_a_run_whose_loss_is_no_number_stops_at_that_step(tiny, tmp_path):
    flags = ["--learning_rate", "1e9", "--max_steps", "12", "--save_steps", "1"]
    with pytest.raises(NonFiniteError, match=r"step \d: the (loss|gradient) is infinite.*last good checkpoint is"):
        tiny.pretrain(tmp_path / "run", *flags)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert not read_run(tmp_path / "run").last.is_finished
    last = last_good_checkpoint(tmp_path / "run")
    assert all(torch.isfinite(weight).all() for weight in tiny.weights(last).values())


@pytest.fixture
def spoiled_gradient(monkeypatch):
    """Make the gradients of some steps NaN."""

    def spoil(*steps):
        class Spoiling(trainer.FiniteTrainer):
            def training_step(self, model, *args, **kwargs):
                loss = super().training_step(model, *args, **kwargs)
                if self.state.global_step + 1 in steps:
                    next(model.parameters()).grad[0] = float("nan")
                return loss

        monkeypatch.setattr(trainer, "FiniteTrainer", Spoiling)

    return spoil


def test_a_gradient_that_is_no_number_stops_a_run_with_the_weights_of_its_last_step(
    tiny, tmp_path, spoiled_gradient, pretrained
):
    spoiled_gradient(5)
    with pytest.raises(NonFiniteError, match=r"step 5: the gradient is infinite or not a number.*checkpoint-4"):
        tiny.pretrain(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-4"]
    assert read_run(tmp_path / "run").last.eval_loss is None


def test_steps_may_be_left_out_up_to_a_limit(tiny, tmp_path, spoiled_gradient, caplog):
    spoiled_gradient(2, 3)
    skipping = ["--on_nonfinite", "skip", "--max_steps", "4"]
    tiny.pretrain(tmp_path / "run", *skipping, "--nonfinite_limit", "2")
    assert "step 3: the gradient is not finite; left out, 2 of at most 2" in caplog.text
    with pytest.raises(NonFiniteError, match="step 3: .* after 1 steps that were left out"):
        tiny.pretrain(tmp_path / "other", *skipping, "--nonfinite_limit", "1")


def test_a_checkpoint_with_weights_that_are_no_numbers_is_not_resumed_from(tiny, run):
    from safetensors.torch import save_file

    from closedbook.training.keeping.checkpoints import seal_checkpoint

    weights = tiny.weights(run / "checkpoint-8")
    weights["lm_head.weight"][0, 0] = float("nan")
    save_file(weights, run / "checkpoint-8" / "model.safetensors", metadata={"format": "pt"})
    seal_checkpoint(run / "checkpoint-8")
    assert "lm_head.weight is infinite or not a number" in checkpoint_problem(run / "checkpoint-8")
    assert last_good_checkpoint(run) == run / "checkpoint-4"


# ---- ends that come early ----------------------------------------------------------------------------------


def test_weights_are_saved_before_anything_that_may_fail(tiny, tmp_path, monkeypatch, pretrained):
    def evaluate(*_):
        raise _Broken

    with monkeypatch.context() as patch:
        patch.setattr(trainer.FiniteTrainer, "evaluate", evaluate)
        with pytest.raises(_Broken):
            tiny.pretrain(tmp_path / "run")
    weights, same = tiny.weights(tmp_path / "run"), tiny.weights(pretrained)
    assert all(torch.equal(weights[name], same[name]) for name in same)
    assert not read_run(tmp_path / "run").last.is_finished
    tiny.pretrain(tmp_path / "run", "--resume")
    assert read_run(tmp_path / "run").last.is_finished
    tiny.assert_equal(tmp_path / "run", pretrained)


def test_an_evaluation_in_half_precision_leaves_the_weights_as_trained(tiny, tmp_path, pretrained):
    tiny.pretrain(tmp_path / "run", "--bf16_full_eval", "True")
    weights, same = tiny.weights(tmp_path / "run"), tiny.weights(pretrained)
    assert all(torch.equal(weights[name], same[name]) for name in same)


def test_sigterm_leaves_a_last_checkpoint_from_which_the_run_goes_on(tiny, tmp_path):
    flags = ["--max_steps", "150", "--save_strategy", "no", "--logging_steps", "1000"]
    command = tiny.pretraining_process(tmp_path / "run", *flags)
    said = tmp_path / "said"
    process = warm.Process(command, env=tiny.environment(), standard=(os.devnull, os.devnull, str(said)))
    while not (tmp_path / "run" / RUN_FILE).exists():  # written when training begins
        time.sleep(0.05)
        assert process.poll() is None, said.read_text(encoding="utf-8")
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    errors = said.read_text(encoding="utf-8")
    assert "pretrain.py: stopped by SIGTERM after step" in errors and "Traceback" not in errors
    (last,) = (tmp_path / "run").glob("checkpoint-*")
    assert checkpoint_problem(last) is None
    done = json.loads((last / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
    assert 0 < done < 150
    facts = tiny.pretrain(tmp_path / "run", "--resume", *flags)
    assert facts.steps == 150


def test_a_time_limit_leaves_a_last_checkpoint_too(tiny, tmp_path):
    with pytest.raises(Stopped, match="stopped by time limit after step 1 of 8.*--resume") as stopped:
        tiny.pretrain(tmp_path / "run", "--time_limit", "1e-9")
    assert stopped.value.status == 75
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert last_good_checkpoint(tmp_path / "run") == tmp_path / "run" / "checkpoint-1"
    assert os.listdir(tmp_path / "run")


def test_a_run_stopped_by_its_limit_and_resumed_equals_one_never_stopped(tiny, tmp_path, pretrained):
    with pytest.raises(Stopped):
        tiny.pretrain(tmp_path / "run", "--time_limit", "1e-9")
    tiny.pretrain(tmp_path / "run", "--resume")
    weights, same = tiny.weights(tmp_path / "run"), tiny.weights(pretrained)
    assert all(torch.equal(weights[name], same[name]) for name in same)


def test_what_a_kill_left_half_written_goes_with_the_next_run_and_occupies_nothing(tiny, tmp_path):
    left = [
        "logs/events.out.tfevents.1.host.2.0",
        ".unfinished-abc/config.json",
        ".run.json.123.unfinished",
        ".lock",
    ]
    for name in left:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text("", encoding="utf-8")
    (tmp_path / "run" / "other").mkdir()
    (tmp_path / "run" / ".unfinished-def" / "model" / "onnx").mkdir(parents=True)
    tiny.pretrain(tmp_path / "run", *QUICK)
    assert not list((tmp_path / "run").rglob(".*"))
