#!/usr/bin/env bash
# transformers 5.23.0, gguf 0.19.0: a GPT-2 from a GGUF file has 1,024 positions and a feed-forward of four times its
# width, whatever the file says; of a file that says otherwise no model can be loaded.
#
# Guess, written down before: `from_pretrained(..., gguf_file=...)` takes the sizes from the file's own fields, as it
# does for Llama, and a small GPT-2 comes out as it went in.
# Seen: `context_length` is read into `n_ctx` and `feed_forward_length` into a field of that name, and today's GPT-2
# reads neither: its configuration keeps n_positions 1024 and n_inner None. Where the tensors have other sizes, loading
# ends in a RuntimeError about `ignore_mismatched_sizes`, which would draw random weights in their place.
# Met by: small GPT-2s that were exported for llama.cpp, which runs them, and are wanted back.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 \
    gguf==0.19.0
cat > "$work/look.py" <<'PYTHON'
import sys
import warnings
from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFWriter
from transformers import AutoConfig, AutoModelForCausalLM

warnings.filterwarnings("ignore")


def write(path: Path, context: int, inner: int, width: int = 16, vocabulary: int = 40) -> None:
    """A GPT-2 of one layer, with the names and sizes that GGUF has for it."""
    random = np.random.default_rng(0)
    writer = GGUFWriter(str(path), "gpt2")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([chr(65 + number) for number in range(vocabulary)])
    writer.add_token_merges(["A B"])
    sizes = {"token_embd": (vocabulary, width), "position_embd": (context, width)}
    sizes |= {"blk.0.attn_qkv": (3 * width, width), "blk.0.attn_output": (width, width)}
    sizes |= {"blk.0.ffn_up": (inner, width), "blk.0.ffn_down": (width, inner), "output": (vocabulary, width)}
    for name, size in sizes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=size).astype(np.float32))
        if name.startswith("blk"):
            writer.add_tensor(f"{name}.bias", np.zeros(size[0], np.float32))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


folder = Path(sys.argv[1])
seen = []
for context, inner in ((1024, 64), (64, 64), (1024, 48)):
    path = folder / f"{context}-{inner}.gguf"
    write(path, context, inner)
    fields = GGUFReader(path).fields
    stated = [int(fields[f"gpt2.{name}"].contents()) for name in ("context_length", "feed_forward_length")]
    config = AutoConfig.from_pretrained(folder, gguf_file=path.name)
    try:
        AutoModelForCausalLM.from_pretrained(folder, gguf_file=path.name)
        ended = "loads"
    except (RuntimeError, ValueError) as error:
        ended = f"raises {type(error).__name__}: {str(error).splitlines()[0][:90]}"
    print(f"file: {stated}; configuration: n_positions {config.n_positions}, n_inner {config.n_inner}; {ended}")
    seen.append((stated, config.n_positions, config.n_inner, ended.split()[0]))
fits, shorter, narrower = seen
as_seen = all(each[1:3] == (1024, None) for each in seen)
as_seen &= (fits[3], shorter[3], narrower[3]) == ("loads", "raises", "raises")
as_seen &= (shorter[0], narrower[0]) == ([64, 64], [1024, 48])
print("as seen" if as_seen else "this has changed")
sys.exit(not as_seen)
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work" 2> /dev/null
