"""Result files: what was measured, how uncertain it is, and what it takes to measure it again.

Every file is written beside its final place first and then moved there in one step, so that a crash leaves
the old file as it was, never half of a new one.
"""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import psutil
import torch
from datasets import Dataset

from closedbook.evaluation.answering import Answer
from closedbook.evaluation.confidence import ScoredAnswer
from closedbook.evaluation.intervals import wilson_interval
from closedbook.evaluation.metrics.exact_match.exact_match import is_match

PROTOCOLS = {  # how the model came about, as a model card says it
    "majority": "one constant answer, no model",
    "no_pretraining": "trained on questions alone, without pretraining",
    "two_stage": "pretrained on documents, then fine-tuned on questions",
    "mixed": "pretrained on documents and training questions together",
    "pretrain": "pretrained on documents",
    "converted": "converted from a checkpoint of another program",
    "prompted": "trained elsewhere, asked with a prompt",
}

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

# All that str.splitlines breaks at, so that any reader of a file finds one answer a line.
_LINE_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "evaluate", "tokenizers", "closedbook")


@contextmanager
def open_atomic(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a file for writing that appears at `path` only when the block ends without an error.

    Folders on the way are made. Text is UTF-8 with plain newlines on every system.

    Args:
        path: Where the file shall be.
        mode: "w" for text, "wb" for bytes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The same folder, because a move between file systems is not one step.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with open(unfinished, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut may keep the new name and lose the content
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8; a crash leaves the old file."""
    with open_atomic(path) as file:
        file.write(text)


def write_json_atomic(path: str | Path, obj: Any) -> None:
    """Write `obj` as indented JSON; a crash leaves the old file.

    Raises:
        ValueError: If a number is infinite or not a number, which JSON cannot hold.
    """
    write_text_atomic(path, json.dumps(obj, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_jsonl_atomic(path: str | Path, rows: Iterable[Any]) -> None:
    """Write one JSON value a line, as `rows` yields them; a crash, also of `rows`, leaves the old file.

    Raises:
        ValueError: If a number is infinite or not a number, which JSON cannot hold.
    """
    with open_atomic(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def run_environment() -> dict[str, Any]:
    """What the run happened on and with: `versions`, `hardware`, `commit` and `command`.

    `commit` is the checkout's commit hash, with "-dirty" appended if tracked files were changed, or None
    where the package does not run from a git checkout. `command` is the command line as it was typed.
    """
    versions = {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}
    return {"versions": versions, "hardware": _hardware(), "commit": _commit(), "command": _command()}


def training_stages(run: dict[str, Any]) -> list[dict[str, Any]]:
    """What a run file records of each stage of a model's training, the first stage first; none of an empty one."""
    earlier = run.get("pretraining")
    return ([run] if run else []) if not earlier else [*training_stages(earlier), run]


def _hardware() -> str:
    """One line such as "AMD EPYC 7763, 8 cores, 31 GiB memory, NVIDIA H200 (140 GiB)"."""
    cores = psutil.cpu_count()
    parts = [
        _processor_name(),
        f"{cores} core{'s' if cores != 1 else ''}",
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB memory",
    ]
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        parts.append(f"{device.name} ({device.total_memory / 2**30:.0f} GiB)")
    return ", ".join(parts)


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux only; platform.processor() is empty or just "x86_64" there
    if cpuinfo.exists():
        name = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(encoding="utf-8"), re.MULTILINE)
        if name:
            return name.group(1).strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    folder, name = Path(__file__).resolve().parent, Path(__file__).name
    try:
        # An installed copy may lie in some other project's checkout, which does not track it.
        subprocess.run(["git", "ls-files", "--error-unmatch", name], cwd=folder, check=True, capture_output=True)
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):  # no git, no checkout, or no commit yet
        return None
    return described.stdout.strip()


