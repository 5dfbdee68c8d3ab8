"""A model that is asked inside a browser: one static folder, without a server that computes and without a network.

The model runs as an ONNX graph in onnxruntime-web (MIT), whose two files come with the folder. Answers,
confidences, threshold and familiarity are those of Python, computed once more in `static/model.js`; a test holds
the two together in a real browser.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from closedbook.data.people.invented import UNKNOWN_ANSWER
from closedbook.evaluation.files import write_json_atomic, write_text_atomic
from closedbook.evaluation.knowing.familiarity import COMBINED, FAMILIARITY
from closedbook.modeling.tokenization_char import CharTokenizer
from closedbook.training.conversion.onnx_file import FILE, write_graph
from closedbook.training.conversion.source import Source
from closedbook.training.page.reply_html import STYLE
from closedbook.training.page.replying import Promise, read_promise

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
_INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # of its folder dist; on processors alone
_STATIC = Path(__file__).with_name("static")
CONFIDENCES = ("sequence_probability", "length_normalised", FAMILIARITY, COMBINED)  # without samples and beams
_SETTINGS = "settings.json"
_PATIENCE = 240  # seconds that npm may take for 33 MB
_CARD = """---
title: {title}
sdk: static
app_file: index.html
tags: [closedbook, onnx]
---

# Ask {name}, in the browser

The language model {name}, asked with the book closed: it runs in the browser of whoever opens this page, nothing
that is typed leaves it, and when it is not sure enough it says "I don't know". Written by closedbook.

Any server of plain files will do, a Space of the kind `static` too; a page opened from the disk itself may not
load its parts. Here:

```bash
python -m http.server --bind 127.0.0.1
```

