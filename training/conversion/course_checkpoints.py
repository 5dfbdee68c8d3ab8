"""What the names and shapes of a course checkpoint say about the model that it was saved from.

Three editions of one assignment, all with minGPT's names: ordinary attention with learned positions, vanilla or
Perceiver; synthesizer attention (2021: `attn.w1`, `attn.w2`, `attn.b2` instead of queries and keys); rotary
positions (2024: no `pos_emb`; perhaps a table of cosines and sines in each block, `attn.rope_cache`).
"""

from collections.abc import Iterable

import torch

# Parts of a block, the name in minGPT and ours: those of every edition, then the two ways to mix tokens.
SHARED = {"ln1": "attention_norm", "ln2": "feed_forward_norm", "mlp.0": "mlp.up_proj", "mlp.2": "mlp.down_proj"}
SHARED |= {"attn.value": "self_attn.v_proj", "attn.proj": "self_attn.o_proj"}
SOFTMAX = {"attn.query": "self_attn.q_proj", "attn.key": "self_attn.k_proj"}
SYNTHESIZER = {"attn.w1": "self_attn.w1_proj"}
SYNTHESIZER_TENSORS = {"attn.w2": "self_attn.w2", "attn.b2": "self_attn.b2"}

DEFAULT_BLOCK_SIZE = 128  # the course's
ROPE_THETA = 10_000.0


def is_perceiver(state: dict[str, torch.Tensor]) -> bool:
    return any(name.startswith(("down_block.", "up_block.")) for name in state)


def is_synthesizer(state: dict[str, torch.Tensor]) -> bool:
    """No edition had a Perceiver of them; names of such a one come out as unexpected."""
    return not is_perceiver(state) and any(f".{part}" in name for name in state for part in ("attn.w1", "attn.w2"))


def is_rotary(state: dict[str, torch.Tensor]) -> bool:
    """Without learned positions and without any other way to know places."""
    return "pos_emb" not in state and not is_perceiver(state) and not is_synthesizer(state)


def corresponding_names(state: dict[str, torch.Tensor]) -> dict[str, str]:
    """minGPT's name -> ours, for every tensor of a model with as many blocks as the checkpoint has."""
    inner = {name.split(".")[1] for name in state if name.startswith("blocks.")}
    num_inner = max(len(inner), 0 if is_perceiver(state) else 1)
    blocks = {f"blocks.{i}": f"model.layers.{i}" for i in range(num_inner)}
    names = {"tok_emb.weight": "model.embeddings.tokens.weight"}
    if not is_rotary(state):
        names["pos_emb"] = "model.embeddings.positions.weight"
    if is_perceiver(state):
        names["down_block.C"] = "model.down_block.latents"
        blocks = {"down_block": "model.down_block", **blocks, "up_block": "model.up_block"}
    parts, tensors = SHARED | SOFTMAX, {}
    if is_synthesizer(state):
        parts, tensors = SHARED | SYNTHESIZER, SYNTHESIZER_TENSORS
    for block, our_block in blocks.items():
        for part, our_part in parts.items():
            for kind in ("weight", "bias"):
                names[f"{block}.{part}.{kind}"] = f"{our_block}.{our_part}.{kind}"
        for part, our_part in tensors.items():
            names[f"{block}.{part}"] = f"{our_block}.{our_part}"
    end = {"ln_f.weight": "model.norm.weight", "ln_f.bias": "model.norm.bias", "head.weight": "lm_head.weight"}
    return names | end


def sizes(state: dict[str, torch.Tensor], rope_caches: dict[str, torch.Tensor], block_size: int | None) -> dict:
    """Fields of the configuration, the number of heads left out.

    Args:
        state: with the right names.
        rope_caches: tables taken out of the checkpoint, by name.
        block_size: what the user says, or None.

    Raises:
        ValueError: for a tensor with another number of axes than its name has, tables of other angles, or a
            block size that the checkpoint contradicts.
    """
    perceiver = is_perceiver(state)
    up_projection = "down_block.mlp.0.weight" if perceiver else "blocks.0.mlp.0.weight"
    axes = {"tok_emb.weight": 2, "pos_emb": 3, up_projection: 2, "down_block.C": 3, "blocks.0.attn.w2": 2}
    for name, count in axes.items():
        if name in state and state[name].dim() != count:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}; {count} axes were expected")
    num_inner = sum(name.startswith("blocks.") and name.endswith(".ln1.weight") for name in state)
    found = {
        "vocab_size": state["tok_emb.weight"].shape[0],
        "hidden_size": state["tok_emb.weight"].shape[1],
        "num_hidden_layers": num_inner + 2 * perceiver,
        "intermediate_size": state[up_projection].shape[0],
    } | dict.fromkeys(("embedding_dropout", "hidden_dropout", "attention_dropout"), 0.1)  # as in the course
    told = {"pos_emb": state["pos_emb"].shape[1]} if "pos_emb" in state else _lengths(rope_caches)
    lengths = {**told, "--block_size": block_size} if block_size is not None else told
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} says {length}" for name, length in lengths.items())
        raise ValueError(f"the block has one length, but {said}")
    found["max_position_embeddings"] = next(iter(lengths.values()), DEFAULT_BLOCK_SIZE)
    if is_rotary(state):
        found |= {"position": "rotary", "rope_theta": ROPE_THETA}
    if is_synthesizer(state):
        found["attention"] = "synthesizer_dense"
    if perceiver:
        found |= {"num_latents": state["down_block.C"].shape[1], "latent_layout": "prefix"}
    return found


