"""A model in the form of other programs, checked against the original before anything is left behind."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import read_json_object, share_weights, write_json_atomic
from closedbook.evaluation.reports.card.text import public_command
from closedbook.evaluation.run_record import RUN_FILE, read_run
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.checks.outputs import check_inputs_outside
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import parse_flags
from closedbook.training.conversion.browser import check_runtime, write_browser
from closedbook.training.conversion.gguf_export import check_gguf, write_gguf
from closedbook.training.conversion.gpt2 import write_gpt2
from closedbook.training.conversion.onnx_file import check_installed, write_onnx
from closedbook.training.conversion.source import Source
from closedbook.training.publishing.folder import public_record
from closedbook.training.run_folder import check_output_folder, replacing

RECORD = "export.json"
FORMATS: dict[str, Callable[[Path, Source], dict[str, Any]]] = {
    "gpt2": write_gpt2,
    "onnx": write_onnx,
    "browser": write_browser,
    "gguf": write_gguf,
}
_WEIGHTS = (".safetensors", ".onnx", ".gguf")  # moved into place last: a folder that has them is whole


@dataclass
class ExportArguments:
    """What to export, how, and where to."""

    model: str = field(metadata={"help": "folder of a model"})
    output_dir: str = field(metadata={"help": "folder to make"})
    format: str = field(default="gpt2", metadata={"help": f"one of {', '.join(FORMATS)}"})
    runtime: str | None = field(
        default=None,
        metadata={"help": "browser: the npm package onnxruntime-web as a folder or .tgz; default: npm fetches it"},
    )
    overwrite: bool = field(default=False, metadata={"help": "replace the export in output_dir"})


def main(argv: list[str]) -> dict[str, Any]:
    """Export a model, hold it to the original, and return the record that is written beside it.

    Raises:
        ValueError: for another format, or a model that has no exact counterpart in it; before anything is written.
    """
    (args,) = parse_flags(ExportArguments, argv)

    def check_format() -> None:
        if args.format not in FORMATS:
            raise ValueError(f"--format is one of {', '.join(FORMATS)}, not {args.format!r}")
        if args.format == "gguf":
            check_gguf()
        elif args.format != "gpt2":
            check_installed()

    def check_same_format() -> None:
        record = Path(args.output_dir) / RECORD
        if (
            args.overwrite
            and record.is_file()
            and (other := read_json_object(record).get("format")) != args.format
        ):
            raise ValueError(
                f"{args.output_dir} holds an export as {other}: choose another folder for {args.format}"
            )

    def check_browser() -> None:
        if args.format == "browser":
            check_runtime(args.runtime)
        elif args.runtime is not None:
            raise ValueError(f"--runtime has no effect: --format is {args.format}, it is for browser")

    check_together(
        check_format,
        check_browser,
        check_same_format,
        lambda: check_output_folder(args.output_dir, None, args.overwrite, RECORD),
        lambda: check_inputs_outside(Path(args.output_dir), [("model", Path(args.model))]),
    )
    model, tokenizer = load_model_folder(args.model)
    source = Source(Path(args.model).resolve().name, args.model, model.eval(), tokenizer, args.runtime)
    with replacing(args.output_dir, args.overwrite, RECORD):
        work = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=args.output_dir))
        try:
            folder = work / "model"
            folder.mkdir()
            found = FORMATS[args.format](folder, source)
            share_weights(folder)
            if run := read_run(args.model):
                (folder / RUN_FILE).write_bytes(public_record(run))
            record: dict[str, Any] = {"format": args.format, "model": source.name, **found, **run_environment()}
            record["command"] = public_command(record["command"], set())  # the folder may be shared
            write_json_atomic(folder / RECORD, record)
            written = [path for path in folder.rglob("*") if path.is_file()]
            for path in sorted(written, key=lambda path: (path.suffix in _WEIGHTS, path)):
                target = Path(args.output_dir) / path.relative_to(folder)
                target.parent.mkdir(exist_ok=True)
                os.replace(path, target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    print(f"saved {args.output_dir}: {args.format}, {record['parameters']:,} parameters")
    return record
