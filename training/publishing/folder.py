"""What of a run's folder is for others: the code with the weights, the card, the tokenizer, and nothing private.

What is uploaded is named here, file by file: no checkpoint, log, answer or pickle. Folders of the machine are cut
from the record of the run, and a file that holds a secret or such a folder all the same is refused by its name.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData, get_token
from safetensors import SafetensorError, safe_open

from closedbook.data.secrets import remember_secret, withhold
from closedbook.evaluation.files import read_json_object
from closedbook.evaluation.reports.card.text import public, public_command
from closedbook.evaluation.run_record import RUN_FILE, Run, read_run
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig

CARD = "README.md"
ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors|adapter_model\.safetensors")
SIBLING = re.compile(r"^\s*from \.(\w+) import", re.MULTILINE)  # the only form that travels with a checkpoint
# beside the weights and the code; what else lies in the folder stays on this machine
SHARED = (
    *("config.json", "generation_config.json", "model.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", CARD, RUN_FILE, "evaluations.json", ADAPTER),
)
_BESIDE = ("tokenizer.json", "tokenizer_config.json", CARD, RUN_FILE)
NEEDED = ("config.json", "generation_config.json", *_BESIDE)
NEEDED_OF_ADAPTERS = (ADAPTER, ADAPTER_WEIGHTS, *_BESIDE)


def finished_files(folder: str | Path) -> dict[str, bytes | Path]:
    """What others need of a finished run: its content by name in the repository, or where it lies.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: naming what is missing, broken or private.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    run = read_run(folder)
    if not run:
        raise ValueError(
            f"{folder} has no {RUN_FILE}: only finished runs of this package are uploaded, see hf upload"
        )
    if run.last.stage != "converted" and not run.last.is_finished:
        raise ValueError(f"the run in {folder} is not finished: go on with --resume, and upload it then")
    problem = folder_problem(folder)
    if problem:
        raise ValueError(f"{folder} is not a whole model folder: {problem}")
    files = shared_files(folder) | {RUN_FILE: public_record(run)}
    refuse_private(files, folder)
    return files


def folder_problem(folder: Path) -> str | None:
    """What readers without the package would stumble over, or None: a missing file, broken weights, no cache.

    Models of this package need their code beside them, which stock ones and adapters of them do not have.
    """
    is_adapter = (folder / ADAPTER).is_file()
    needed_files = NEEDED_OF_ADAPTERS if is_adapter else NEEDED
    missing = [name for name in needed_files if not (folder / name).is_file()]
    if missing:
        return f"{', '.join(missing)} missing"
    if is_adapter:
        base = read_json_object(folder / ADAPTER).get("base_model_name_or_path") or ""
        if not base or Path(base).is_absolute() or Path(base).exists():
            return (
                f"its adapter is for the model in {base or 'an unnamed place'}, which nobody else has: train it "
                "with --merge_adapter true, or on a base by its name on the Hub"
            )
        return _broken_weights(folder, {ADAPTER_WEIGHTS})
    config = read_json_object(folder / "config.json")
    is_own = config.get("model_type") in (VanillaGPTConfig.model_type, PerceiverGPTConfig.model_type)
    code = {*config.get("auto_map", {}).values(), *tokenizer_classes(folder)}
    # code of somebody else's repository is named "owner/name--file.Class", and stays there
    needed = {f"{one.split('.')[0]}.py" for one in code if "--" not in one}
    for path in folder.glob("*.py"):
        needed |= {f"{name}.py" for name in SIBLING.findall(path.read_text(encoding="utf-8"))}
    absent = [name for name in sorted(needed) if not (folder / name).is_file()]
    if (is_own and not config.get("auto_map")) or absent:
        return f"the code of the model is missing{': ' if absent else ''}{', '.join(absent)}"
    if not config.get("use_cache", not is_own):
        return "config.json has use_cache off, as while training"
    index = folder / "model.safetensors.index.json"
    shards = set(read_json_object(index)["weight_map"].values()) if index.is_file() else {"model.safetensors"}
    return _broken_weights(folder, shards)


