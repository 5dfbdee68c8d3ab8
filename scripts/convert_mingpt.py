"""Turn a checkpoint with minGPT's names (CS224N, assignment 5) into a model folder with the same logits.

    python scripts/convert_mingpt.py --checkpoint vanilla.model.params --corpus wiki.txt --output_dir folder

The checkpoint is a bare state dict. The corpus is the file that its vocabulary was made from: padding, mask,
then the sorted characters of the whole file, line feeds included. Sizes are read off the tensors; the number
of heads leaves no trace in the ordinary ones, so a wrong `--num_attention_heads` gives wrong answers without an
error.

Read are the vanilla model, the synthesizer of the 2021 edition (`attn.w1`, `attn.w2`, `attn.b2`), and the rotary
model of the 2024 edition (no `pos_emb`), which turned the pairs (x[2i], x[2i+1]) of a head by the angles
position * 10000^(-2i / head size): rows of its query and key maps are reordered, see `pairs_to_halves`. Its block
size stands in `attn.rope_cache`, or is given as `--block_size`.

State dicts may be wrapped ({"model_state_dict": ...}) and saved from compiled or parallel models; pickles of more
than tensors, and weights that are no finite numbers, are refused.

For a Perceiver (`down_block`) the names do not tell how its first and last block are wired, which the exercise
left open. Without `--wiring` this is assumed, printed and written into the card, x being the embedded input:

    down    y = C + attention(queries=ln1(C), keys and values=x);    y = y + mlp(ln2(y))
    inner   ordinary blocks on y
    up      z = x + attention(queries=x, keys and values=ln1(y));    z = z + mlp(ln2(z))

with one lower-triangular mask cut to `mask[:queries, :keys]` in all of them: `latent_layout="prefix"`. Others seen
in public have a name (`--help`). `--check FILE` holds the converted model to the original's logits, and says which
wiring fits if another one does:

    ids = torch.randint(vocab_size, (4, block_size))
    safetensors.torch.save_file({"ids": ids, "logits": model.eval()(ids)[0].detach()}, "check.safetensors")
"""

import sys

from closedbook.training.checks.commands import run_command
from closedbook.training.conversion.course import main

if __name__ == "__main__":
    sys.exit(run_command(main))
