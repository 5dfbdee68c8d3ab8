"""The two commands write what they say, and refuse what they cannot look at before anything slow."""

import json

import pytest
import torch

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.asking import attention
from closedbook.training.run_folder import save_model_folder

QUESTION = "Where was Ada Lovelace born?"
PNG = b"\x89PNG"
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 48}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """An untrained vanilla model and an untrained Perceiver."""
    tokenizer = build_char_tokenizer([QUESTION + " London Grace Hopper New York"], model_max_length=48)
    made = {}
    for name, model_class, config in (
        ("vanilla", VanillaGPTForCausalLM, VanillaGPTConfig(vocab_size=len(tokenizer), **SIZES)),
        (
            "perceiver",
            PerceiverGPTForCausalLM,
            PerceiverGPTConfig(vocab_size=len(tokenizer), num_latents=12, **SIZES),
        ),
    ):
        torch.manual_seed(0)
        made[name] = tmp_path_factory.mktemp(name)
        save_model_folder(model_class(config), tokenizer, made[name])
    return made


def test_constructions_are_measured_tabled_and_drawn(tmp_path):
    output = tmp_path / "some" / "constructions"
    flags = ["--num_tokens", "6", "--size", "6", "--draws", "50", "--output", str(output)]
    content = attention.main(["constructions", *flags])
    written = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert written["spreads"] == content["spreads"]
    assert {"versions", "hardware", "commit", "command"} <= written.keys()
    assert all(row["holds"] for row in written["errors"])
    assert "tokens find each other" in output.with_suffix(".md").read_text(encoding="utf-8")
    for name in ("constructions.png", "constructions-heads.png", "constructions-scale.png"):
        assert (output.parent / name).read_bytes().startswith(PNG)


def test_a_model_is_scored_and_its_maps_are_drawn(folders, tmp_path):
    questions = tmp_path / "questions.tsv"
    questions.write_text(f"{QUESTION}\tLondon\nWhere was Grace Hopper born?\tNew York\n", encoding="utf-8")
    output = tmp_path / "maps"
    flags = ["--model", str(folders["vanilla"]), "--text", QUESTION, "--output", str(output)]
    content = attention.main(["model", *flags, "--questions", str(questions)])
    assert content["name"] == "Ada Lovelace"
    assert content["scored_texts"] == 2
    assert [(row["layer"], row["head"]) for row in content["scores"]] == [
        (f"layer {layer}", head) for layer in (1, 2) for head in (1, 2)
    ]
    for row in content["scores"]:
        assert row["name_to_answer"]["n"] == 2
        low, high = row["name_to_answer"]["interval"]
        assert 0 <= low <= row["name_to_answer"]["score"] <= high <= 1
    assert output.with_suffix(".png").read_bytes().startswith(PNG)
    table = output.with_suffix(".md").read_text(encoding="utf-8")
    assert "Mean attention weight over 2 texts" in table
    assert table.count("| layer") == 1 + 4


def test_a_perceiver_is_drawn_and_told_that_latents_have_no_scores(folders, tmp_path):
    output = tmp_path / "latents"
    flags = ["--model", str(folders["perceiver"]), "--text", "was Ada born", "--output", str(output)]
    content = attention.main(["model", *flags])
    assert content["scores"] == []
    assert content["name"] is None
    assert "latents have no such scores" in output.with_suffix(".md").read_text(encoding="utf-8")
    assert output.with_suffix(".png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "say what to explore: constructions or model"),
        (["heads"], "say what to explore: constructions or model"),
        (["constructions", "--num_tokens", "20"], "num_tokens must lie between 6 and size"),
        (["model", "--model", "{vanilla}", "--text", ""], "empty text"),
        (["model", "--model", "{vanilla}", "--text", "was Ödön born"], "not in the vocabulary: 'Ö'"),
        (["model", "--model", "{vanilla}", "--text", "a" * 71], "at most 70 characters"),
        (["model", "--model", "{vanilla}", "--text", "a" * 60], "beyond this model's block of 48"),
    ],
)
def test_what_cannot_be_explored_is_refused_and_nothing_is_written(flags, message, folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        attention.main([flag.format(**folders) for flag in flags])
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no model"):
        attention.main(["model", "--model", str(tmp_path), "--text", "was Ada born"])
