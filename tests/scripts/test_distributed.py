"""Two processes do what one does: in training at equal global batch, and in answering."""

import pytest

from closedbook.evaluation.run_record import read_run


def test_two_processes_train_as_one(tiny, launch, tmp_path):
    flags = ["--precision", "fp32", "--dropout", "0", "--global_batch_size", "8", "--save_strategy", "no"]
    command = tiny.pretraining_process(tmp_path / "two", *flags, "--per_device_train_batch_size", "2")
    launch("pretrain", *command[1:])
    tiny.pretrain(tmp_path / "one", *flags)
    two, one = read_run(tmp_path / "two").last, read_run(tmp_path / "one").last
    assert (two.world_size, one.world_size) == (2, 1)
    for same in ("train_characters", "steps", "global_batch_size", "parameters"):
        assert getattr(two, same) == getattr(one, same)
    tiny.assert_close(tmp_path / "one", tmp_path / "two", logged=1e-3, weights=3e-3)


@pytest.mark.slow
def test_two_processes_resume_what_two_processes_began(tiny, launch, tmp_path):
    flags = ["--dropout", "0.1", "--global_batch_size", "8", "--per_device_train_batch_size", "2"]
    launch("pretrain", *tiny.pretraining_process(tmp_path / "straight", *flags)[1:])
    stopped = tiny.stopped_at(4, tmp_path / "straight", tmp_path / "stopped")
    launch("pretrain", *tiny.pretraining_process(stopped, *flags, "--resume")[1:])
    assert read_run(stopped).last.world_size == 2
    tiny.assert_equal(tmp_path / "straight", stopped)


@pytest.mark.slow
def test_two_processes_refuse_an_occupied_folder_together(tiny, launch, pretrained):
    with pytest.raises(AssertionError, match="already holds files"):
        launch("pretrain", *tiny.pretraining_process(pretrained)[1:])


@pytest.mark.slow
def test_two_processes_answer_as_one(tiny, launch, tmp_path):
    """Nine questions in batches of two: the shares of the processes are not equal, and the bytes are the same."""
    people = [*tiny.people(), "--num_people", "23"]
    model = tmp_path / "model"
    tiny.pretrain(model, *people)
    flags = [*people, "--batch_size", "2", "--max_new_tokens", "32"]
    launch("evaluate", "--model", model, *flags, "--output_dir", tmp_path / "two")
    tiny.evaluate(model, *flags, "--output_dir", tmp_path / "one")
    two, one = ((tmp_path / name / "predictions.jsonl").read_bytes() for name in ("two", "one"))
    assert len(one.splitlines()) == 9
    assert two == one
