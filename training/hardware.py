"""What the machine can do, and which of a launch's processes this is."""

import os
import time
from datetime import timedelta

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


def has_bf16(use_cpu: bool) -> bool:
    """Whether the hardware multiplies bf16 matrices faster than fp32 ones."""
    if not use_cpu and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def own_threads() -> int:
    """How many threads this process computes in on a CPU, where no flag says it.

    As many as `OMP_NUM_THREADS` says where whoever started this process set it. `accelerate launch` always
    sets it, to 1 by default, so of its processes each takes its share of the cores that they may run on.
    """
    launched = "LOCAL_WORLD_SIZE" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and int(asked) and not launched:
        return int(asked)
    can_tell = hasattr(os, "sched_getaffinity")  # not where there is no Linux
    cores = len(os.sched_getaffinity(0)) if can_tell else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def process_state() -> PartialState:
    """This process among those that `accelerate launch` started.

    Without the word that it runs on a CPU, each of several processes takes itself for the only one there. Their
    shares of the work may end hours apart, so the first one waits for days, not for the library's half an hour.
    """
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=on_cpu, timeout=timedelta(days=7))


def device() -> torch.device:
    """Where a run takes place: what `ClosedbookTrainingArguments` lets `Trainer` choose."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def now() -> float:
    """Seconds on a clock that stands still until the accelerator has done all it was given."""
    if device().type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()


def own_device(state: PartialState) -> torch.device:
    """Where this process asks its model.

    Of several processes on a CPU the library calls each one's device "cpu:0", and to move a model there copies its
    weights, to other addresses than those of the file that they are mapped from. Matrix products take other ways
    through memory that begins elsewhere, and the last digits of answers would tell how many processes there were.
    """
    return torch.device("cpu") if state.device.type == "cpu" else state.device