def _lengths(rope_caches: dict[str, torch.Tensor]) -> dict[str, int]:
    """Positions of each table `(positions, head_dim / 2, 2)` of cosines and sines."""
    for name, table in rope_caches.items():
        if table.dim() != 3 or table.shape[-1] != 2:
            raise ValueError(
                f"{name} has shape {tuple(table.shape)}; expected (positions, half a head, 2): cosines and sines"
            )
        places, pairs = (torch.arange(count, dtype=torch.float64) for count in table.shape[:2])
        angles = torch.outer(places, ROPE_THETA ** (-pairs / max(1, len(pairs))))
        expected = torch.stack([angles.cos(), angles.sin()], dim=-1)
        if not torch.allclose(table.double(), expected, atol=1e-2):  # wide enough for tables in half precision
            raise ValueError(
                f"{name} does not hold the cosines and sines of position * {ROPE_THETA:.0f}^(-2i / head size): a "
                "model with other angles cannot be converted"
            )
    return {name: table.shape[0] for name, table in rope_caches.items()}


def check_heads(
    state: dict[str, torch.Tensor], rope_caches: dict[str, torch.Tensor], num_attention_heads: int
) -> None:
    """Compare the number of heads with the size of a head, where the checkpoint has a trace of it.

    Raises:
        ValueError: naming the number that fits.
    """
    traces = {name: 2 * table.shape[1] for name, table in rope_caches.items()}
    traces |= {name: tensor.shape[0] for name, tensor in state.items() if name.endswith(".attn.w2")}
    width = state["tok_emb.weight"].shape[1]
    for name, size in traces.items():
        if size * num_attention_heads == width:
            continue
        fitting = width // size if size and width % size == 0 else None
        advice = f"pass --num_attention_heads {fitting}" if fitting else "no number of heads does"
        raise ValueError(
            f"{name} is made for heads of {size} numbers, but {num_attention_heads} heads do not share a width of "
            f"{width} like that; {advice}"
        )


def pairs_to_halves(rows: torch.Tensor, num_attention_heads: int) -> torch.Tensor:
    """Reorder the rows of a query or key map `(D, D)` or bias `(D,)` for our rotary positions.

    The course turns number 2i of a head together with number 2i + 1; `rotate` turns number i together with
    number i + head_dim / 2. Queries and keys are reordered alike, so their products stay the same.
    """
    heads = rows.unflatten(0, (num_attention_heads, -1, 2))
    return heads.transpose(1, 2).reshape(rows.shape)


def listed(keys: Iterable[str], shown: int = 12) -> str:
    """Of a wholly different model the first few keys say enough."""
    keys = sorted(keys)
    return ", ".join(keys[:shown]) + (f" and {len(keys) - shown} more" if len(keys) > shown else "")


# A part of a name that only one kind of model has, what that is, and what to do. The first that fits counts.
OTHERS = {
    "lora_A": "a LoRA adapter, without its model: merge the two first (peft's merge_and_unload)",
    "model.embeddings.tokens.": "a model of this package: its folder is loaded as it is",
    "self_attn.q_proj.": "a model of the Llama or OPT family, with other norms, maps or positions: load its "
    "folder with AutoModelForCausalLM",
    "gpt_neox.": "GPT-NeoX, its attention and feed-forward side by side: load it with AutoModelForCausalLM",
    "encoder.layer.": "an encoder such as BERT, which reads what comes after: no model that writes",
}


def recognise(state: dict[str, torch.Tensor]) -> str | None:
    """What a checkpoint with other names than the course's is, and what to do with it; None if nobody knows."""
    fused = next((name for name in sorted(state) if name.endswith("h.0.attn.c_attn.weight")), None)
    if fused is not None:
        prefix = fused.removesuffix("h.0.attn.c_attn.weight")
        embedding, head = state.get(f"{prefix}wte.weight"), state.get("lm_head.weight")
        rows, columns = state[fused].shape[0], state[fused].shape[-1]
        if rows < columns:
            return (
                "GPT-2 as transformers has it (Conv1D maps, queries, keys and values in one): its folder is "
                "loaded with AutoModelForCausalLM, and asked by evaluate.py with --prompt"
            )
        tied = head is None or (embedding is not None and torch.equal(head, embedding))
        name, gelu = ("nanoGPT", "exact") if tied else ("minGPT of 2022 or later", "tanh")
        return (
            f"{name} ({'tied' if tied else 'untied'} head, {gelu} GELU, queries, keys and values in one map): "
            "transpose its c_attn, c_proj and c_fc into transformers' GPT2LMHeadModel "
            f"(activation_function={'gelu' if tied else 'gelu_new'!r}, tie_word_embeddings={tied}), "
            "which evaluate.py asks with --prompt"
        )
    return next((told for part, told in OTHERS.items() if any(part in name for name in state)), None)