def _broken_weights(folder: Path, names: Iterable[str]) -> str | None:
    for name in sorted(names):
        try:
            with safe_open(folder / name, framework="pt") as weights:
                weights.keys()
        except (OSError, SafetensorError) as error:
            return f"{name} cannot be read ({error})"
    return None


def tokenizer_classes(folder: Path) -> list[str]:
    """The classes that a tokenizer names in its `auto_map`, "file.Class"."""
    named = read_json_object(folder / "tokenizer_config.json").get("auto_map", {}).get("AutoTokenizer") or []
    return [name for name in ([named] if isinstance(named, str) else named) if name]


def shared_files(folder: Path) -> dict[str, bytes | Path]:
    """The files of a folder that are for others, by name: text as it is now, weights by their place."""
    files: dict[str, bytes | Path] = {}
    for path in sorted(folder.iterdir()):
        if WEIGHTS.fullmatch(path.name):
            files[path.name] = path
        elif path.is_file() and (path.name in SHARED or path.suffix == ".py"):
            files[path.name] = path.read_bytes()
    return files


def public_record(run: Run) -> bytes:
    """The record of a run without the folders of the machine; names on the Hub stay whole, as in the card."""
    hub_names = {
        name for stage in run.stages for name in (stage.dataset, stage.base_model) if name and "/" in name
    }

    def cut(stage: dict[str, Any]) -> dict[str, Any]:
        told = dict(stage)
        for name in ("arguments", "recipe", "checkpoint"):
            if name in told:
                told[name] = public(told[name], hub_names)
        if "command" in told:
            told["command"] = " ".join(public_command(told["command"], hub_names).replace("\\\n", " ").split())
        if "pretraining" in told:
            told["pretraining"] = cut(told["pretraining"])
        return told

    return (json.dumps(cut(run.to_json()), ensure_ascii=False, indent=2) + "\n").encode()


def refuse_private(files: Mapping[str, bytes | Path], folder: Path) -> None:
    """Refuse to upload text that holds a secret, or a folder of this machine.

    Raises:
        ValueError: naming the file and the kind, not the secret.
    """
    remember_secret(get_token())
    places = {str(place) for place in (Path.home(), Path.cwd(), folder.resolve().parent) if len(place.parts) > 1}
    for name, content in files.items():
        if not isinstance(content, bytes):
            continue
        text = content.decode("utf-8", "replace")
        if withhold(text) != text:
            raise ValueError(
                f"{folder / name} holds an access token or a password: take it out, then upload again"
            )
        place = next((place for place in sorted(places) if place in text), None)
        if place:
            raise ValueError(f"{folder / name} names {place} of this machine: take it out, then upload again")


def saved_files(checkpoint: Path, run: Run, step: int, num_steps: int) -> dict[str, bytes | Path]:
    """A checkpoint of a run that goes on as a folder that others can load; in memory, since it may be removed.

    Raises:
        FileNotFoundError: for sharded weights, which no reader could load.
    """
    if not any((checkpoint / name).is_file() for name in ("model.safetensors", ADAPTER_WEIGHTS)):
        raise FileNotFoundError(
            f"{checkpoint} holds no whole model.safetensors; the finished model will be uploaded"
        )
    files: dict[str, bytes | Path] = {}
    for name, content in shared_files(checkpoint).items():
        files[name] = content if isinstance(content, bytes) else content.read_bytes()
    if (checkpoint / "config.json").is_file():  # an adapter has none
        config = read_json_object(checkpoint / "config.json") | {"use_cache": True}  # off while training
        files["config.json"] = (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode()
    files[RUN_FILE] = public_record(run)
    files[CARD] = progress_card(step, num_steps).encode()
    return files


def progress_card(step: int, num_steps: int) -> str:
    """The card of a model whose training goes on; the finished model brings its own."""
    data = ModelCardData(library_name="transformers", pipeline_tag="text-generation", tags=["closedbook"])
    text = (
        f"Training goes on: this is the model of step {step:,} of {num_steps:,}. The finished one will replace it."
    )
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n"))
