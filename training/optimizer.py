"""Muon for the matrices of a model, AdamW for everything else, as one optimizer.

Muon (Jordan et al. 2024) orthogonalises the momentum of a weight matrix. It is meant for the matrices
between hidden states; embeddings, the head, norms and biases stay with AdamW.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


class MuonWithAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` and `torch.optim.AdamW` behind one state and one list of parameter groups.

    One optimizer rather than two, because schedulers, `Trainer` and checkpoints each expect one. Muon's step
    is scaled to AdamW's usual size (Liu et al. 2025, section 2.2), so both share a learning rate.

    Args:
        model: its parameters are sorted here.
        learning_rate: of both.
        weight_decay: decoupled, on matrices and embeddings; never on norms and biases.
        betas: of AdamW.
        momentum: of Muon.

    Raises:
        ValueError: for a model without a matrix that Muon could train: it would be AdamW alone by another name.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        weight_decay: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.95),
        momentum: float = 0.95,
    ):
        matrices, tables, vectors = sort_parameters(model)
        if not matrices:
            raise ValueError(
                f"--optimizer muon finds no weight matrix between hidden states in {type(model).__name__}: use "
                "--optimizer adamw"
            )
        adamw = {"betas": betas, "eps": 1e-8}
        self._muon = torch.optim.Muon(
            [{"params": matrices}],
            lr=learning_rate,
            weight_decay=weight_decay,
            momentum=momentum,
            adjust_lr_fn="match_rms_adamw",
        )
        self._adamw = torch.optim.AdamW(
            [
                {"params": tables, "weight_decay": weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=learning_rate,
            fused=True,
            **adamw,
        )
        super().__init__(self._muon.param_groups + self._adamw.param_groups, {"lr": learning_rate})
        self._share()

    def _share(self) -> None:
        """Let both work on this object's groups and state (loading a checkpoint replaces them)."""
        self._muon.param_groups = self.param_groups[:1]
        self._adamw.param_groups = self.param_groups[1:]
        self._muon.state = self._adamw.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        self._share()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._muon.step()
        self._adamw.step()
        return loss


def sort_parameters(model: nn.Module) -> tuple[list, list, list]:
    """Split trainable parameters into hidden matrices, tables (embeddings, head, latents) and vectors.

    The matrices are those of `nn.Linear` and of GPT-2's `Conv1D`, which is one with its weight transposed; Muon's
    step for a transposed matrix is the transposed step.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    head = model.get_output_embeddings()
    if head is not None:
        tables.add(id(head.weight))
    linear = {id(module.weight) for module in model.modules() if isinstance(module, (nn.Linear, Conv1D))} - tables
    groups: tuple[list, list, list] = ([], [], [])
    for parameter in model.parameters():
        if parameter.requires_grad:
            kind = 0 if id(parameter) in linear else (1 if parameter.ndim >= 2 else 2)
            groups[kind].append(parameter)
    return groups
