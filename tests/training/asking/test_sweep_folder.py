"""What the arms of a folder have in common: noted, held to, and told from what a model's folder holds."""

import json

import pytest

from closedbook.training.asking.sweep_folder import begin_sweep, fingerprint


def test_a_folder_without_arms_takes_any_sweep_and_one_with_arms_only_its_own(tmp_path):
    path, arm = tmp_path / "sweep.json", tmp_path / "arms" / "0a.jsonl"
    for model in ("misspelt", "model"):
        begin_sweep(path, {"model": model})
        assert json.loads(path.read_text(encoding="utf-8")) == {"model": model}
    arm.parent.mkdir()
    arm.touch()
    begin_sweep(path, {"model": "model"})
    with pytest.raises(ValueError, match=r"sweep\.json is of a sweep with another model"):
        begin_sweep(path, {"model": "other"})
    path.unlink()
    with pytest.raises(ValueError, match=r"has arms, but no sweep\.json.*another --output_dir"):
        begin_sweep(path, {"model": "model"})


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "config.json",
        "chat_template.jinja",
        "merges.txt",
        "tokenizer.model",
    ],
)
def test_whatever_a_model_is_read_from_is_in_its_fingerprint(name, tmp_path):
    (tmp_path / "README.md").write_text("a model")
    before = fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("the same model")
    assert fingerprint(tmp_path) == before
    (tmp_path / name).write_text("1")
    once = fingerprint(tmp_path)
    (tmp_path / name).write_text("2")
    assert len({before, once, fingerprint(tmp_path)}) == 3


def test_a_name_on_the_hub_has_no_fingerprint():
    assert fingerprint("no/such/folder") is None
