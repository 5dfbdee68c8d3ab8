#!/usr/bin/env bash
# torch 2.13.0 and safetensors 0.8.0 (CPU, x86-64): the same weights give other bits, according to how long the header of
# their file is.
#
# Guess, written down before: a model is its weights; what else a safetensors file says (metadata) changes no number.
# Seen: the format pads its header to 8 bytes, and a loaded tensor stays in the mapped file. Where that puts it between
# two multiples of 16, the product of one row with it, which is what decoding with a cache consists of, differs in its last
# digits from that of the same numbers 8 bytes further on. Products of many rows agree. A copy is aligned to 64 bytes; and
# model.to("cpu:0") makes one, though the device reads "cpu" before and after, where model.to("cpu") makes none.
# Met by: whoever compares confidences of two copies of a model, or of one process with those of several (accelerate
# gives each of them cpu:0).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0
"$work/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cat > "$work/look.py" <<'PYTHON'
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
torch.manual_seed(0)
folder = Path(sys.argv[1])
weights, row = torch.randn(256, 64), torch.randn(1, 64)
rows = row.repeat(40, 1)


def loaded(note):
    path = folder / f"{len(note)}.safetensors"
    save_file({"weights": weights}, path, metadata={"note": note})
    return load_file(path)["weights"]


outcomes = {}
for length in range(0, 16, 8):
    found = loaded("x" * length)
    assert torch.equal(found, weights)
    outcomes[found.data_ptr() % 16] = found
print(f"the tensor lies at {sorted(outcomes)} behind a multiple of 16 bytes")
near, far = outcomes[8], outcomes[0]
one = float((row @ near.T - row @ far.T).abs().max())
many = float((rows @ near.T - rows @ far.T).abs().max())
print(f"one row: {one:.1e} apart; forty rows: {many:.1e}")
layer = torch.nn.Linear(64, 256)
layer.weight = torch.nn.Parameter(near)
place = layer.weight.data_ptr()
same = layer.to("cpu").weight.data_ptr() == place
moved = layer.to("cpu:0").weight.data_ptr() != place
print(f"to('cpu') leaves it: {same}; to('cpu:0') copies it: {moved}, and its device is {layer.weight.device}")
as_seen = sorted(outcomes) == [0, 8] and 0 < one < 1e-4 and same and moved and str(layer.weight.device) == "cpu"
print("as seen" if as_seen else "this has changed")
sys.exit(not as_seen)
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work"
