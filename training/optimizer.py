"""Muon for the matrices of a model, AdamW for everything else, as one optimizer.

Muon (Jordan et al. 2024) orthogonalises the momentum of a weight matrix. It is meant for the matrices
between hidden states; embeddings, the head, norms and biases stay with AdamW.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon and `torch.optim.AdamW` behind one state and one list of parameter groups.

    One optimizer rather than two, because schedulers, `Trainer` and checkpoints each expect one. Muon's step
    is scaled to AdamW's usual size (Liu et al. 2025, section 2.2), so both share a learning rate.

    Muon's part does what `torch.optim.Muon` does, but for two things. Matrices of one shape are orthogonalised as
    one batch. And it is done in `precision`, where torch's always takes bfloat16: a processor that has no bf16
    multiplies such matrices tens of times more slowly than float32 ones, and most of a step of a small model goes
    there (results/benchmarks/optimizer.json).

    Args:
        model: its parameters are sorted here.
        learning_rate: of both.
        weight_decay: decoupled, on matrices and embeddings; never on norms and biases.
        betas: of AdamW.
        momentum: of Muon.
        precision: in which Muon orthogonalises; that in which the run multiplies matrices is fast enough, and five
            iterations need no better one.
        shared: whether the processes of a launch, which all have the same gradients, share this work: each
            orthogonalises some of the matrices, and gives them to the others. Without, every process does all
            of it, and the more there are, the less of a step is shared.

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
        precision: torch.dtype = torch.float32,
        shared: bool = False,
    ):
        matrices, tables, vectors = sort_parameters(model)
        if not matrices:
            raise ValueError(
                f"--optimizer muon finds no weight matrix between hidden states in {type(model).__name__}: use "
                "--optimizer adamw"
            )
        self._precision = precision
        self._shared = shared
        muon = {"params": matrices, "lr": learning_rate, "weight_decay": weight_decay, "momentum": momentum}
        self._adamw = torch.optim.AdamW(
            [
                {"params": tables, "weight_decay": weight_decay},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=learning_rate,
            fused=True,
            betas=betas,
            eps=1e-8,
        )
        super().__init__([muon, *self._adamw.param_groups], {"lr": learning_rate})
        self._share()

    def _share(self) -> None:
        """Let AdamW work on this object's groups and state (loading a checkpoint replaces them)."""
        self._adamw.param_groups = self.param_groups[1:]
        self._adamw.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        self._share()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._step_muon(self.param_groups[0])
        self._adamw.step()
        return loss

    def _step_muon(self, group: dict[str, Any]) -> None:
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if not weights:
            return
        gradients = [weight.grad for weight in weights]
        momenta = []
        for weight in weights:
            if "momentum_buffer" not in self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
            momenta.append(self.state[weight]["momentum_buffer"])
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov's
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        directions = (orthogonalised_together if self._shared else orthogonalised)(ahead, self._precision)
        for weight, direction in zip(weights, directions, strict=True):
            size = _RMS_OF_ADAMW * max(weight.shape) ** 0.5
            weight.add_(direction.to(weight.dtype), alpha=-group["lr"] * size)


_RMS_OF_ADAMW = 0.2  # of AdamW's updates (Liu et al. 2025); an orthogonal matrix has 1 / sqrt(its longer side)
# The quintic iteration of Jordan et al. 2024: singular values land near 1, not on it, in as few steps as possible.
_ITERATIONS, _LINEAR, _CUBIC, _QUINTIC = 5, 3.4445, -4.7750, 2.0315
# Longer sides, in shorter ones, from which it costs less to iterate on the square matrix of products (see below).
_WIDE = 2


