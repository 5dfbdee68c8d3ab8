"""The whole demo, and the generated parts of the documentation."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from golden_environment import GOLDEN_ENVIRONMENT, golden_environment, read_json
from golden_training import read_answers, read_run

STAGES = ("pretrained", "model", "no_pretraining")
BLOCK = re.compile(r"<!-- report:([\w.-]+) -->\n(.*?)<!-- /report -->", re.DOTALL)


def run_demo(checkout: Path, folder: Path) -> None:
    """The demo as its command runs it: nothing of the golden environment, kernels as the processor likes them."""
    quiet = ("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM")
    imposed = set(GOLDEN_ENVIRONMENT) - set(quiet)
    environment = {name: value for name, value in golden_environment().items() if name not in imposed}
    environment |= {"OMP_WAIT_POLICY": "passive"}  # threads that wait burn the time of whoever works beside them
    command = [sys.executable, str(checkout / "scripts" / "demo.py"), "--output_dir", str(folder)]
    subprocess.run(command, env=environment, cwd=checkout, check=True, stdout=sys.stderr)


def read_demo(folder: Path) -> dict:
    """The demo's three trainings, what its two models answer, and its results."""
    found: dict[str, dict] = {name: read_run(folder / name) for name in STAGES}
    for stage in found.values():
        # the folders that the command named, wherever they lay
        for facts in (stage["facts"], stage["facts"]["arguments"]):
            facts |= {name: Path(facts[name]).name for name in ("model", "recipe") if facts.get(name)}
    for name in STAGES[1:]:
        found[f"answers of {name}"] = read_answers(folder / name / "test", "results.json")
    results = sorted((folder / "results").rglob("*.json"))
    found["results"] = {path.stem: {"correct": read_json(path)["correct"]} for path in results}
    return found


def read_blocks(checkout: Path) -> dict[str, list[str]]:
    """Content of every generated block in README.md and docs/, by name."""
    found: dict[str, list[str]] = {}
    for path in [checkout / "README.md", *sorted((checkout / "docs").rglob("*.md"))]:
        for name, content in BLOCK.findall(path.read_text(encoding="utf-8")):
            found.setdefault(name, []).append(content)
    return found


def hash_block(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
