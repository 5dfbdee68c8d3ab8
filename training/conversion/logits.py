"""A converted model held to the logits that the original gave."""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from closedbook.modeling.configuration_gpt import WIRINGS, PerceiverGPTConfig

TOLERANCE = (
    1e-3  # of the largest logit, or of 1 where none is larger: above float32's rounding, far below a wiring's
)


def read_logits(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The ids `(B, T)` and logits `(B, T, V)` of a file; one row may come without its first axis.

    Raises:
        ValueError: for a file without the two, of other shapes, or with logits that are no finite numbers.
    """
    try:
        if path.suffix == ".safetensors":
            held = load_file(path)
        elif path.suffix == ".npz":
            held = dict(np.load(path, allow_pickle=False))
        elif path.suffix == ".json":
            held = json.loads(path.read_text(encoding="utf-8"))
        else:
            raise ValueError("its name must end in .safetensors, .npz or .json")
        ids = torch.as_tensor(held["ids"]).long()
        logits = torch.as_tensor(held["logits"]).float()
    except OSError:
        raise
    except KeyError as error:
        raise ValueError(f"--check {path}: has no {error}; expected ids and logits") from error
    except Exception as error:  # on bytes that are something else, the readers raise whatever they stumble over
        raise ValueError(f"--check {path}: cannot be read: {error}") from error
    if ids.dim() == 1:
        ids, logits = ids.unsqueeze(0), logits.unsqueeze(0)
    if ids.dim() != 2 or not ids.numel() or logits.dim() != 3 or logits.shape[:2] != ids.shape:
        raise ValueError(
            f"--check {path}: ids have shape {tuple(ids.shape)}, logits {tuple(logits.shape)}; expected (rows, "
            "tokens) and (rows, tokens, vocabulary)"
        )
    if not logits.isfinite().all():
        raise ValueError(f"--check {path}: holds logits that are no finite numbers")
    return ids, logits


def check_logits(model, path: Path) -> float:
    """The largest difference to the logits in `path`, as a share of the largest logit, or of 1.

    Raises:
        ValueError: where that is more than `TOLERANCE`, with the wiring that would fit, if one does; for ids
            that the model does not have.
    """
    ids, logits = read_logits(path)
    config = model.config
    if not 0 <= int(ids.min()) <= int(ids.max()) < config.vocab_size or logits.shape[2] != config.vocab_size:
        raise ValueError(f"--check {path}: is of another vocabulary than the checkpoint's {config.vocab_size} ids")
    if ids.shape[1] > config.max_position_embeddings:
        raise ValueError(
            f"--check {path}: rows are longer than the block, {config.max_position_embeddings} tokens"
        )
    found = difference(model, ids, logits)
    if found <= TOLERANCE:
        return found
    advice = "another number of heads (--num_attention_heads), another wiring, or not the model of this checkpoint"
    if isinstance(config, PerceiverGPTConfig):
        fitting = next(
            (w for w in _wirings(config) if difference(_rewired(model, w), ids, logits) <= TOLERANCE), None
        )
        if fitting:
            advice = f"pass --wiring {fitting!r}, which fits"
    raise ValueError(f"--check {path}: logits differ by {found:.3g} of the largest: {advice}")


@torch.no_grad()
def difference(model, ids: torch.Tensor, logits: torch.Tensor) -> float:
    largest = max(1.0, float(logits.abs().max()))
    return float((model(ids, use_cache=False).logits - logits).abs().max()) / largest


def _wirings(config: PerceiverGPTConfig):
    """The named ones first, then all others that this shape can have."""
    square = config.num_latents == config.max_position_embeddings
    down = [
        f"{r}attn({q},{k}),{m}mlp"
        for r, q, k, m in itertools.product(
            ["", "C+", *(["x+"] if square else [])], ["ln(C)", "C"], ["ln(x)", "x"], ["h+", ""]
        )
    ]
    up = [
        f"{r}attn({q},{k}),{m}mlp"
        for r, q, k, m in itertools.product(
            ["", "x+", *(["y+"] if square else [])], ["ln(x)", "x"], ["ln(y)", "y"], ["h+", ""]
        )
    ]
    for wiring in (*WIRINGS, *(f"{first}; {last}" for first in down for last in up)):
        if square or not any(added in WIRINGS.get(wiring, wiring) for added in ("x+attn(ln(C)", "x+attn(C", "y+")):
            yield wiring


def _rewired(model, wiring: str):
    """A model of the same tensors with another wiring."""
    fields = {k: v for k, v in model.config.to_dict().items() if k not in ("architectures", "auto_map")}
    other = type(model)(PerceiverGPTConfig(**fields | {"wiring": wiring}))
    other.load_state_dict(model.state_dict())
    return other.eval()
