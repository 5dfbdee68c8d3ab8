"""Turn a checkpoint with minGPT's names (CS224N, assignment 5) into a model folder with the same logits.

    python scripts/convert_mingpt.py --checkpoint vanilla.model.params --corpus wiki.txt --output_dir folder

The checkpoint is a bare state dict. The corpus is the file that its vocabulary was made from: padding, mask,
then the sorted characters of the whole file, line feeds included. Sizes are read off the tensors; the number
of heads leaves no trace in them, so a wrong `--num_attention_heads` gives wrong answers without an error.

For a Perceiver (names with `down_block`) this wiring is assumed, x being the embedded input; solutions that
wire it otherwise have the same names and cannot be told apart:

    down    y = C + attention(queries=ln1(C), keys and values=x);    y = y + mlp(ln2(y))
    inner   ordinary blocks on y
    up      z = x + attention(queries=x, keys and values=ln1(y));    z = z + mlp(ln2(z))

with one lower-triangular mask cut to `mask[:queries, :keys]` in all of them: `latent_layout="prefix"`.
"""

import argparse
import pickle
import sys
from collections.abc import Iterable
from pathlib import Path

if Path(sys.path[0]).resolve() == Path(__file__).resolve().parent:
    sys.path.pop(0)  # this folder's evaluate.py would stand before the library `evaluate`

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file

from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import MASK_CHARACTER, PAD_CHARACTER, build_char_tokenizer
from closedbook.scripts.pretrain import model_name
from closedbook.scripts.run_folder import claim_output_folder, save_model_folder, write_run_file

BLOCK_NAMES = {
    "ln1": "attention_norm",
    "ln2": "feed_forward_norm",
    "attn.query": "self_attn.q_proj",
    "attn.key": "self_attn.k_proj",
    "attn.value": "self_attn.v_proj",
    "attn.proj": "self_attn.o_proj",
    "mlp.0": "mlp.up_proj",
    "mlp.2": "mlp.down_proj",
}
UNSUPPORTED = {"synthesizer": (".attn.w1", ".attn.w2", ".attn.b2"), "rotary positions": ("rope_cache",)}


def main(argv: list[str]) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="state dict: torch file or .safetensors")
    parser.add_argument("--corpus", type=Path, required=True, help="text file that defined the vocabulary")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to make")
    parser.add_argument("--num_attention_heads", type=int, default=8, help="heads a block (the course has 8)")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that output_dir holds")
    args = parser.parse_args(argv)
    state = read_state_dict(args.checkpoint)
    model = convert(state, args.num_attention_heads)
    tokenizer = read_vocabulary(args.corpus, model.config)
    if args.output_dir.resolve() in {*args.checkpoint.resolve().parents, *args.corpus.resolve().parents}:
        raise ValueError(f"checkpoint or corpus lies in output_dir {args.output_dir}: use another folder")
    claim_output_folder(args.output_dir, resume=False, overwrite=args.overwrite)
    save_model_folder(model, tokenizer, args.output_dir)
    facts = {
        "stage": "converted",
        "model": model_name(model.config),
        "checkpoint": args.checkpoint.name,
        "corpus": args.corpus.name,
        "parameters": model.num_parameters(),
    }
    write_run_file(args.output_dir, **facts)
    print(f"saved {args.output_dir}: {facts['model']}, {facts['parameters']:,} parameters")
    return facts


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
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"{path} is no state dict: expected names with tensors, as model.state_dict() gives them")
    if all(name.startswith("module.") for name in state):  # DataParallel wraps the model once more
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in state.items() if not name.endswith(".attn.mask")}


