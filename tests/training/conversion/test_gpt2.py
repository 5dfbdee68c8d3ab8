"""A vanilla model as a stock GPT-2: the same logits, ids and answers for readers without this package."""

import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.conversion import exporting, gpt2

SIZES = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"max_position_embeddings": 24}
QUESTIONS = [f"Where was {name} born?" for name in ("Ada", "Bo Marsh", "Cy")]
READER = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained("."), AutoTokenizer.from_pretrained(".")
assert not [name for name in sys.modules if name.startswith("closedbook")]
found = []
for question in json.loads(sys.argv[1]):
    ids = tokenizer(question + tokenizer.mask_token, return_tensors="pt", add_special_tokens=False)["input_ids"]
    out = model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1]:]
    found.append(tokenizer.decode(out).split(tokenizer.mask_token)[0])
print(json.dumps([type(model).__name__, type(tokenizer).__name__, found]))
"""


def export(model, folder, *flags):
    return exporting.main(["--model", str(model), "--output_dir", str(folder), *flags])


def test_a_reader_without_the_package_gets_the_same_answers(pretrained, tiny, tmp_path):
    record = export(pretrained, tmp_path / "gpt2")
    model, tokenizer = load_model_folder(pretrained)
    answers = [
        answer.text for answer in answer_questions(model, tokenizer, QUESTIONS, max_new_tokens=12, progress=False)
    ]
    command = [sys.executable, "-I", "-c", READER, json.dumps(QUESTIONS)]
    process = subprocess.run(
        command, cwd=tmp_path / "gpt2", env=tiny.environment(), capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr[-1000:]
    name, tokenizer_name, found = json.loads(process.stdout.splitlines()[-1])
    assert name == "GPT2LMHeadModel" and found == answers
    assert not list((tmp_path / "gpt2").glob("*.py")) and tokenizer_name != "CharTokenizer"
    assert json.loads((tmp_path / "gpt2" / "export.json").read_text(encoding="utf-8")) == record
    assert record["largest_difference"] < 1e-5
    assert len({path.stat().st_mode for path in (tmp_path / "gpt2").iterdir()}) == 1  # all may be read alike
    assert str(tmp_path) not in (tmp_path / "gpt2" / "run.json").read_text(encoding="utf-8")


def test_what_the_card_shows_asks_the_model(pretrained, tmp_path, run_card):
    export(pretrained, tmp_path / "gpt2")
    model, tokenizer = load_model_folder(pretrained)
    (answer,) = answer_questions(model, tokenizer, QUESTIONS[:1], progress=False)
    written = answer.text + tokenizer.mask_token * answer.complete
    shown = run_card(tmp_path / "gpt2", "Where was Ada Lovelace born?", QUESTIONS[0])
    assert shown == str([{"generated_text": written}])


@pytest.mark.parametrize(
    "fields", [{}, {"tie_word_embeddings": True}, {"hidden_act": "relu", "intermediate_size": 40}]
)
def test_every_vanilla_softmax_model_has_its_gpt2(fields):
    torch.manual_seed(0)
    model = VanillaGPTForCausalLM(VanillaGPTConfig(**SIZES, **fields)).eval()
    with torch.no_grad():  # away from the zeros and ones of a fresh model
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    other = gpt2.as_gpt2(model)
    assert gpt2.largest_difference(model, other) < 1e-4
    assert other.num_parameters() == model.num_parameters()
    # left padding and a cache, by both
    ids = torch.randint(2, 20, (2, 9))
    mask = torch.ones_like(ids)
    ids[0, :3], mask[0, :3] = 0, 0
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    for one, two in zip(
        *(m(input_ids=ids, attention_mask=mask, position_ids=places).logits for m in (model, other)), strict=True
    ):
        torch.testing.assert_close(one[3:], two[3:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (VanillaGPTForCausalLM(VanillaGPTConfig(**SIZES, position="rotary")), "GPT-2 has no position 'rotary'"),
        (
            VanillaGPTForCausalLM(VanillaGPTConfig(**SIZES, attention="synthesizer_random")),
            "GPT-2 has no attention 'synthesizer_random'",
        ),
        (
            PerceiverGPTForCausalLM(PerceiverGPTConfig(**SIZES, num_latents=6)),
            "PerceiverGPTForCausalLM is no GPT-2",
        ),
    ],
    ids=["rotary", "synthesizer", "perceiver"],
)
def test_what_gpt2_has_no_place_for_is_refused(model, told):
    with pytest.raises(ValueError, match=told):
        gpt2.as_gpt2(model)


def test_an_export_is_replaced_only_where_it_is_one(pretrained, tmp_path):
    export(pretrained, tmp_path / "gpt2")
    with pytest.raises(ValueError, match="already holds files"):
        export(pretrained, tmp_path / "gpt2")
    export(pretrained, tmp_path / "gpt2", "--overwrite", "True")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2").config.model_type == "gpt2"
    assert AutoTokenizer.from_pretrained(tmp_path / "gpt2").mask_token == "\u2047"
    with pytest.raises(ValueError, match="--format is one of gpt2, onnx, browser, gguf, not 'ggml'"):
        export(pretrained, tmp_path / "other", "--format", "ggml")
    with pytest.raises(ValueError, match="--runtime has no effect: --format is gpt2"):
        export(pretrained, tmp_path / "other", "--runtime", str(tmp_path))
    with pytest.raises(ValueError, match="holds an export as gpt2: choose another folder for onnx"):
        export(pretrained, tmp_path / "gpt2", "--format", "onnx", "--overwrite", "True")
    assert not (tmp_path / "other").exists()
