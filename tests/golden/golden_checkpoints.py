"""Folders written by the code before the move, and what the code must still make of them.

`old_checkpoints/` holds whole run folders of a vanilla and a Perceiver model, pretrained and fine-tuned, and a
pretraining run that was stopped in the middle. The code that travels in each of them is the same, so it is kept
once, in `code/`, under names that no linter or formatter touches. Left out is only what names the machine:
`training_args.bin`, which nothing reads.
"""

import json
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

from golden_environment import HERE, call_script
from golden_reader import read_models
from golden_training import PEOPLE, TRAINING, read_answers, record_run

STORED = HERE / "old_checkpoints"
SIZES = ["--hidden_size", "16", "--num_hidden_layers", "2", "--num_attention_heads", "2", "--block_size", "64"]
PRETRAINING = [*TRAINING, *PEOPLE, *SIZES, "--num_versions", "1"]
PERCEIVER = ["--architecture", "perceiver", "--latent_layout", "spread", "--num_latents", "16"]
KINDS = {"vanilla": [], "perceiver": PERCEIVER}
FOLDERS = [f"{kind}/{stage}" for kind in KINDS for stage in ("pretrained", "finetuned")]
STOPPED = [*PRETRAINING, "--max_steps", "8", "--save_strategy", "steps", "--save_steps", "4"]
STOPPED_AT = 4


def make_checkpoints(checkout: Path, stored: Path) -> None:
    """Write `old_checkpoints/` anew, in the current folder first. Only ever done with the code before the move."""
    here = Path.cwd()
    here.joinpath("made").mkdir()
    os.chdir("made")
    for kind, flags in KINDS.items():
        folder = f"{kind}/pretrained"
        call_script(checkout, "pretrain", *PRETRAINING, *flags, "--max_steps", "20", "--output_dir", folder)
        more = ["--model", folder, "--max_steps", "10", "--output_dir", f"{kind}/finetuned"]
        call_script(checkout, "finetune", *TRAINING, *PEOPLE, *more)
    stop_in_the_middle(checkout, Path("stopped"))
    shutil.rmtree(stored, ignore_errors=True)
    code: dict[str, bytes] = {}
    for path in sorted(path for path in Path().rglob("*") if path.is_file()):
        if path.suffix == ".py":
            if code.setdefault(path.name, path.read_bytes()) != path.read_bytes():
                raise ValueError(f"{path} differs from the file of that name in another folder")
        elif path.name != "training_args.bin":
            target = stored / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    for name, content in code.items():
        (stored / "code").mkdir(exist_ok=True)
        (stored / "code" / f"{name}.txt").write_bytes(content)
    os.chdir(here)


def stop_in_the_middle(checkout: Path, folder: Path) -> None:
    """A pretraining run that ends right after its checkpoint, as a killed one does."""
    from transformers.trainer_callback import DefaultFlowCallback

    class Killed(Exception):
        pass

    def stop(callback, args, state, control, **kwargs):
        if state.global_step == STOPPED_AT:
            raise Killed

    DefaultFlowCallback.on_step_begin = stop
    try:
        call_script(checkout, "pretrain", *STOPPED, "--output_dir", folder)
    except Killed:
        return
    finally:
        del DefaultFlowCallback.on_step_begin
    raise RuntimeError("the run went on to its end")


def unpack(target: Path) -> None:
    """The stored folders as they were written, each with its code; runs of the same names make way."""
    for stored in (path for path in STORED.iterdir() if path.name != "code"):
        shutil.rmtree(target / stored.name, ignore_errors=True)
    shutil.copytree(STORED, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("code"))
    for config in list(target.rglob("config.json")):
        for path in (STORED / "code").glob("*.py.txt"):
            shutil.copyfile(path, config.parent / path.stem)


def record_checkpoints(checkout: Path) -> dict[str, dict]:
    """What the stored folders say, answer, and become when training goes on, in the current folder."""
    unpack(Path())
    found: dict[str, dict] = {}
    tried = {
        "read with the package": _read_with_the_package,
        "read without the package": _read_without_the_package,
        "evaluated": lambda: {kind: _evaluate(checkout, kind) for kind in KINDS},
    }
    for name, attempt in tried.items():
        try:
            found[name] = attempt()
        except BaseException as error:
            found[name] = {"error": "".join(traceback.format_exception(error))}
    for kind in KINDS:
        again = f"{kind}/finetuned-again"
        flags = [*TRAINING, *PEOPLE, "--max_steps", "4", "--model", f"{kind}/pretrained", "--output_dir", again]
        found[f"{kind} fine-tuned"] = record_run(checkout, "finetune", flags, Path(again))
    flags = [*STOPPED, "--resume", "True", "--output_dir", "stopped"]
    found["resumed"] = record_run(checkout, "pretrain", flags, Path("stopped"))
    return found


def _read_with_the_package() -> dict:
    import closedbook.modeling  # noqa: F401 - registers the architectures

    return read_models(FOLDERS)


def _read_without_the_package() -> dict:
    """The same in a process that cannot import the package, with the code that travels in the folders."""
    environment = dict(os.environ) | {"HF_MODULES_CACHE": str(Path("modules").resolve())}
    command = [sys.executable, "-I", str(HERE / "golden_reader.py"), *FOLDERS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _evaluate(checkout: Path, kind: str) -> dict:
    """Answers of the fine-tuned model, and whether its card took them up."""
    card = Path(kind) / "finetuned" / "README.md"
    before, folder = card.read_text(encoding="utf-8"), Path(f"{kind}-answers")
    flags = ["--model", card.parent, "--max_new_tokens", "12", *PEOPLE, "--output_dir", folder]
    call_script(checkout, "evaluate", *flags)
    return read_answers(folder, "results.json") | {"card updated": card.read_text(encoding="utf-8") != before}
