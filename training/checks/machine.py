"""Whether what a run asks for is there: packages, and a way to share the work."""

import importlib.metadata
import logging

import psutil
import torch
from transformers import Trainer, get_scheduler
from transformers.integrations import get_available_reporting_integrations

from closedbook.training.arguments import ClosedbookTrainingArguments
from closedbook.training.checks.effect import typed

logger = logging.getLogger(__name__)


def check_reporting(args: ClosedbookTrainingArguments) -> None:
    """Refuse to report to a tracker that is not installed; the library finds out when all else is ready.

    Raises:
        ValueError: naming the package to install.
    """
    there = get_available_reporting_integrations()
    wanted = [args.report_to] if isinstance(args.report_to, str) else args.report_to
    missing = [name for name in wanted if name not in (*there, "none", "all")]
    if missing:
        raise ValueError(
            f"--report_to {' '.join(missing)}: not installed or not known; install it (pip install "
            f"{' '.join(missing)}), or report to one of {', '.join([*there, 'none'])}"
        )


def check_optimizer(args: ClosedbookTrainingArguments) -> None:
    """Refuse an optimizer of the library whose package is not installed.

    Raises:
        ValueError: with what the library says of it.
    """
    if args.optimizer == "muon":
        return
    try:
        Trainer.get_optimizer_cls_and_kwargs(args)
    except (ImportError, importlib.metadata.PackageNotFoundError, RuntimeError) as error:
        raise ValueError(
            f"--optim {getattr(args.optim, 'value', args.optim)}: {' '.join(str(error).split())}"
        ) from error


def check_schedule(args: ClosedbookTrainingArguments) -> None:
    """Refuse settings that the schedule of the learning rate does not take.

    Raises:
        ValueError: with what the library says of them.
    """
    nothing = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    try:
        get_scheduler(args.lr_scheduler_type, nothing, 1, 10, dict(args.lr_scheduler_kwargs or {}))
    except TypeError as error:
        raise ValueError(f"--lr_scheduler_kwargs {args.lr_scheduler_kwargs}: {error}") from error
    least = {"min_lr_rate": (1.0, "of the learning rate"), "min_lr": (args.learning_rate, "--learning_rate")}
    for name, (most, words) in least.items():
        value = dict(args.lr_scheduler_kwargs or {}).get(name)
        if value is not None and not (isinstance(value, int | float) and 0 <= value <= most):
            raise ValueError(
                f"--lr_scheduler_kwargs: {name} is {value}, and the rate cannot end above where it began: give a "
                f"number from 0 to {most:g} ({words})"
            )


def check_warmup(args: ClosedbookTrainingArguments, num_steps: int) -> None:
    """Refuse a warm-up that the run does not live to see the end of: its learning rate would never be reached.

    One that a recipe says is only told of: who tries a recipe for a few steps has not asked for it.

    Args:
        args: of the run.
        num_steps: optimizer steps of the run.

    Raises:
        ValueError: with both numbers.
    """
    if args.get_warmup_steps(num_steps) > num_steps:
        line = (
            f"--warmup_steps {args.warmup_steps:g}, but the run has {num_steps} steps, so that --learning_rate "
            "would never be reached: give fewer, or a share such as 0.05"
        )
        if "warmup_steps" in typed(args):
            raise ValueError(line)
        logger.warning(line)


def check_memory(parameters: int) -> None:
    """Refuse a model whose weights alone are larger than the memory of this machine.

    Args:
        parameters: about how many.

    Raises:
        ValueError: with both sizes.
    """
    needed, there = 4 * parameters / 2**30, psutil.virtual_memory().total / 2**30
    if needed > there:
        raise ValueError(
            f"the model would have about {parameters:.1e} weights, {needed:.0f} GiB, and this machine has "
            f"{there:.0f} GiB: lower --hidden_size or --num_hidden_layers"
        )


def check_sharding(args: ClosedbookTrainingArguments, is_sharded: bool) -> None:
    """Refuse what would not shard, or not as asked.

    Args:
        args: of the run.
        is_sharded: whether the launch asked for FSDP.

    Raises:
        ValueError: saying what to use instead.
    """
    if not is_sharded:
        return
    if args.use_cpu:
        raise ValueError(
            "FSDP needs accelerators: on a CPU, accelerate would run plain DDP without a word. Launch with a "
            "configuration without FSDP, such as scripts/launch/cpu2.yaml"
        )
    if args.optimizer == "muon":
        raise ValueError(
            "--optimizer muon needs whole matrices, and FSDP shards them: use --optimizer adamw, or launch with "
            "DDP (scripts/launch/ddp.yaml)"
        )
