"""A model folder made from a GGUF file computes what the model computed from which the file was written."""

import hashlib
import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from closedbook.training.conversion import gguf_file

HEADS, KEY_HEADS, LAYERS = 4, 2, 2
LETTERS = [*"abcdefghijklmnopqrstuvwxyz", "Ġ", ":", "?", "Ċ", "<", ">", "|"]
TOKENS = ["<|endoftext|>", "<|end|>", *LETTERS, "th", "the"]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@pytest.fixture(scope="module")
def gguf():
    return pytest.importorskip("gguf", reason="the library gguf, of the extra icl, is not installed")


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    """Weights that bfloat16 holds exactly, and an epsilon that float32 does: nothing is left to round."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=64,
        rms_norm_eps=2.0**-17,
        initializer_range=0.3,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    for name, weight in model.named_parameters():
        if "norm" in name:  # all ones otherwise, and any two of them could be exchanged
            weight.data.uniform_(0.5, 1.5)
        weight.data = weight.data.bfloat16().float()
    return model.eval()


def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of a query or key map as llama.cpp has them: both numbers of a rotated pair side by side."""
    size = weight.shape[0] // heads
    order = [
        head * size + half * size // 2 + pair
        for head in range(heads)
        for pair in range(size // 2)
        for half in (0, 1)
    ]
    return weight[order]


def tensors_of(model: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    """The weights of a llama under the names of the GGUF format."""
    state = model.state_dict()
    tensors = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
        "output.weight": state["lm_head.weight"],
    }
    for layer in range(LAYERS):
        for ours, theirs in NAMES.items():
            weight = state[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):
                weight = interleaved(weight, HEADS if theirs == "attn_q" else KEY_HEADS)
            tensors[f"blk.{layer}.{theirs}.weight"] = weight
    return tensors


@pytest.fixture
def write(gguf, llama, tmp_path):
    """Writes the tiny llama as a GGUF file; arguments say in what it differs."""

    def write_file(architecture="llama", tokens=TOKENS, without=(), extra=None, quantised=False, scaling=None):
        path = tmp_path / "source" / "tiny.gguf"
        path.parent.mkdir(exist_ok=True)
        writer, config = gguf.GGUFWriter(path, architecture), llama.config
        writer.add_context_length(config.max_position_embeddings)
        writer.add_block_count(LAYERS)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KEY_HEADS)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(10_000.0)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_vocab_size(len(TOKENS))
        if scaling:
            writer.add_rope_scaling_type(scaling)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        writer.add_token_types([gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(TOKENS) - 2))
        writer.add_token_merges(["t h", "th e"])
        writer.add_unk_token_id(0)
        writer.add_eos_token_id(1)
        writer.add_pad_token_id(1)
        writer.add_add_bos_token(False)
        writer.add_chat_template(TEMPLATE)
        for name, tensor in (tensors_of(llama) | (extra or {})).items():
            if name in without:
                continue
            values, kind = tensor.numpy(), None
            if quantised and values.ndim == 2 and values.shape[1] % 32 == 0:
                kind = gguf.GGMLQuantizationType.Q8_0
                values = gguf.quantize(values, kind)
            writer.add_tensor(name, values, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write_file


def convert(path, folder, *flags) -> dict:
    return gguf_file.main(["--gguf", str(path), "--output_dir", str(folder), *flags])


def test_the_folder_computes_the_logits_of_the_model_that_the_file_was_written_from(write, llama, tmp_path):
    path, folder = write(), tmp_path / "deep" / "converted"
    facts = convert(path, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert type(model) is LlamaForCausalLM and not hasattr(model.config, "quantization_config")
    asked = torch.randint(len(TOKENS), (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(model(asked).logits, llama(asked).logits)
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    assert facts == json.loads((folder / "conversion.json").read_text(encoding="utf-8"))
    assert (facts["file"], facts["sha256"]) == ("tiny.gguf", hashlib.sha256(path.read_bytes()).hexdigest())
    assert facts["parameters"] == llama.num_parameters() and {"gguf", "transformers"} <= facts["versions"].keys()
    assert [entry.name for entry in folder.parent.iterdir()] == ["converted"]


def test_the_folder_holds_the_tokenizer_and_the_chat_template_of_the_file_alone(write, tmp_path):
    path = write()
    (path.parent / "chat_template.jinja").write_text("of another model", encoding="utf-8")
    (path.parent / "config.json").write_text("{}", encoding="utf-8")
    convert(path, tmp_path / "converted")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "converted")
    assert tokenizer.tokenize("the thy<|end|>") == ["the", "Ġ", "th", "y", "<|end|>"]
    assert tokenizer("the").input_ids == [TOKENS.index("the")]
    assert (tokenizer.eos_token, tokenizer.chat_template) == ("<|end|>", TEMPLATE)
    assert len(tokenizer) == len(TOKENS)


def test_quantised_weights_come_out_within_half_a_step_of_the_original(write, llama, tmp_path):
    convert(write(quantised=True), tmp_path / "converted")
    weights = load_file(tmp_path / "converted" / "model.safetensors")
    for name, expected in llama.state_dict().items():
        if expected.ndim == 2 and expected.shape[1] % 32 == 0:
            # Q8_0: 127 steps up to the largest of 32 numbers. The step is rounded to 11 bits, which moves a
            # value by 127 / 2048 of a step at most, and the value then to 8, by 2^-9 of itself.
            largest = expected.unflatten(-1, (-1, 32)).abs().amax(-1, keepdim=True)
            bound = (largest * ((0.5 + 127 / 2048) / 127 + 2**-8)).expand(-1, -1, 32).flatten(-2)
            assert ((weights[name].float() - expected).abs() <= bound).all()
        else:
            assert torch.equal(weights[name].float(), expected)


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ({"architecture": "mystery"}, "cannot read tiny.gguf: .*mystery"),
        ({"without": ["blk.1.attn_k.weight"]}, r"missing: \['model.layers.1.self_attn.k_proj.weight'\]"),
        ({"extra": {"blk.0.attn_q.bias": torch.ones(32)}}, r"17,920 weights, its model 17,888"),
        (
            {"extra": {"output_norm.weight": torch.full((32,), torch.nan)}},
            r"no numbers in \['model.norm.weight'\]",
        ),
        ({"tokens": ["<unk>", *TOKENS[1:]]}, "its tokenizer gets 38 tokens, its model 37"),
        ({"scaling": "yarn"}, "leave out its scaling of positions, yarn"),
    ],
)
def test_a_file_that_transformers_does_not_read_as_a_whole_is_refused(differences, message, gguf, write, tmp_path):
    if "scaling" in differences:
        differences = {"scaling": gguf.RopeScalingType(differences["scaling"])}
    with pytest.raises(ValueError, match=message):
        convert(write(**differences), tmp_path / "converted")
    assert [entry.name for entry in tmp_path.iterdir()] == ["source"]


def test_a_file_that_was_cut_off_is_refused(write, tmp_path):
    path = write()
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ValueError, match=r"cannot read tiny\.gguf"):
        convert(path, tmp_path / "converted")


