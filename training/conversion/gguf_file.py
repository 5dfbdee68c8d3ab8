"""A GGUF file made a model folder."""

import argparse
import hashlib
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from closedbook.evaluation.answering.stock_models import from_pretrained
from closedbook.evaluation.environment import run_environment
from closedbook.evaluation.files import write_json_atomic
from closedbook.training.checks.outputs import check_inputs_outside
from closedbook.training.command_line import FlagParser
from closedbook.training.run_folder import check_output_folder, replacing

RECORD = "conversion.json"


def main(argv: list[str]) -> dict:
    parser = FlagParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path, required=True, help="the file")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace the conversion in output_dir")
    args = parser.parse_args(argv)
    with open(args.gguf, "rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{args.gguf} is not a GGUF file: it does not begin with the letters GGUF")
    check_inputs_outside(args.output_dir, [("gguf", args.gguf)])
    check_output_folder(args.output_dir, None, args.overwrite, RECORD)
    with replacing(args.output_dir, args.overwrite, RECORD):
        work = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=args.output_dir))
        try:
            (work / "model.gguf").symlink_to(
                args.gguf.resolve()
            )  # alone, or files beside it would be read as well
            facts = convert(work / "model.gguf", work / "model", args.gguf.name)
            write_json_atomic(work / "model" / RECORD, facts)
            for path in sorted((work / "model").iterdir(), key=lambda path: path.suffix == ".safetensors"):
                os.replace(path, args.output_dir / path.name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    print(f"saved {args.output_dir}: {facts['architecture']}, {facts['parameters']:,} parameters")
    return facts


def convert(path: Path, folder: Path, name: str) -> dict:
    """Write and check the model folder of a GGUF file, which the user calls `name`; returns what to record."""
    try:
        from gguf import GGUFReader
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("reading GGUF needs gguf: pip install 'closedbook[icl]'") from error
    source: Any = {"name": path.parent, "gguf_file": path.name, "remedy": "A GGUF file is converted without it"}
    unpacked: Any = {"quantization_config": GgufConfig(dequantize=True), "dtype": torch.bfloat16}
    try:
        reader = GGUFReader(path)
        tokenizer = from_pretrained(AutoTokenizer, **source)
        model, info = from_pretrained(AutoModelForCausalLM, **source, **unpacked, output_loading_info=True)
    except Exception as error:  # on a damaged or unknown file, the readers raise whatever they stumble over
        raise ValueError(f"transformers cannot read {name}: {error}") from error
    architecture = reader.get_field("general.architecture").contents()
    scaling = reader.get_field(f"{architecture}.rope.scaling.type")
    tied = "output.weight" if model.config.tie_word_embeddings else None
    held, parameters = sum(int(t.n_elements) for t in reader.tensors if t.name != tied), model.num_parameters()
    weights, missing, embeddings = model.state_dict(), sorted(info["missing_keys"]), model.get_input_embeddings()
    if scales := [t.name for t in reader.tensors if t.name.startswith("rope_freqs")]:
        raise ValueError(
            f"{name} holds {scales[0]}, the scaling of positions of Llama 3.1 and later, which transformers does "
            "not read from GGUF files: convert from the original folder (safetensors), whose config.json says it"
        )
    if missing or held != parameters:
        raise ValueError(f"{name} has {held:,} weights, its model {parameters:,} (missing: {missing[:3]})")
    if scaling and scaling.contents() not in ("none", *str(model.config.rope_parameters).split("'")):
        raise ValueError(f"{name}: transformers would leave out its scaling of positions, {scaling.contents()}")
    if len(tokenizer) > embeddings.num_embeddings:  # transformers adds <|endoftext|> to byte pairs without it
        raise ValueError(
            f"{name}: its tokenizer gets {len(tokenizer)} tokens, its model {embeddings.num_embeddings}"
        )
    if broken := [key for key, weight in weights.items() if not weight.isfinite().all()]:
        raise ValueError(f"{name} is damaged: weights that are no numbers in {broken[:3]}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    saved = from_pretrained(AutoModelForCausalLM, folder, dtype="auto", remedy=source["remedy"])
    same = all(torch.equal(weight, weights[key]) for key, weight in saved.state_dict().items())
    if not same or saved.dtype != torch.bfloat16 or hasattr(saved.config, "quantization_config"):
        raise RuntimeError(f"{name}: the saved model is not the one that was read from the file")
    with open(path, "rb") as file:
        facts = {"file": name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    versions = run_environment()["versions"] | {"gguf": version("gguf")}
    return facts | {"architecture": architecture, "parameters": parameters, "versions": versions}
