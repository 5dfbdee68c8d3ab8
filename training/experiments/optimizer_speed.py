"""Seconds of an optimizer step: this package's Muon with AdamW, and torch's Muon beside torch's AdamW."""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.training.command_line import parse_flags
from closedbook.training.optimizer import MuonWithAdamW, sort_parameters

SIZES = ((32, 2), (64, 3), (256, 4))  # hidden size and layers: a test's, the laboratory's, the reference task's
RATE = 0.006


@dataclass
class OptimizerBenchmarkArguments:
    """Flags of this benchmark."""

    repeats: int = field(default=5, metadata={"help": "steps of each; the median"})
    num_threads: int = field(default=1, metadata={"help": "CPU threads"})
    output: str | None = field(default=None, metadata={"help": "file for the JSON object"})


def _torch_alone(model: torch.nn.Module) -> Callable[[], None]:
    matrices, tables, vectors = sort_parameters(model)
    muon = torch.optim.Muon(matrices, lr=RATE, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW([*tables, *vectors], lr=RATE, fused=True)

    def step() -> None:
        muon.step()
        adamw.step()

    return step


WAYS: dict[str, Callable[[torch.nn.Module], Callable[[], None]]] = {
    "torch": _torch_alone,
    "float32": lambda model: MuonWithAdamW(model, RATE).step,
    "bfloat16": lambda model: MuonWithAdamW(model, RATE, precision=torch.bfloat16).step,
}


def step_seconds(hidden_size: int, num_layers: int, way: str, repeats: int) -> float:
    """Median seconds of a step after the first, which allocates."""
    torch.manual_seed(0)
    model = VanillaGPTForCausalLM(
        VanillaGPTConfig(
            vocab_size=256,
            hidden_size=hidden_size,
            num_hidden_layers=num_layers,
            num_attention_heads=4,
            max_position_embeddings=128,
        )
    )
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    step = WAYS[way](model)
    step()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def main(argv: list[str]) -> dict:
    (args,) = parse_flags(OptimizerBenchmarkArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    for name in ("repeats", "num_threads"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(args, name)}")
    torch.set_num_threads(args.num_threads)
    sizes = {}
    for hidden_size, num_layers in SIZES:
        seconds = {way: step_seconds(hidden_size, num_layers, way, args.repeats) for way in WAYS}
        sizes[f"{num_layers} x {hidden_size}"] = {
            "seconds": seconds,
            "ratio": seconds["torch"] / min(seconds["float32"], seconds["bfloat16"]),
            "ratio_float32": seconds["torch"] / seconds["float32"],
        }
    result = {
        "benchmark": "optimizer",
        "unit": "seconds a step",
        "sizes": sizes,
        "settings": asdict(args),
        **run_environment(),
    }
    if args.output is not None:
        write_json_atomic(args.output, result)
    print(json.dumps(result), flush=True)
    return result
