"""Result files: what was measured, how uncertain it is, and what it takes to measure it again."""

import re
import sys
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import read_json_object
from closedbook.evaluation.statistics.intervals import wilson_interval

PROTOCOLS = {  # how the model came about, as a model card says it
    "majority": "one constant answer, no model",
    "no_pretraining": "trained on questions alone, without pretraining",
    "two_stage": "pretrained on documents, then fine-tuned on questions",
    "mixed": "pretrained on documents and training questions together",
    "self_questions": "pretrained on documents and on questions about them that a reader has answered",
    "open_book": "taught to answer questions with their document in front, by pointing",
    "pretrain": "pretrained on documents",
    "converted": "converted from a checkpoint of another program",
    "prompted": "trained elsewhere, asked with a prompt",
}


FORMAT = 2  # 2: has this number; what is read without one is of format 1


class Result(TypedDict):
    """The content of a result file, wherever it stands: beside predictions, in a folder of results, or in a card.

    `accuracy` and `interval` (95%, Wilson) follow from `n` and `correct`, and those from predictions.jsonl, where
    each answer is judged once; everything here is a view of it, with what made the model.
    """

    format: NotRequired[int]
    task: str
    split: str
    model: str
    parameters: int
    protocol: str
    recipe: str
    seed: int
    n: int
    correct: int
    accuracy: float
    interval: list[float]
    train_characters: int
    train_seconds: float
    versions: dict[str, str]
    hardware: str
    commit: str | None
    command: str
    answer_match: NotRequired[float]  # share right but for spelling
    published_rule: NotRequired[dict[str, Any]]  # of a published set: `rule` in words, `correct`, `accuracy`
    rules: NotRequired[dict[str, str]]  # what our own scores mean, where a published rule stands beside them
    mean_confidence: NotRequired[float]
    baselines: NotRequired[dict[str, dict[str, Any]]]
    prompt: NotRequired[str]
    train_commands: NotRequired[list[str]]
    train_hardware: NotRequired[list[str]]
    # of an ablation or a comparison
    ablation: NotRequired[str]
    objectives: NotRequired[list[str]]
    exposures: NotRequired[float]
    pretraining_loss: NotRequired[float]
    budget: NotRequired[dict[str, Any]]


_FIELD_TYPES: dict[str, type | tuple[type, ...]] = {
    "task": str,
    "split": str,
    "model": str,
    "parameters": int,
    "protocol": str,
    "recipe": str,
    "seed": int,
    "n": int,
    "correct": int,
    "accuracy": float,
    "interval": list,
    "train_characters": int,
    "train_seconds": (int, float),
    "hardware": str,
    "versions": dict,
    "command": str,
    "commit": (str, type(None)),
}


def make_result(
    *,
    task: str,
    split: str,
    model: str,
    parameters: int,
    protocol: str,
    recipe: str,
    seed: int,
    n: int,
    correct: int,
    train_characters: int,
    train_seconds: float,
) -> Result:
    """Build the content of a result file: the given numbers, what follows from them, and the environment.

    Args:
        task: Name of the question set, such as "cs224n".
        split: Which of its questions were asked, such as "dev".
        model: Short name of the architecture, such as "vanilla".
        parameters: Number of trained parameters; 0 for a baseline without a model.
        protocol: One of `PROTOCOLS`.
        recipe: Name of the recipe the run followed.
        seed: The run's seed.
        n: Number of questions asked.
        correct: Number of them answered correctly.
        train_characters: Characters seen in training, repetitions included, all stages together.
        train_seconds: Wall-clock seconds of training, all stages together.

    Returns:
        A JSON-ready dict; `interval` is the 95% Wilson interval [low, high] of `accuracy`.

    Raises:
        ValueError: If a number is impossible, or the protocol is unknown.
    """
    interval = wilson_interval(correct, n)
    result: Any = {
        "format": FORMAT,
        "task": task,
        "split": split,
        "model": model,
        "parameters": parameters,
        "protocol": protocol,
        "recipe": recipe,
        "seed": seed,
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "interval": list(interval),
        "train_characters": train_characters,
        "train_seconds": train_seconds,
        **run_environment(),
    }
    check_result(result, "this result")
    return result


