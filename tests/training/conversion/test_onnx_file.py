"""Models as ONNX graphs with their cache: the same answers from a reader without torch and this package."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer, LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.conversion import exporting, onnx_file

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

SIZES = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"max_position_embeddings": 24}
QUESTIONS = [f"Where was {name} born?" for name in ("Ada", "Bo Marsh", "Cy")]


@pytest.fixture(scope="module")
def exported(pretrained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "onnx"
    record = exporting.main(["--model", str(pretrained), "--format", "onnx", "--output_dir", str(folder)])
    return folder, record


def write_on(session, ids: list[int], end: int, room: int) -> list[int]:
    """Greedy decoding with the graph's cache, as any program would write it."""
    shapes = {item.name: item.shape for item in session.get_inputs() if item.name.startswith("past")}
    held = {name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in shapes.items()}
    written, step, length = [], ids, 0
    names = [item.name for item in session.get_outputs()]
    while len(written) < room:
        places = np.arange(length, length + len(step))[None]
        length += len(step)
        mask = np.ones((1, length), np.int64)
        feed = {"input_ids": np.array([step]), "attention_mask": mask, "position_ids": places, **held}
        found = dict(zip(names, session.run(names, feed), strict=True))
        held = {name: found[name.replace("past_key_values", "present")] for name in shapes}
        step = [int(found["logits"][0, -1].argmax())]
        if step == [end]:
            break
        written += step
    return written


def test_the_graph_writes_the_answers_of_the_model(exported, pretrained):
    folder, record = exported
    model, tokenizer = load_model_folder(pretrained)
    answers = answer_questions(model, tokenizer, QUESTIONS, max_new_tokens=12, progress=False)
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    reader = AutoTokenizer.from_pretrained(folder)
    assert type(reader).__name__ != "CharTokenizer"
    for question, answer in zip(QUESTIONS, answers, strict=True):
        ids = reader.encode(question + reader.mask_token, add_special_tokens=False)
        assert reader.decode(write_on(session, ids, reader.mask_token_id, 12)) == answer.text
    assert record["largest_difference"] < 1e-4
    assert json.loads((folder / "export.json").read_text(encoding="utf-8")) == record
    assert str(folder.parent) not in (folder / "export.json").read_text(encoding="utf-8")


def test_the_folder_is_one_that_other_programs_know(exported):
    folder, _ = exported
    assert AutoConfig.from_pretrained(folder).model_type == "gpt2"  # the same function by a known name
    assert not list(folder.rglob("*.py")) and not list(folder.rglob("*.safetensors"))
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    assert names[:4] == ["input_ids", "attention_mask", "position_ids", "past_key_values.0.key"]
    assert [item.name for item in session.get_outputs()][:2] == ["logits", "present.0.key"]


def test_the_graph_does_not_say_where_it_was_made(exported):
    folder, _ = exported
    content = (folder / "onnx" / "model.onnx").read_bytes()
    assert b".py" not in content and b"modeling" not in content and str(Path.home()).encode() not in content


def test_what_the_card_shows_asks_the_model(exported, pretrained, run_card):
    folder, _ = exported
    model, tokenizer = load_model_folder(pretrained)
    (answer,) = answer_questions(model, tokenizer, QUESTIONS[:1], progress=False)
    mark = tokenizer.mask_token
    written = QUESTIONS[0] + mark + answer.text + (mark if answer.complete else "")
    assert run_card(folder, "Where was Ada Lovelace born?", QUESTIONS[0]) == written


@pytest.mark.parametrize(
    "model",
    [
        lambda: VanillaGPTForCausalLM(VanillaGPTConfig(**SIZES, position="rotary")),
        pytest.param(
            lambda: LlamaForCausalLM(
                LlamaConfig(**SIZES, intermediate_size=32, num_key_value_heads=1, pad_token_id=None)
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["rotary", "llama, keys and values shared by heads"],
)
def test_other_architectures_are_held_to_their_originals(model, tmp_path):
    torch.manual_seed(0)
    assert onnx_file.write_graph(tmp_path / "model.onnx", model()) < 1e-4


def test_a_graph_that_says_something_else_is_not_left_behind(exported, pretrained):
    folder, _ = exported
    model, _ = load_model_folder(pretrained)
    with torch.no_grad():
        model.lm_head.weight.add_(0.01)
    with pytest.raises(RuntimeError, match="the graph says something else than the model: logits differ by"):
        onnx_file._hold_to_original(folder / "onnx" / "model.onnx", model, onnx_file._Example(model))


def test_a_cache_that_grows_unevenly_is_refused(tmp_path):
    model = PerceiverGPTForCausalLM(PerceiverGPTConfig(**SIZES, num_latents=6))
    with pytest.raises(ValueError, match="PerceiverGPTForCausalLM keeps no cache of every token at every layer"):
        onnx_file.write_graph(tmp_path / "model.onnx", model)
    assert not (tmp_path / "model.onnx").exists()


def test_a_model_without_a_cache_of_tokens_is_refused_in_the_same_words(tmp_path):
    sizes = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}
    with pytest.raises(ValueError, match="MambaForCausalLM keeps no cache of every token"):
        onnx_file.write_graph(tmp_path / "model.onnx", MambaForCausalLM(MambaConfig(**sizes)))


def test_a_missing_library_is_said_before_anything(pretrained, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "find_spec", lambda name: None if name == "onnxscript" else name)
    flags = ["--model", str(pretrained), "--format", "onnx", "--output_dir", str(tmp_path / "onnx")]
    with pytest.raises(ValueError, match=r"needs onnxscript: pip install 'closedbook\[onnx\]'"):
        exporting.main(flags)
    assert not (tmp_path / "onnx").exists()
