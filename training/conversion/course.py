"""A course checkpoint made a model folder."""

import argparse
import pickle
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file

from closedbook.evaluation.run_record import Run, Stage
from closedbook.modeling.configuration_gpt import WIRINGS, PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import MASK_CHARACTER, PAD_CHARACTER, build_char_tokenizer
from closedbook.training.checks.outputs import check_inputs_outside
from closedbook.training.command_line import FlagParser
from closedbook.training.conversion.course_checkpoints import (
    DEFAULT_BLOCK_SIZE,
    check_heads,
    corresponding_names,
    is_rotary,
    listed,
    pairs_to_halves,
    recognise,
    sizes,
)
from closedbook.training.conversion.logits import TOLERANCE, check_logits
from closedbook.training.model_card import record_run
from closedbook.training.models import model_name
from closedbook.training.run_folder import check_output_folder, replacing, save_model_folder

# What training scripts wrap a state dict in, beside optimizer and epoch.
WRAPPERS = ("model_state_dict", "state_dict", "model", "model_state", "module")


def main(argv: list[str]) -> Run:
    parser = FlagParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="state dict: torch file or .safetensors")
    parser.add_argument("--corpus", type=Path, required=True, help="text file that defined the vocabulary")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to make")
    parser.add_argument("--num_attention_heads", type=int, default=8, help="heads a block (the course has 8)")
    parser.add_argument(
        "--block_size",
        type=int,
        help="tokens a text may have; only a checkpoint with rotary positions and without rope_cache needs it, "
        f"which does not hold it (default: {DEFAULT_BLOCK_SIZE}, the course's)",
    )
    parser.add_argument(
        "--wiring",
        help="of a Perceiver, whose names do not tell it: "
        + "; ".join(f"{name} = {formula}" for name, formula in WIRINGS.items())
        + "; or another formula (default: residual, or cross_attn where the checkpoint has that name)",
    )
    parser.add_argument(
        "--check",
        type=Path,
        help="file with `ids` and the `logits` that the original gave for them (.safetensors, .npz or .json): the "
        f"converted model gives the same, to {TOLERANCE} of the largest, or is refused",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the run that output_dir holds")
    args = parser.parse_args(argv)
    check_inputs_outside(args.output_dir, [("checkpoint", args.checkpoint), ("corpus", args.corpus)])
    check_output_folder(args.output_dir, None, args.overwrite)
    state = read_state_dict(args.checkpoint)
    model = convert(state, args.num_attention_heads, args.block_size, args.wiring)
    arguments: dict[str, Any] = {}
    if isinstance(model, PerceiverGPTForCausalLM):
        wiring = model.config.wiring or "residual"
        arguments["wiring"] = WIRINGS.get(wiring, wiring)
        arguments["wiring_checked"] = args.check is not None
        if args.check is None:
            print(f"assumed wiring: {wiring}, {arguments['wiring']} (names do not tell; --wiring, --check)")
    if args.check is not None:
        arguments["largest_difference"] = check_logits(model, args.check)
    tokenizer = read_vocabulary(args.corpus, model.config)
    with replacing(args.output_dir, args.overwrite):
        save_model_folder(model, tokenizer, args.output_dir)
    stage = Stage(
        stage="converted",
        model=model_name(model.config),
        checkpoint=args.checkpoint.name,
        corpus=args.corpus.name,
        parameters=model.num_parameters(),
        arguments=arguments,
    )
    print(f"saved {args.output_dir}: {stage.model}, {stage.parameters:,} parameters")
    return record_run(args.output_dir, Run((stage,)))


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by their minGPT names, without attention masks and wrappers.

    Raises `ValueError` for a file that is no state dict, or that would have to run code to be read.
    """
    try:
        is_torch = path.suffix != ".safetensors"
        state = torch.load(path, map_location="cpu", weights_only=True) if is_torch else load_file(path)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"refused to load {path}: it is no file of torch.save, or a pickle of more than tensors, which runs "
            "the code it names when it is read. If you trust it, save its bare state_dict() from a shell of yours"
        ) from error
    except OSError:
        raise
    except Exception as error:  # on bytes that are no checkpoint, the readers raise whatever they stumble over
        raise ValueError(f"{path} is damaged, or no checkpoint: {error}") from error
    while isinstance(state, dict) and (
        wrapper := next((w for w in WRAPPERS if isinstance(state.get(w), dict)), None)
    ):
        state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"{path} is no state dict: expected names with tensors, as model.state_dict() gives them")
    plain: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        bare = ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod"))
        if bare.endswith((".attn.mask", ".cross_attn.mask")):
            continue
        if bare in plain:
            raise ValueError(f"{path} holds {bare} twice, once as {name}: it is no state dict of one model")
        if not tensor.isfinite().all():
            raise ValueError(
                f"{path} holds weights that are no finite numbers, in {name}: its training has failed"
            )
        plain[bare] = tensor
    return plain


def convert(
    state: dict[str, torch.Tensor],
    num_attention_heads: int = 8,
    block_size: int | None = None,
    wiring: str | None = None,
):
    """The model of this package that computes what the checkpoint's model computed.

    Args:
        state: tensors by their minGPT names.
        num_attention_heads: heads a block.
        block_size: longest text of a model whose checkpoint does not say it, see `--block_size`.
        wiring: of a Perceiver, see `WIRINGS`.

    Raises:
        ValueError: for wrong names or shapes, or for heads or a block size that do not fit.
    """
    if num_attention_heads < 1:
        raise ValueError(f"num_attention_heads must be at least 1, got {num_attention_heads}")
    is_cross = any(".cross_attn." in name for name in state)
    state = {name.replace(".cross_attn.", ".attn."): tensor for name, tensor in state.items()}
    rope_caches = {}
    if is_rotary(state):
        rope_caches = {name: tensor for name, tensor in state.items() if name.endswith(".attn.rope_cache")}
        state = {name: tensor for name, tensor in state.items() if name not in rope_caches}
    names = corresponding_names(state)
    differences = {"missing": names.keys() - state.keys(), "unexpected": state.keys() - names.keys()}
    if any(differences.values()):
        if known := recognise(state):
            raise ValueError(f"the checkpoint is no course model but {known}")
        told = "; ".join(f"{kind}: {listed(keys)}" for kind, keys in differences.items() if keys)
        raise ValueError(f"the checkpoint does not have the names of a minGPT model. {told}")
    fields = sizes(state, rope_caches, block_size)
    check_heads(state, rope_caches, num_attention_heads)
    if "num_latents" in fields:
        square = fields["num_latents"] == fields["max_position_embeddings"]
        fields["wiring"] = wiring or ("cross_attn" if is_cross and square else None)
    elif wiring is not None:
        raise ValueError(
            "--wiring is of Perceivers alone, and the checkpoint is none (no down_block): leave it out"
        )
    model = _empty_model(fields | {"num_attention_heads": num_attention_heads})
    targets = model.state_dict()
    converted = {}
    for source, target in names.items():
        found, expected = tuple(state[source].shape), tuple(targets[target].shape)
        if source in ("pos_emb", "down_block.C"):
            expected = (1, *expected)
        if found != expected:
            raise ValueError(f"{source} has shape {found}; the other tensors say it must be {expected}")
        converted[target] = state[source].reshape(targets[target].shape)
        if model.config.position == "rotary" and (".attn.query." in source or ".attn.key." in source):
            converted[target] = pairs_to_halves(converted[target], num_attention_heads)
    model.load_state_dict(converted, strict=True)
    return model.eval()


def _empty_model(fields: dict):
    """A model of the checkpoint's sizes; its weights are still to be filled in."""
    try:
        if "num_latents" in fields:
            return PerceiverGPTForCausalLM(PerceiverGPTConfig(**fields))
        return VanillaGPTForCausalLM(VanillaGPTConfig(**fields))
    except StrictDataclassError as error:
        raise ValueError(f"the checkpoint's sizes, heads and block size do not fit: {error}") from error


def read_vocabulary(path: Path, config: VanillaGPTConfig):
    """The tokenizer of the corpus; raises `ValueError` if its vocabulary is not the checkpoint's in size."""
    text = path.read_text(encoding="utf-8")
    if PAD_CHARACTER in text or MASK_CHARACTER in text:
        raise ValueError(f"{path} holds {PAD_CHARACTER!r} or {MASK_CHARACTER!r}, which are no letters of a corpus")
    tokenizer = build_char_tokenizer([text], model_max_length=config.max_position_embeddings)
    if len(tokenizer) != config.vocab_size:
        raise ValueError(
            f"{path} gives a vocabulary of {len(tokenizer)} (padding and mask included), the checkpoint's "
            f"tok_emb.weight has {config.vocab_size} rows: another corpus than the checkpoint was made with"
        )
    return tokenizer
