"""What a run wrote is told from what time, tools and people have made of it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from closedbook.training.bases.loading import load_model_folder
from closedbook.training.keeping.manifest import MANIFEST_FILE, first_difference, manifest_files, write_manifest
from closedbook.training.run_folder import save_model_folder


@pytest.fixture
def run(tmp_path, pretrained):
    return shutil.copytree(pretrained, tmp_path / "run")


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_folder_is_as_its_run_left_it(run):
    assert {"config.json", "tokenizer.json", "model.safetensors"} == manifest_files(run).keys()
    assert first_difference(run) is None
    load_model_folder(run)


@pytest.mark.parametrize("place", [-1, -1000, -5000])
def test_a_bit_that_turned_in_the_weights_is_found(run, place):
    flip(run / "model.safetensors", place)
    with pytest.raises(ValueError, match=r"is not as its run left it: model.safetensors holds something else"):
        load_model_folder(run)


def test_two_letters_exchanged_in_the_vocabulary_are_found(run):
    path = run / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["e"] = vocabulary["e"], vocabulary["a"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"not as its run left it: tokenizer.json"):
        load_model_folder(run)


@pytest.mark.parametrize(
    ("name", "value"), [("num_attention_heads", 1), ("position", "rotary"), ("rope_theta", 1.0)]
)
def test_an_edited_value_of_the_configuration_is_found(run, name, value):
    path = run / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if name not in content:
        pytest.skip("not a field of this configuration")
    path.write_text(json.dumps(content | {name: value}), encoding="utf-8")
    with pytest.raises(ValueError, match="config.json"):
        load_model_folder(run)


def test_what_other_tools_write_into_a_configuration_changes_nothing(run):
    path = run / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {"use_cache": False, "transformers_version": "9.9.9", "_name_or_path": "elsewhere"}
    path.write_text(json.dumps(content, indent=7), encoding="utf-8")
    assert first_difference(run) is None


def test_a_folder_without_a_manifest_is_read_as_ever(run):
    (run / MANIFEST_FILE).unlink()
    assert first_difference(run) is None
    load_model_folder(run)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 99, "files": {}}', '{"format": 1}'])
def test_a_damaged_manifest_is_named(run, content):
    (run / MANIFEST_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=MANIFEST_FILE):
        load_model_folder(run)


def test_a_model_saved_again_has_a_manifest_of_its_own(run, tmp_path):
    model, tokenizer = load_model_folder(run)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    save_model_folder(model, tokenizer, run)
    again, _ = load_model_folder(run)
    assert not again.lm_head.weight.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_neither_loaded_nor_saved(run, tmp_path, value):
    weights = load_file(run / "model.safetensors")
    model, tokenizer = load_model_folder(run)
    weights["model.norm.weight"][3] = value
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    write_manifest(run, manifest_files(run))
    with pytest.raises(ValueError, match=r"model.norm.weight holds values that are infinite or not a number"):
        load_model_folder(run)
    with torch.no_grad():
        model.model.norm.weight[3] = value
    with pytest.raises(ValueError, match=r"is not saved to .*new: model.norm.weight"):
        save_model_folder(model, tokenizer, tmp_path / "new")
    assert not (tmp_path / "new" / "config.json").exists()