def test_only_a_conversion_is_overwritten_and_only_when_asked(write, tmp_path):
    path, folder = write(), tmp_path / "converted"
    folder.mkdir()  # empty: nothing to lose
    convert(path, folder)
    for name in ("notes.txt", "vocab.txt"):  # the user's, and what an older conversion may have left
        (folder / name).write_text("old", encoding="utf-8")
    with pytest.raises(ValueError, match="already holds files"):
        convert(path, folder)
    inside = shutil.copy(path, folder)
    with pytest.raises(ValueError, match="lies in the output_dir"):
        convert(inside, folder, "--overwrite")
    linked = tmp_path / "linked.gguf"  # as the cache of the Hub has it: a name that points to a hash
    linked.symlink_to(path)
    assert convert(linked, folder, "--overwrite")["file"] == "linked.gguf"
    assert (folder / "conversion.json").exists() and not (folder / "vocab.txt").exists()
    assert (folder / "notes.txt").read_text(encoding="utf-8") == "old" and (folder / path.name).exists()


def test_a_missing_library_is_named_with_what_installs_it(tmp_path, monkeypatch):
    (tmp_path / "any.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "gguf", None)  # what Python sees of a library that is not there
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'closedbook\[icl\]'"):
        convert(tmp_path / "any.gguf", tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


def test_a_file_that_is_not_there_or_no_gguf_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.gguf"):
        convert(tmp_path / "none.gguf", tmp_path / "converted")
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"model\.gguf is not a GGUF file"):
        convert(tmp_path / "model.gguf", tmp_path / "converted")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "notes.txt").touch()
    for flags, message in (([], "already holds files"), (["--overwrite"], "clear it")):
        with pytest.raises(ValueError, match=message):
            convert(tmp_path / "model.gguf", tmp_path / "precious", *flags)
    assert (tmp_path / "precious" / "notes.txt").exists()
