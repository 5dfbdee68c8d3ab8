"""One run, carried on by other numbers of processes: one, two, four, and one again."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from closedbook.scripts.benchmarks.reliability_inputs import TINY
from closedbook.training.bases.loading import load_model_folder

SCRIPT = Path(__file__).resolve().parents[1] / "pretrain.py"
EXACT = ["--precision", "fp32", "--dropout", "0", "--save_steps", "2", "--global_batch_size", "8"]
EXACT += ["--save_total_limit", "9", "--per_device_train_batch_size", "2"]
LEGS = ((1, 2), (2, 4), (4, 6), (1, 8))  # processes, and the step until which they train
STEPS = str(LEGS[-1][1])


def across_processes(folder: Path) -> dict[str, Any]:
    """How far the losses of a run that is handed from hand to hand come from those of a run of one process."""
    straight = folder / "straight"
    launch(1, straight, [])
    carried = folder / "carried"
    for number, (processes, step) in enumerate(LEGS):
        # each leg is a whole run that is stopped: what it did after its last step is taken away
        launch(processes, carried, ["--resume"] if number else [])
        if step != LEGS[-1][1]:
            for path in carried.glob("checkpoint-*"):
                if int(path.name.rpartition("-")[2]) > step:
                    shutil.rmtree(path)
    alone, others = losses(straight), losses(carried)
    load_model_folder(carried)
    apart = max(abs(one - other) / one for one, other in zip(alone, others, strict=True))
    names = {path.name for path in carried.iterdir() if path.is_file()}
    return {
        "processes": [processes for processes, _ in LEGS],
        "largest_relative_difference_of_losses": apart,
        "same_files": names == {path.name for path in straight.iterdir() if path.is_file()},
    }


def launch(processes: int, output: Path, flags: list[str]) -> None:
    """One run of `pretrain.py` in so many processes on this machine's CPU."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
    settings = [
        *TINY,
        "--max_steps",
        STEPS,
        *EXACT,
        "--save_total_limit",
        "9",
        "--per_device_train_batch_size",
        "2",
    ]
    words = [*launcher, str(processes), str(SCRIPT), *settings, "--output_dir", str(output), *flags]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{processes} processes: {done.stderr[-2000:]}")


def losses(folder: Path) -> list[float]:
    """The logged training losses, one a step."""
    history = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    return [float(entry["loss"]) for entry in history if "loss" in entry]