def _command() -> str:
    spec = sys.modules["__main__"].__spec__
    # With `python -m name` the first argument is not what was typed, but the full path of the module's file.
    typed = sys.argv if spec is None else ["-m", spec.name, *sys.argv[1:]]
    script, package = Path(typed[0]).resolve(), Path(__file__).resolve().parents[1]
    if spec is None and script.is_relative_to(package):  # wherever the package lies, as the README names it
        typed = [script.relative_to(package).as_posix(), *typed[1:]]
    return shlex.join(["python", *_without_tokens(typed)])


def _without_tokens(words: list[str]) -> list[str]:
    """Access tokens (`--hub_token ...`) do not belong into files that are shared."""
    hidden = []
    for word in words:
        if hidden and re.fullmatch(r"--\w*token", hidden[-1]):
            word = "..."
        hidden.append(re.sub(r"^(--\w*token)=.*", r"\1=...", word))
    return hidden


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
) -> dict[str, Any]:
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
    result = {
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


def check_result(result: dict[str, Any], source: str) -> None:
    """Refuse a result that lacks a field, holds one of the wrong type, or contradicts itself.

    Args:
        result: The content of a results.json. Fields beyond the required ones are welcome.
        source: Where it comes from, for the message: a path, or "this result".

    Raises:
        ValueError: Naming `source` and what is wrong with it.
    """
    if not isinstance(result, dict):
        raise ValueError(f"{source} is not a result: a result is a JSON object.")
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
    """Read and check every result at `<folder>/<task>/<name>.json`, in the order of their paths.

    Raises:
        ValueError: If there are none, or a file is not JSON or not a result; the message names the file.
    """
    results = []
    for path in sorted(Path(folder).glob("*/*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:  # of JSON or of its encoding
            raise ValueError(f"{path} is not readable as JSON: {error}") from error
        check_result(result, str(path))
        results.append(result)
    if not results:
        raise ValueError(f"there are no results in {folder}; they belong at <folder>/<task>/<name>.json.")
    return results


def write_predictions(
    path: str | Path, questions: Dataset, answers: Sequence[Answer] | Sequence[ScoredAnswer]
) -> None:
    """Write one JSON line a question: what was asked, accepted and answered, and how sure the model was.

    Fields: question, entity, answers (the accepted ones), prediction, correct (exact match; null where no
    answer is known), confidence (the model's probability of the whole answer, end mark included), complete
    (whether it ended). Of scored answers also confidences (by name) and candidates (`text`, `log_probability`, the
    most probable first).

    Args:
        path: The file to write, predictions.jsonl by custom.
        questions: Columns `question`, `answers` and `entity`, in the order in which `answers` were given.
        answers: One a question.

    Raises:
        ValueError: If the numbers of questions and answers differ.
    """
    if len(questions) != len(answers):
        raise ValueError(f"there are {len(answers)} answers to {len(questions)} questions.")
    rows = (_prediction_row(question, answer) for question, answer in zip(questions, answers, strict=True))
    write_jsonl_atomic(path, rows)


def _prediction_row(question: dict[str, Any], answer: Answer | ScoredAnswer) -> dict[str, Any]:
    scored = answer if isinstance(answer, ScoredAnswer) else None
    plain = answer if scored is None else scored.answer
    row = {
        "question": question["question"],
        "entity": question["entity"],
        "answers": question["answers"],
        "prediction": plain.text,
        "correct": is_match(plain.text, question["answers"]) if question["answers"] else None,
        "confidence": plain.confidence,
        "complete": plain.complete,
    }
    if scored is not None:
        row["confidences"] = scored.confidences
        row["candidates"] = [asdict(candidate) for candidate in scored.candidates]
    return row


def write_plain_predictions(path: str | Path, answers: Sequence[Answer]) -> None:
    """Write the course's plain format: one answer a line, with spaces for line breaks inside an answer."""
    write_text_atomic(path, "".join(_LINE_BREAK.sub(" ", answer.text) + "\n" for answer in answers))
