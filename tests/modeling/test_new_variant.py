"""The worked example of CONTRIBUTING.md: a mixer made as told there obeys the laws without any other change."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch

from closedbook.modeling import attention, configuration_gpt
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM

WINDOW = 4
LAYERS = 3
SIZES = {
    "vocab_size": 20,
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
    "attention": "window",
    "attention_block_size": WINDOW,
    "initializer_range": 0.2,
}


@pytest.fixture
def window(monkeypatch):
    """What steps 1 to 3 of the example do."""
    page = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(\"\"\"Sliding-window.*?)```", page, flags=re.DOTALL)
    name = "closedbook.modeling.attention_window"
    module = types.ModuleType(name)
    module.__package__ = "closedbook.modeling"
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(code, "attention_window.py", "exec"), module.__dict__)
    (mixer_name,) = re.findall(r'`"window": (\w+),` in `TOKEN_MIXERS`', page)
    (kind,) = re.findall(r'`"window": "(\w+)",` in `ATTENTIONS`', page)
    monkeypatch.setitem(attention.TOKEN_MIXERS, "window", getattr(module, mixer_name))
    monkeypatch.setitem(configuration_gpt.ATTENTIONS, "window", kind)


def models():
    torch.manual_seed(0)
    vanilla = VanillaGPTForCausalLM(VanillaGPTConfig(**SIZES)).double().eval()
    perceiver = PerceiverGPTForCausalLM(PerceiverGPTConfig(**SIZES, num_latents=12)).double().eval()
    return vanilla, perceiver


@torch.no_grad()
def test_it_reads_exactly_its_window_in_every_layer(window):
    model, _ = models()
    tokens = torch.randint(2, 20, (1, 24))
    changed = tokens.clone()
    changed[0, 3] = (tokens[0, 3] - 1) % 18 + 2
    difference = (model(tokens).logits - model(changed).logits).abs().amax(-1)[0]
    last = 3 + LAYERS * (WINDOW - 1)
    assert difference[:3].max() < 1e-12
    assert difference[3 : last + 1].min() > 1e-9
    assert difference[last + 1 :].max() < 1e-12


@torch.no_grad()
def test_cached_packed_and_padded_it_gives_the_same(window):
    for model in models():
        tokens = torch.randint(2, 20, (1, 20))
        expected = model(tokens, use_cache=False).logits
        cache, logits = None, []
        for start, end in ((0, 7), (7, 8), (8, 14), (14, 20)):
            outputs = model(tokens[:, start:end], past_key_values=cache, use_cache=True)
            cache = outputs.past_key_values
            logits.append(outputs.logits)
        torch.testing.assert_close(torch.cat(logits, dim=1), expected, atol=1e-10, rtol=0)
        position_ids = torch.cat([torch.arange(5), torch.arange(15)]).unsqueeze(0)
        packed = model(tokens, position_ids=position_ids).logits[:, 5:]
        alone = model(tokens[:, 5:]).logits
        torch.testing.assert_close(packed, alone, atol=1e-10, rtol=0)
        mask = torch.tensor([[0] * 5 + [1] * 15])
        padded = model(tokens, attention_mask=mask).logits[:, 5:]
        torch.testing.assert_close(padded, alone, atol=1e-10, rtol=0)
