"""Which files of a folder a run wrote: only these are ever removed.

A run writes files of known names. What has another name, in the folder or in one below, is the user's, as is a
model card that a person wrote or changed.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import closedbook.modeling
from closedbook.evaluation.run_record import RUN_FILE
from closedbook.training.keeping.lock import LOCK_FILE
from closedbook.training.keeping.manifest import MANIFEST_FILE
from closedbook.training.model_card import CARD_FILE, is_unchanged

_CHECKPOINT = re.compile(r"checkpoint-\d+")
_MODEL = (
    r"config\.json|generation_config\.json|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
    r"|adapter_config\.json|adapter_model\.safetensors|tokenizer\.json|tokenizer_config\.json"
    r"|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|chat_template\.jinja"
    r"|trainer_state\.json|training_args\.bin"
)
_STATE = r"progress\.json|optimizer\.(pt|bin)|scheduler\.pt|scaler\.pt|rng_state(_\d+)?\.pth"
_SHARDS = r"(pytorch_model_fsdp|optimizer)_\d+/(\.metadata|__\d+_\d+\.distcp)"
_CODE = "|".join(re.escape(path.name) for path in Path(closedbook.modeling.__file__).parent.glob("*.py"))
_KNOWING = r"knowing/(knowing\.json|predictions\.jsonl)"
# of a kill while something was written; not in other folders, where another run may be writing
_LEFTOVER = r"\.unfinished-[^/]*/.*|(checkpoint-\d+/)?\.[^/]+\.\d+\.unfinished"
_LOG = r"logs/events\.out\.tfevents\.[^/]*"
_ASKED = r"[^/]+/(predictions\.jsonl|results\.json)"

_IN_CHECKPOINT = re.compile(f"{_MODEL}|{_STATE}|{_SHARDS}|{_CODE}|{re.escape(MANIFEST_FILE)}")
_IN_RUN = re.compile(
    f"{_MODEL}|{_CODE}|{re.escape(RUN_FILE)}|{re.escape(MANIFEST_FILE)}|README\\.md|evaluations\\.json"
    r"|conversion\.json"
    rf"|{_LOG}|{_KNOWING}|{_ASKED}|{_LEFTOVER}"
)


def checkpoint_folders(folder: str | Path) -> list[Path]:
    """The checkpoints in a run's folder, good or not, the newest last."""
    found = [
        path for path in Path(folder).glob("checkpoint-*") if _CHECKPOINT.fullmatch(path.name) and path.is_dir()
    ]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def written_files(folder: str | Path, record: str = RUN_FILE) -> list[Path]:
    """The files that a run wrote into its folder; empty for a folder without its record or a checkpoint.

    Names alone are looked at, and two things beside them: a model card has to be as a run left it, and answers
    have to lie in a folder with their result.

    Args:
        folder: of the run.
        record: name of the file by which a run's folder is known, or one of a conversion.
    """
    folder = Path(folder)
    if not (folder / record).is_file() and not checkpoint_folders(folder):
        return []
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink()):
        name = path.relative_to(folder).as_posix()
        inside, _, rest = name.partition("/")
        pattern, name = (_IN_CHECKPOINT, rest) if _CHECKPOINT.fullmatch(inside) else (_IN_RUN, name)
        if pattern.fullmatch(name) and not _is_a_persons(path, name):
            found.append(path)
    return found


def is_of_a_model(folder: str | Path, path: str | Path) -> bool:
    """Whether a file in a run's folder is the model's or a checkpoint's: no answers and no pictures of it."""
    if not Path(path).resolve().is_relative_to(Path(folder).resolve()):
        return False
    name = Path(path).resolve().relative_to(Path(folder).resolve()).as_posix()
    if _CHECKPOINT.fullmatch(name.partition("/")[0]):
        return True
    return bool(
        re.fullmatch(f"{_IN_CHECKPOINT.pattern}|{re.escape(RUN_FILE)}|README\\.md|evaluations\\.json", name)
    )


def is_occupied(folder: str | Path) -> bool:
    """Whether a folder holds more than a run leaves behind that was killed before it began."""
    if not Path(folder).is_dir():
        return False
    nothing = re.compile(rf"{_LEFTOVER}|{_LOG}|{re.escape(LOCK_FILE)}")
    paths = (path for path in Path(folder).rglob("*") if not path.is_dir())
    names = [path.relative_to(folder).as_posix() for path in paths]
    return any(not nothing.fullmatch(name) for name in names)


def remove_leftovers(folder: str | Path) -> None:
    """Remove what a kill left of files that were being written."""
    leftover = re.compile(_LEFTOVER)
    paths = [path for path in Path(folder).rglob("*") if not path.is_dir()]
    remove_files([path for path in paths if leftover.fullmatch(path.relative_to(folder).as_posix())], folder)
    for left in Path(folder).glob(".unfinished-*"):  # killed before anything was in it, or in a folder below it
        for path in sorted([left, *left.rglob("*")], reverse=True):  # what is inside comes first
            if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                path.rmdir()


def _is_a_persons(path: Path, name: str) -> bool:
    if name == CARD_FILE:
        return not is_unchanged(path.read_text(encoding="utf-8", errors="replace"))
    if re.fullmatch(_ASKED, name) and not re.fullmatch(_KNOWING, name):
        return not _is_result(path.parent / "results.json")
    return False


def _is_result(path: Path) -> bool:
    try:
        return {"task", "protocol", "accuracy"} <= json.loads(path.read_text(encoding="utf-8")).keys()
    except (OSError, ValueError, AttributeError):
        return False


def remove_files(paths: Iterable[Path], root: str | Path) -> None:
    """Remove files, and the folders below `root` that are empty without them."""
    folders = set()
    for path in paths:
        path.unlink(missing_ok=True)
        folders |= {folder for folder in path.parents if folder.is_relative_to(root) and folder != Path(root)}
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        if folder.is_dir() and not any(os.scandir(folder)):
            folder.rmdir()


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove a checkpoint; what a user put into its folder stays there."""
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    ours = [path for path in files if _IN_CHECKPOINT.fullmatch(path.relative_to(checkpoint).as_posix())]
    # the state file first: what is left by a kill is no checkpoint any more
    ours.sort(key=lambda path: path.name != "trainer_state.json")
    remove_files(ours, checkpoint.parent)