The folder `runtime` holds two files of the npm package [{package}](https://www.npmjs.com/package/{package})
{version}, unchanged, under its own licence (MIT, copyright Microsoft Corporation), whose text is that of
<https://github.com/microsoft/onnxruntime/blob/main/LICENSE>.
"""


def check_runtime(runtime: str | None) -> None:
    """Refuse where the files that run the graph cannot be had.

    Raises:
        ValueError: saying what to do.
    """
    if runtime is None:
        if shutil.which("npm") is None:
            raise ValueError(
                f"--format browser takes the npm package {PACKAGE}, and there is no npm to fetch it: install "
                "Node.js, or give the package's archive or folder with --runtime"
            )
        return
    if not Path(runtime).exists():
        raise ValueError(f"--runtime {runtime}: there is no such folder or archive")


def write_browser(folder: Path, source: Source) -> dict[str, Any]:
    """Write page, graph, settings, runtime and card, and return what is to be recorded.

    Raises:
        ValueError: for a model that does not read single characters, or whose promise takes what a page does not
            compute.
    """
    promise = check_askable(source)
    version = copy_runtime(source.runtime, folder / "runtime")
    difference = write_graph(folder / FILE, source.model)
    write_json_atomic(folder / _SETTINGS, page_settings(source, promise))
    for path in _STATIC.iterdir():
        content = path.read_text(encoding="utf-8")
        write_text_atomic(folder / path.name, content + STYLE if path.suffix == ".css" else content)
    title = json.dumps(f"Ask {source.name}", ensure_ascii=False)  # whatever a folder is called
    card = _CARD.format(title=title, name=source.name, package=PACKAGE, version=version)
    write_text_atomic(folder / "README.md", card)
    return {
        "parameters": source.model.num_parameters(),
        "largest_difference": difference,
        "runtime": f"{PACKAGE} {version}",
    }


def check_askable(source: Source) -> Promise:
    """The promise that the page keeps.

    Raises:
        ValueError: as `write_browser`.
    """
    if not isinstance(source.tokenizer, CharTokenizer):
        raise ValueError(
            f"--format browser takes models that read single characters, and {source.folder} has a tokenizer of "
            f"another kind ({type(source.tokenizer).__name__}): export it with --format onnx"
        )
    promise = read_promise(source.folder)
    if promise.confidence not in CONFIDENCES:
        raise ValueError(
            f"the promise of {source.folder} is about {promise.confidence}, which takes samples or beams that a "
            f"page does not draw: run knowing.py with --confidence {COMBINED} first"
        )
    if promise.base_model is not None:
        raise ValueError(
            f"the promise of {source.folder} is measured against {promise.base_model}, which the page does not "
            "hold: run knowing.py without --base_model first"
        )
    return promise


def page_settings(source: Source, promise: Promise) -> dict[str, Any]:
    """What the page has to know of the model."""
    config, tokenizer = source.model.config, source.tokenizer
    known = None
    if promise.familiarity is not None:
        known = promise.familiarity.as_record() | {"wordings": promise.wordings}
    return {
        "name": source.name,
        "characters": tokenizer.get_vocab(),
        "special": tokenizer.all_special_tokens,
        "mark": tokenizer.mask_token_id,
        "block": config.max_position_embeddings,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "head_size": config.hidden_size // config.num_attention_heads,
        "max_new_tokens": promise.max_new_tokens,
        "refusal": UNKNOWN_ANSWER,
        "confidence": promise.confidence,
        "threshold": promise.threshold,
        "told": promise.told,
        "familiarity": known,
    }


def copy_runtime(given: str | None, folder: Path) -> str:
    """Put the two files of onnxruntime-web into a folder, and return the version.

    Args:
        given: the npm package as a folder or .tgz; None: npm fetches the one whose checksum is known here.
        folder: to be made.

    Raises:
        ValueError: if it cannot be fetched, is not what was expected, or lacks a file.
    """
    folder.mkdir(parents=True)
    if given is not None and Path(given).is_dir():
        return _take({name: _file(Path(given) / name) for name in _names()}, folder, given)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(given) if given is not None else _fetch(Path(scratch))
        try:
            with tarfile.open(archive) as opened:
                found = {name: _member(opened, f"package/{name}") for name in _names()}
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ValueError(f"--runtime {archive} is no archive of an npm package ({error})") from error
        return _take(found, folder, str(archive))


def _names() -> list[str]:
    return ["package.json", *(f"dist/{name}" for name in _RUNTIME)]


def _file(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _member(opened: tarfile.TarFile, name: str) -> bytes | None:
    try:
        found = opened.extractfile(name)
    except KeyError:
        return None
    return None if found is None else found.read()


def _take(found: dict[str, bytes | None], folder: Path, origin: str) -> str:
    missing = [name for name, content in found.items() if content is None]
    if missing:
        raise ValueError(f"{origin} is not the npm package {PACKAGE}: it lacks {', '.join(missing)}")
    described = json.loads(found["package.json"] or b"{}")
    if described.get("name") != PACKAGE:
        raise ValueError(f"{origin} is the npm package {described.get('name')}, not {PACKAGE}")
    for name in _RUNTIME:
        (folder / name).write_bytes(found[f"dist/{name}"] or b"")
    return str(described.get("version"))


def _fetch(scratch: Path) -> Path:
    """The package as npm has it, held to the checksum."""
    command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent"]
    command += [
        "--fetch-retries=1",
        f"--fetch-timeout={1000 * _PATIENCE // 4}",
        "--pack-destination",
        str(scratch),
    ]
    try:
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"npm did not fetch {PACKAGE} {VERSION} in {_PATIENCE} seconds: give it with --runtime"
        ) from error
    archives = list(scratch.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        told = " ".join(done.stderr.split())[-200:]
        raise ValueError(f"npm could not fetch {PACKAGE} {VERSION} ({told}): give it with --runtime")
    digest = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
    if digest != _INTEGRITY:
        raise ValueError(
            f"what npm fetched as {PACKAGE} {VERSION} is not what was published: give it with --runtime"
        )
    return archives[0]