def orthogonalised(matrices: Sequence[torch.Tensor], precision: torch.dtype) -> list[torch.Tensor]:
    """The orthogonal matrix next to each, roughly: all singular values between about 0.7 and 1.2.

    Args:
        matrices: of two dimensions each, in any shapes and dtypes.
        precision: to do it in.

    Returns:
        one for each in its shape, in `precision`.
    """
    found: dict[int, torch.Tensor] = {}
    batches: dict[tuple[int, ...], list[int]] = {}
    for place, matrix in enumerate(matrices):
        batches.setdefault(tuple(sorted(matrix.shape)), []).append(place)
    for places in batches.values():
        tall = [matrices[place].shape[0] > matrices[place].shape[1] for place in places]
        wide = [
            matrices[place].T if turned else matrices[place] for place, turned in zip(places, tall, strict=True)
        ]
        x = torch.stack([matrix.to(precision) for matrix in wide])
        x /= x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
        if precision == torch.float32 and x.shape[-1] >= _WIDE * x.shape[-2]:
            x = _iterated_small(x)
        else:
            for _ in range(_ITERATIONS):
                gram = x @ x.mT
                x = torch.baddbmm(x, _factor(gram), x, beta=_LINEAR)
        found |= {place: x[n].T if tall[n] else x[n] for n, place in enumerate(places)}
    return [found[place] for place in range(len(matrices))]


def _factor(gram: torch.Tensor) -> torch.Tensor:
    """What a step of the iteration multiplies a matrix with, from its products `x @ x.mT`, but for `_LINEAR`."""
    return torch.baddbmm(gram, gram, gram, beta=_CUBIC, alpha=_QUINTIC)


def _iterated_small(x: torch.Tensor) -> torch.Tensor:
    """The same iteration of wide matrices `(batch, short, long)`, with two products of the long side instead
    of 15.

    Every step multiplies from the left with a polynomial of `x @ x.mT`, and all of these commute: so the
    factors can be gathered, and the products be carried on, among matrices of the short side. What rounds
    away is what is below the square root of the precision in `x`: in float32 the outcome agrees to 3 digits
    with that of float64 whatever the spectrum (a test tries ranks and decays), in bfloat16 it would not at
    all.
    """
    gram = x @ x.mT
    identity = torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device)
    gathered = identity
    for number in range(_ITERATIONS):
        factor = _factor(gram).add_(identity, alpha=_LINEAR)
        gathered = factor @ gathered if number else factor
        if number < _ITERATIONS - 1:
            gram = factor @ gram @ factor
    return gathered @ x


def orthogonalised_together(matrices: Sequence[torch.Tensor], precision: torch.dtype) -> list[torch.Tensor]:
    """As `orthogonalised`, by all processes of a launch, which have the same matrices: each takes a share.

    What a process has made the others get as it is, so that all of them take the same step to the bit. It moves as
    many numbers as the matrices have.
    """
    owners = share_out([tuple(matrix.shape) for matrix in matrices], torch.distributed.get_world_size())
    found: dict[int, torch.Tensor] = {}
    waiting = []
    for rank in sorted(set(owners)):
        places = [place for place, owner in enumerate(owners) if owner == rank]
        if rank == torch.distributed.get_rank():
            made = orthogonalised([matrices[place] for place in places], precision)
            numbers = torch.cat([matrix.reshape(-1) for matrix in made])
        else:
            size = sum(matrices[place].numel() for place in places)
            numbers = torch.empty(size, dtype=precision, device=matrices[0].device)
        waiting.append(torch.distributed.broadcast(numbers, rank, async_op=True))
        parts = numbers.split([matrices[place].numel() for place in places])
        found |= {place: part.view(matrices[place].shape) for place, part in zip(places, parts, strict=True)}
    for work in waiting:
        work.wait()
    return [found[place] for place in range(len(matrices))]


def share_out(shapes: Sequence[tuple[int, ...]], number: int) -> list[int]:
    """Which of `number` processes takes each matrix: the largest first, each to the one with least to do.

    The work of a matrix is about its shorter side squared times its longer one.
    """
    work = [min(shape) ** 2 * max(shape) for shape in shapes]
    loads, owners = [0] * number, [0] * len(shapes)
    for place in sorted(range(len(shapes)), key=lambda place: (-work[place], place)):
        owners[place] = loads.index(min(loads))
        loads[owners[place]] += work[place]
    return owners


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
