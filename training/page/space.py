"""A folder that runs the page as a Space on the Hub, or anywhere: the model, what it read, and this package."""

import importlib
import json
import os
import shutil
import tempfile
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import closedbook
from closedbook.evaluation.files import read_json_objects, write_json_atomic, write_jsonl_atomic
from closedbook.evaluation.run_record import read_run
from closedbook.training.page.arguments import AskArguments, read_documents
from closedbook.training.page.replying import Asker, promise_record, read_promise
from closedbook.training.publishing.folder import finished_files, refuse_private, shared_files

ROOMS = ("modeling", "data", "evaluation", "training")
MODEL, DOCUMENTS, SETTINGS = "model", "documents.jsonl", "ask.json"
_APP = '''"""The page that asks {name}. Written by closedbook {version}."""

from closedbook.training.page.space import launch

if __name__ == "__main__":
    launch()
'''
_CARD = """---
title: Ask {name}
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
---

A page that asks the language model {name} with the book closed: its answer or "I don't know", how sure it is, and
where the answer stands in what it read.
"""


def write_space(args: AskArguments) -> None:
    """Write the folder `args.space`, whole or not at all.

    The model goes in as it would be uploaded: no checkpoint, log or folder of this machine with it.

    Raises:
        ValueError: if the model is not finished, holds what is private, or is measured against another one.
    """
    model, target = Path(args.model), Path(args.space or "")
    promise = read_promise(args.model, args.threshold)
    if promise.base_model is not None:
        raise ValueError(
            f"--space: the promise of {args.model} is measured against {promise.base_model}, which a Space does "
            "not hold: run knowing.py without --base_model first"
        )
    files = finished_files(model) if read_run(model) else shared_files(model)
    refuse_private(files, model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        folder = Path(scratch) / "space"
        (folder / MODEL).mkdir(parents=True)
        for name, content in files.items():
            place = folder / MODEL / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                place.write_bytes(content)
            else:
                shutil.copyfile(content, place)
        if promise.made:
            write_json_atomic(folder / MODEL / "knowing" / "knowing.json", promise_record(promise))
        if args.documents:
            write_jsonl_atomic(folder / DOCUMENTS, read_documents(args.documents))
        settings = {
            "name": model.resolve().name,
            "threshold": args.threshold,
            "prompt": args.prompt,
            "max_new_tokens": args.max_new_tokens,
        }
        write_json_atomic(folder / SETTINGS, settings)
        _write_code(folder, settings["name"])
        if target.exists():  # empty, as was checked
            target.rmdir()
        os.replace(folder, target)


def _write_code(folder: Path, name: Any) -> None:
    """The package without its scripts and tests, the app, the card, and what has to be installed."""
    import platform

    import gradio

    skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(closedbook.__path__[0], folder / "closedbook", ignore=skipped)
    for room in ROOMS:
        path = importlib.import_module(f"closedbook.{room}").__path__[0]
        shutil.copytree(path, folder / "closedbook" / room, ignore=skipped)
    needed = [line for line in requires("closedbook") or () if "extra ==" not in line]
    (folder / "requirements.txt").write_text(
        "\n".join([*needed, f"gradio=={gradio.__version__}", ""]), encoding="utf-8"
    )
    (folder / "app.py").write_text(_APP.format(name=name, version=closedbook.__version__), encoding="utf-8")
    python = ".".join(platform.python_version_tuple()[:2])
    card = _CARD.format(name=name, gradio=gradio.__version__, python=python)
    (folder / "README.md").write_text(card, encoding="utf-8")


def launch(folder: str | Path | None = None) -> None:
    """Run the page of a folder that `write_space` wrote; by default the one that the package lies in."""
    from closedbook.training.page.gradio_page import PAGE, build_page

    root = Path(closedbook.__path__[0]).parent if folder is None else Path(folder)
    settings = json.loads((root / SETTINGS).read_text(encoding="utf-8"))
    documents = read_json_objects(root / DOCUMENTS) if (root / DOCUMENTS).exists() else None
    asker = Asker(
        str(root / MODEL),
        read_promise(str(root / MODEL), settings["threshold"]),
        documents,
        settings["prompt"],
        max_new_tokens=settings["max_new_tokens"],
        name=settings["name"],
    )
    build_page(asker).launch(**PAGE)
