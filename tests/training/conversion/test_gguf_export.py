"""A vanilla model as a GGUF file: weights and ids are the model's for readers that know nothing of this
package."""

import json

import pytest
import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM

from closedbook.data.writing.tokenizers import train_tokenizer
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.conversion import exporting, gguf_export
from closedbook.training.conversion.source import Source

ALPHABET = "ab éß日🙂.\n"
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 1024}


def make_source(text: str = ALPHABET, unknown: str = "error", **fields) -> Source:
    torch.manual_seed(0)
    tokenizer = build_char_tokenizer([text], unknown=unknown)
    model = VanillaGPTForCausalLM(VanillaGPTConfig(vocab_size=len(tokenizer), **(SIZES | fields))).eval()
    with torch.no_grad():  # away from the zeros and ones of a fresh model
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return Source("tried", "outputs/tried", model, tokenizer)


@pytest.mark.parametrize("fields", [{}, {"tie_word_embeddings": True}, {"layer_norm_eps": 1e-3}])
def test_another_reader_computes_the_same_from_the_file(fields, tmp_path):
    # 1,024 positions and four times the width, since transformers reads neither from the file of a GPT-2
    source = make_source(hidden_act="gelu_new", **fields)
    record = gguf_export.write_gguf(tmp_path, source)
    other = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=gguf_export.FILE, dtype=torch.float32).eval()
    ids = torch.randint(2, len(source.tokenizer), (2, 20))
    with torch.no_grad():
        torch.testing.assert_close(other(ids).logits, source.model(ids).logits, atol=1e-4, rtol=1e-4)
    assert record == {"parameters": source.model.num_parameters(), "largest_difference": 0.0}


def test_a_text_has_the_same_ids_character_by_character(tmp_path):
    source = make_source()
    gguf_export.write_gguf(tmp_path, source)
    reader = GGUFReader(tmp_path / gguf_export.FILE)
    field = lambda name: reader.get_field(f"tokenizer.ggml.{name}").contents()  # noqa: E731
    # what llama.cpp does: a space becomes another character, and pieces are joined where their union is a piece
    numbers = {piece: number for number, piece in enumerate(field("tokens"))}
    text = "a b\n日🙂⁇éß.□"
    assert [numbers[character] for character in text.replace(" ", "\u2581")] == source.tokenizer.encode(text)
    assert all(len(piece) == 1 for piece in numbers)
    assert not any(field(f"add_{name}") for name in ("bos_token", "eos_token", "space_prefix"))
    assert field("eos_token_id") == source.tokenizer.mask_token_id
    controls = [number for number, kind in enumerate(field("token_type")) if kind == 3]
    assert controls == sorted(source.tokenizer.all_special_ids)


def test_what_the_other_gelu_changes_is_measured_and_said(pretrained, tmp_path):
    record = exporting.main(
        ["--model", str(pretrained), "--output_dir", str(tmp_path / "gguf"), "--format", "gguf"]
    )
    assert 0 < record["largest_difference"] < 0.05
    assert json.loads((tmp_path / "gguf" / "export.json").read_text(encoding="utf-8")) == record
    card = (tmp_path / "gguf" / "README.md").read_text(encoding="utf-8")
    assert f"{record['largest_difference']:.1e}" in card and "/completion" in card
    model, _ = load_model_folder(pretrained)
    exact = gguf_export.as_gpt2(model)
    assert gguf_export.largest_difference(model, exact) < record["largest_difference"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (make_source(position="rotary"), "GPT-2 has no position 'rotary'"),
        (make_source(attention="linformer", attention_block_size=8), "GPT-2 has no attention 'linformer'"),
        (make_source(hidden_act="relu"), "has the non-linearity 'relu'"),
        (make_source(unknown="mask"), "reads unknown characters as '⁇'"),
        (make_source("a\u2581b"), "stands for a space in llama.cpp"),
    ],
    ids=["rotary", "linformer", "relu", "unknown", "space"],
)
def test_what_llama_cpp_has_no_place_for_is_refused_before_anything_is_written(source, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        gguf_export.write_gguf(tmp_path, source)
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_of_words_is_llama_cpps_own_business(tmp_path):
    source = make_source()
    words = train_tokenizer("train:bpe:270", ["some words"], 32)
    with pytest.raises(ValueError, match="convert_hf_to_gguf"):
        gguf_export.write_gguf(tmp_path, Source("tried", "outputs/tried", source.model, words))


@pytest.mark.parametrize("fault", ["weights", "tokens"])
def test_a_file_that_is_not_the_model_is_found_out(fault, tmp_path, monkeypatch):
    source = make_source()
    write = gguf_export._write

    def wrongly(path, exported, pieces, source):
        if fault == "tokens":
            return write(path, exported, pieces[::-1], source)
        other = gguf_export.copy.deepcopy(exported)
        with torch.no_grad():
            other.transformer.h[1].mlp.c_fc.weight[0, 0] += 1e-3
        return write(path, other, pieces, source)

    monkeypatch.setattr(gguf_export, "_write", wrongly)
    with pytest.raises(RuntimeError, match="something else than the model"):
        gguf_export.write_gguf(tmp_path, source)


def test_a_missing_package_is_named_before_the_model_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_export, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'closedbook\[gguf\]'"):
        exporting.main(["--model", "nowhere", "--output_dir", str(tmp_path / "x"), "--format", "gguf"])