def check_result(result: Any, source: str) -> None:
    """Refuse a result that lacks a field, holds one of the wrong type, or contradicts itself.

    Args:
        result: The content of a results.json. Fields beyond the required ones are welcome.
        source: Where it comes from, for the message: a path, or "this result".

    Raises:
        ValueError: Naming `source` and what is wrong with it.
    """
    if not isinstance(result, dict):
        raise ValueError(f"{source} is not a result: a result is a JSON object.")
    if result.get("format", 1) > FORMAT:
        raise ValueError(
            f"{source} is a result of format {result['format']}; this version of closedbook reads up to {FORMAT}."
        )
    missing = [field for field in _FIELD_TYPES if field not in result]
    if missing:
        raise ValueError(f"{source} lacks the fields {', '.join(missing)}; write results with make_result.")
    for field, expected in _FIELD_TYPES.items():
        if isinstance(result[field], bool) or not isinstance(result[field], expected):
            raise ValueError(f"{source} has an unusable value for {field}: {result[field]!r}.")
    if len(result["interval"]) != 2:
        raise ValueError(f"{source} has an interval that is not [low, high]: {result['interval']}.")
    if result["protocol"] not in PROTOCOLS:
        raise ValueError(f"{source} has protocol {result['protocol']!r}; choose one of {', '.join(PROTOCOLS)}.")
    for field in ("parameters", "seed", "train_characters", "train_seconds"):
        if result[field] < 0:
            raise ValueError(f"{source} has a negative {field}: {result[field]}.")
    n, correct = result["n"], result["correct"]
    if not (0 <= correct <= n and n > 0) or abs(result["accuracy"] - correct / n) > 1e-9:
        raise ValueError(f"{source} contradicts itself: {correct} of {n} correct, accuracy {result['accuracy']}.")


def result_path(folder: str | Path, task: str, model: str, protocol: str, seed: int) -> Path:
    """Where a result belongs: `<folder>/<task>/<model>-<protocol>-seed<seed>.json`.

    Raises:
        ValueError: If the protocol is unknown, or a name would not make one part of a path.
    """
    for name in (task, model):
        if not re.fullmatch(r"\w[\w.+-]*", name):
            raise ValueError(f"{name!r} cannot be part of a file name; use letters, digits, _, +, . and - only.")
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}.")
    return Path(folder) / task / f"{model}-{protocol}-seed{seed}.json"


def load_results(folder: str | Path) -> list[dict[str, Any]]:
    """Read and check every result at `<folder>/<task>/<name>-seed<k>.json`, in the order of their paths.

    Raises:
        ValueError: If there are none, or a file is not JSON or not a result; the message names the file.
    """
    results = []
    for path in sorted(Path(folder).glob("*/*-seed*.json")):
        result = read_json_object(path)
        check_result(result, str(path))
        results.append(result)
    if not results:
        raise ValueError(f"there are no results in {folder}; they belong at <folder>/<task>/<name>-seed<k>.json.")
    return results


FORMER_PREFIXES = {"benchmarks": "benchmark", "probes": "probe"}  # of the others it was the name of the subject


def where_it_is(path: Path) -> Path:
    """A file `<results>/<subject>/<name>`, or where version 0.1 kept it: `<results>/<subject>-<name>`.

    A command that goes on with what a file holds reads the former one, says so, and writes the new one.
    """
    former = path.parent.parent / f"{FORMER_PREFIXES.get(path.parent.name, path.parent.name)}-{path.name}"
    if path.exists() or not former.exists():
        return path
    print(f"going on from {former}, where version 0.1 wrote it; what is new goes into {path}", file=sys.stderr)
    return former
