#!/usr/bin/env bash
# transformers 5.23.0: a 4-D block mask, which keeps the examples of a packed row apart, switches off sliding windows, and
# one of True and False keeps nothing apart under eager attention. Neither says a word.
#
# Guess, written down before: a mask that is given restricts further what a layer reads, so a layer with a window keeps
# its window; and True and False mean the same to every attention, as they do to torch's.
# Seen: the mask is used as it is. Under one that says "all of the past", a Mistral with a window of 4 gives the logits of
# the same weights without a window. Eager attention adds the mask to its scores: True adds 1, False 0, and the second
# example of a row reads the first. The lowest number of the dtype in place of False keeps them apart.
# Met by: who packs rows for a model that does not tell examples by positions that restart (OPT, MPT, BioGPT).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0
cat > "$work/look.py" <<'PYTHON'
import sys

import torch
from transformers import MistralConfig, MistralForCausalLM

sizes = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3}


def model(window, attention):
    torch.manual_seed(0)
    config = MistralConfig(**sizes, sliding_window=window)
    config._attn_implementation = attention
    return MistralForCausalLM(config).eval()


def furthest(one, other):
    return float((one - other).abs().max())


ids = torch.arange(2, 26).reshape(1, 24)
causal = torch.ones(24, 24, dtype=torch.bool).tril()[None, None]
lowest = torch.zeros(1, 1, 24, 24).masked_fill(~causal, torch.finfo(torch.float32).min)
with torch.no_grad():
    windowed, whole = model(4, "eager"), model(None, "eager")
    differs = furthest(windowed(ids).logits, whole(ids).logits)
    masked = furthest(windowed(ids, attention_mask=lowest).logits, whole(ids).logits)
    print(f"a window of 4 moves the logits by {differs:.2f}; under a mask of all the past by {masked:.0e}")

    block = causal.clone()
    block[..., 12:, :12] = False
    positions = torch.cat([torch.arange(12), torch.arange(12)])[None]
    other = ids.clone()
    other[:, :12] = ids[:, :12].flip(1)
    leaks = {}
    for name, mask in (("bool", block), ("lowest", torch.zeros(block.shape).masked_fill(~block, lowest.min()))):
        found = [whole(text, attention_mask=mask, position_ids=positions).logits[:, 12:] for text in (ids, other)]
        leaks[name] = furthest(*found)
    print(f"another first example moves the second: mask of True and False {leaks['bool']:.2f}, of numbers {leaks['lowest']}")
as_seen = differs > 0.1 and masked < 1e-5 and leaks["bool"] > 0.1 and leaks["lowest"] == 0
print("as seen" if as_seen else "this has changed")
sys.exit(not as_seen)
PYTHON
"$work/venv/bin/python" "$work/look.py"
