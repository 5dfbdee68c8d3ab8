"""Whether what a run asks for is there: packages, and a way to share the work."""

import importlib.metadata

from transformers import Trainer
from transformers.integrations import get_available_reporting_integrations

from closedbook.training.arguments import ClosedbookTrainingArguments


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
