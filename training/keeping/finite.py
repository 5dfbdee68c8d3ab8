"""Finite or nothing: a run stops at the first loss, gradient or weight that is not a number.

Past it there is nothing to learn any more: every weight of the next step is NaN, the loss logged is filtered by
the library, and what is saved answers nonsense. Checked are the loss of every batch and the norm of the gradient
before the optimizer uses them, so that the weights of a run that stops are still those of its last good step; and
all weights before they are saved.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils import get_total_norm
from transformers import ProgressCallback, Trainer, TrainerCallback

from closedbook.training.keeping.progress import COUNTS, Progress
from closedbook.training.keeping.written import checkpoint_folders

logger = logging.getLogger(__name__)


class NonFiniteError(ValueError):
    """A loss, a gradient or a weight is infinite or not a number."""


def non_finite_tensor(tensors: Iterable[tuple[str, torch.Tensor]]) -> str | None:
    """Name of the first tensor with a value that is infinite or not a number; None if there is none."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return name
    return None


def check_weights(model: nn.Module, where: str) -> None:
    """Refuse a model whose weights are not finite.

    Args:
        model: whose parameters and buffers are looked at.
        where: the model in words, for the message.

    Raises:
        NonFiniteError: naming the first such weight.
    """
    name = non_finite_tensor([*model.named_parameters(), *model.named_buffers()])
    if name is not None:
        raise NonFiniteError(
            f"{where}: {name} holds values that are infinite or not a number; use the last good checkpoint of its "
            "run, or train again with a lower --learning_rate"
        )


class FiniteTrainer(Trainer):
    """The library's Trainer, which takes no step with a loss or a gradient that is not finite.

    Args:
        skip_limit: how many such steps may be left out, weights and moments untouched; 0 stops at the first.
        progress: counts what is read.
        told: what the model is told beside every batch.
    """

    def __init__(
        self,
        *args: Any,
        progress: Progress,
        skip_limit: int = 0,
        told: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.progress = progress
        super().__init__(*args, **kwargs)
        progress.trainer = self
        self.told = dict(told or {})
        self.skip_limit = skip_limit
        self.skipped = 0
        self._losses_finite = True
        self.add_callback(_BeforeEveryStep(self))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().train(*args, **kwargs)
        finally:  # what is said of an error has a line of its own
            for callback in self.callback_handler.callbacks:
                if isinstance(callback, ProgressCallback) and callback.training_bar is not None:
                    callback.training_bar.close()

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(model, {**inputs, **self.told}, *args, **kwargs)

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        self.progress.add(inputs)
        loss = super().training_step(model, inputs, *args, **kwargs)
        self._losses_finite = self._losses_finite and bool(torch.isfinite(loss))
        return loss

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        inputs.pop(COUNTS, None)
        return super().prediction_step(model, inputs, *args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        check_weights(self.model, f"step {self.state.global_step} is not saved")
        super().save_model(output_dir, _internal_call)

    def check_step(self) -> None:
        """Before an optimizer's step: leave it out or stop where it would spoil the weights.

        Raises:
            NonFiniteError: with the step, what is not finite, and which checkpoint is there to go on from.
        """
        losses_finite, self._losses_finite = self._losses_finite, True
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = get_total_norm([parameter.grad for parameter in parameters])
        if hasattr(norm, "full_tensor"):  # of shards
            norm = norm.full_tensor()
        good = torch.tensor([losses_finite, bool(torch.isfinite(norm))], dtype=torch.float32, device=norm.device)
        if self.args.world_size > 1:  # all processes stop or go on together
            good = self.accelerator.gather(good.reshape(1, 2)).amin(0)
        if bool(good.all()):
            return
        what = "gradient" if bool(good[0]) else "loss"
        step = self.state.global_step + 1
        if self.skipped < self.skip_limit:
            self.skipped += 1
            for parameter in parameters:
                parameter.grad = None
            logger.warning(
                "step %d: the %s is not finite; left out, %d of at most %d",
                step,
                what,
                self.skipped,
                self.skip_limit,
            )
            return
        more = f" after {self.skipped} steps that were left out" if self.skipped else ""
        raise NonFiniteError(
            f"step {step}: the {what} is infinite or not a number{more}. The weights were not changed by it, and "
            f"are not saved as finished; {self._last_checkpoint()}. Lower --learning_rate, use --precision fp32, "
            "or leave such steps out with --on_nonfinite skip"
        )

    def _last_checkpoint(self) -> str:
        saved = checkpoint_folders(self.args.output_dir or ".")  # all of finite weights: see `save_model`
        return f"the last good checkpoint is {saved[-1]}" if saved else "there is no checkpoint yet"


class _BeforeEveryStep(TrainerCallback):
    def __init__(self, trainer: FiniteTrainer) -> None:
        self.trainer = trainer

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.check_step()
