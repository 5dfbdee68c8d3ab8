#!/usr/bin/env bash
# transformers 5.23.0: a `sliding_window` in the configuration of a model that has no windows changes what `generate`
# writes, without a warning.
#
# Guess, written down before: a field that Llama does not know is carried along in its configuration (as fields of
# other tools are) and changes nothing.
# Seen: the forward pass of the whole text ignores it, as guessed. `generate` makes its cache from the configuration,
# `DynamicCache(config=...)` takes the field at its word and keeps the last tokens only, while the mask still speaks
# of all of them: the same model writes another text with its cache than without. GPT-2, OPT and others likewise.
# Met by: configurations that a tool has filled in from another architecture's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0
cat > "$work/look.py" <<'PYTHON'
import sys

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

sizes = {"vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3}
prompt = torch.arange(2, 26).reshape(1, 24)
told = {}
for window in (None, 6):
    torch.manual_seed(0)
    extra = {} if window is None else {"sliding_window": window}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **extra)).eval()
    model.generation_config.eos_token_id = None
    options = {"max_new_tokens": 6, "do_sample": False}
    cached = model.generate(prompt, **options)[0, 24:].tolist()
    uncached = model.generate(prompt, use_cache=False, **options)[0, 24:].tolist()
    kind = type(DynamicCache(config=model.config).layers[0]).__name__
    told[window] = (cached, uncached)
    print(f"sliding_window {window}: cache of {kind}; with it {cached}, without {uncached}")
same_weights = told[None][1] == told[6][1]
as_seen = same_weights and told[None][0] == told[None][1] and told[6][0] != told[6][1]
print("as seen" if as_seen else "this has changed")
sys.exit(not as_seen)
PYTHON
"$work/venv/bin/python" "$work/look.py"