def convert(state: dict[str, torch.Tensor], num_attention_heads: int = 8):
    """The model of this package that computes what the checkpoint's model computed.

    Raises:
        ValueError: for an unsupported architecture, wrong names or shapes, or heads that do not fit.
    """
    if num_attention_heads < 1:
        raise ValueError(f"num_attention_heads must be at least 1, got {num_attention_heads}")
    for architecture, parts in UNSUPPORTED.items():
        found = [name for name in state if any(part in name for part in parts)]
        if found:
            raise ValueError(f"{architecture} ({_listed(found)}): this architecture is not supported yet")
    names = corresponding_names(state)
    differences = {"missing": names.keys() - state.keys(), "unexpected": state.keys() - names.keys()}
    if any(differences.values()):
        told = "; ".join(f"{kind}: {_listed(keys)}" for kind, keys in differences.items() if keys)
        raise ValueError(f"the checkpoint does not have the names of a minGPT model. {told}")
    model = _empty_model(state, num_attention_heads)
    targets = model.state_dict()
    converted = {}
    for source, target in names.items():
        found, expected = tuple(state[source].shape), tuple(targets[target].shape)
        if source in ("pos_emb", "down_block.C"):
            expected = (1, *expected)
        if found != expected:
            raise ValueError(f"{source} has shape {found}; the other tensors say it must be {expected}")
        converted[target] = state[source].reshape(targets[target].shape)
    model.load_state_dict(converted, strict=True)
    return model.eval()


def corresponding_names(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """minGPT's name -> ours, for every tensor of a model with as many blocks as the checkpoint has."""
    inner = {name.split(".")[1] for name in state if name.startswith("blocks.")}
    is_perceiver = any(name.startswith(("down_block.", "up_block.")) for name in state)
    num_inner = max(len(inner), 0 if is_perceiver else 1)
    blocks = {f"blocks.{i}": f"model.layers.{i}" for i in range(num_inner)}
    names = {"tok_emb.weight": "model.embeddings.tokens.weight", "pos_emb": "model.embeddings.positions.weight"}
    if is_perceiver:
        names["down_block.C"] = "model.down_block.latents"
        blocks = {"down_block": "model.down_block", **blocks, "up_block": "model.up_block"}
    for block, our_block in blocks.items():
        for part, our_part in BLOCK_NAMES.items():
            for kind in ("weight", "bias"):
                names[f"{block}.{part}.{kind}"] = f"{our_block}.{our_part}.{kind}"
    end = {"ln_f.weight": "model.norm.weight", "ln_f.bias": "model.norm.bias", "head.weight": "lm_head.weight"}
    return names | end


def _empty_model(state: dict[str, torch.Tensor], num_attention_heads: int):
    """A model of the checkpoint's sizes; its weights are still to be filled in."""
    is_perceiver = "down_block.C" in state
    num_inner = sum(name.startswith("blocks.") and name.endswith(".ln1.weight") for name in state)
    up_projection = "down_block.mlp.0.weight" if is_perceiver else "blocks.0.mlp.0.weight"
    for name, axes in (("tok_emb.weight", 2), ("pos_emb", 3), (up_projection, 2), ("down_block.C", 3)):
        if name in state and state[name].dim() != axes:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}; {axes} axes were expected")
    sizes = {
        "vocab_size": state["tok_emb.weight"].shape[0],
        "hidden_size": state["tok_emb.weight"].shape[1],
        "num_hidden_layers": num_inner + 2 * is_perceiver,
        "num_attention_heads": num_attention_heads,
        "intermediate_size": state[up_projection].shape[0],
        "max_position_embeddings": state["pos_emb"].shape[1],
    } | dict.fromkeys(("embedding_dropout", "hidden_dropout", "attention_dropout"), 0.1)  # as in the course
    try:
        if not is_perceiver:
            return VanillaGPTForCausalLM(VanillaGPTConfig(**sizes))
        latents = {"num_latents": state["down_block.C"].shape[1], "latent_layout": "prefix"}
        return PerceiverGPTForCausalLM(PerceiverGPTConfig(**sizes, **latents))
    except StrictDataclassError as error:
        raise ValueError(f"the checkpoint's sizes and --num_attention_heads do not fit: {error}") from error


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


def _listed(keys: Iterable[str], shown: int = 12) -> str:
    """Of a wholly different model the first few keys say enough."""
    keys = sorted(keys)
    return ", ".join(keys[:shown]) + (f" and {len(keys) - shown} more" if len(keys) > shown else "")


if __name__ == "__main__":
    main(sys.argv[1:])
