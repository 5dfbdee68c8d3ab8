#!/usr/bin/env bash
# torch 2.13.0: torch.optim.Muon computes every step in bfloat16, whatever the precision of the weights, so a gradient of
# rank one gives a step of full rank.
#
# Guess, written down before: weights and gradients of float64 are orthogonalised in float64. The gradient u v' of rank one
# then gives a step along u v' and nothing else, as it is already as orthogonal as it can be.
# Seen: three iterations out of five are enough for rounding to fill the other directions, since each iteration lifts small
# singular values most. More than half of the step's energy is not in the gradient's direction; the same formula in float64
# has none there.
# Met by: whoever trains with low-rank gradients (embeddings of few tokens, adapters, one fact a batch), or in float32 on a
# processor without bfloat16 instructions, where this step costs more than the rest of training.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
cat > "$work/look.py" <<'PYTHON'
import sys

import torch

torch.manual_seed(0)
left, right = torch.randn(64, dtype=torch.float64), torch.randn(48, dtype=torch.float64)
gradient = torch.outer(left / left.norm(), right / right.norm())
weight = torch.nn.Parameter(torch.zeros(64, 48, dtype=torch.float64))
weight.grad = gradient.clone()
torch.optim.Muon([weight], lr=1.0, weight_decay=0.0, nesterov=False, momentum=0.0).step()


def outside(step):
    """Share of the energy of a step that is not along the gradient."""
    along = (step * gradient).sum() * gradient
    return float(((step - along).norm() / step.norm()) ** 2)


def iterated(matrix):
    """The five iterations with the coefficients that the optimizer documents, in the precision of the matrix."""
    a, b, c = 3.4445, -4.775, 2.0315
    short = matrix.T / matrix.norm()
    for _ in range(5):
        square = short @ short.T
        short = a * short + (b * square + c * square @ square) @ short
    return short.T


found, exact = outside(-weight.detach()), outside(iterated(gradient))
print(f"energy of the step outside of the gradient's direction: {found:.0%} by torch.optim.Muon, {exact:.0e} in float64")
as_seen = found > 0.3 and exact < 1e-12
print("as seen" if as_seen else "this has changed")
sys.exit(not as_seen)
PYTHON
"$work/venv/bin/python" "$work/look.py"
