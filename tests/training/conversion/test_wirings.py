"""Course Perceivers of every wiring seen in public: what is converted computes what the original computed."""

import json
import math

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import save_file
from torch.nn.functional import gelu, layer_norm, linear
from transformers import AutoModelForCausalLM

import closedbook.modeling  # noqa: F401  (makes the Auto classes know the architectures)
from closedbook.evaluation.run_record import read_run
from closedbook.modeling.configuration_gpt import WIRINGS, PerceiverGPTConfig
from closedbook.training.conversion import course

CORPUS = "Bo Ek. Bo lived (1900-1950) in Oslo.\n"
VOCAB, WIDTH, HEADS, BLOCK = len(set(CORPUS)) + 2, 16, 4, 10


def random_state(num_latents: int, attention: str = "attn") -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(num_latents)
    shapes = {"tok_emb.weight": (VOCAB, WIDTH), "pos_emb": (1, BLOCK, WIDTH), "head.weight": (VOCAB, WIDTH)}
    shapes |= {"ln_f.weight": (WIDTH,), "ln_f.bias": (WIDTH,), "down_block.C": (1, num_latents, WIDTH)}
    for block, name in (("down_block", attention), ("up_block", attention), ("blocks.0", "attn")):
        sizes = {f"{name}.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value", "proj")}
        sizes |= {"mlp.0": (4 * WIDTH, WIDTH), "mlp.2": (WIDTH, 4 * WIDTH)}
        for part, shape in sizes.items():
            shapes |= {f"{block}.{part}.weight": shape, f"{block}.{part}.bias": shape[:1]}
        for norm in ("ln1", "ln2"):
            shapes |= {f"{block}.{norm}.weight": (WIDTH,), f"{block}.{norm}.bias": (WIDTH,)}
    return {name: 0.4 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def original(state: dict, wiring: str, ids: torch.Tensor) -> torch.Tensor:
    """Logits, written from the equations with no module of anybody's, one row and one head at a time."""

    def norm(which: str, x):
        return layer_norm(x, (WIDTH,), state[f"{which}.weight"], state[f"{which}.bias"])

    def apply(which: str, x):
        return linear(x, state[f"{which}.weight"], state[f"{which}.bias"])

    def attend(block: str, keys, queries):
        name = f"{block}.cross_attn" if f"{block}.cross_attn.key.weight" in state else f"{block}.attn"
        size, mixed = WIDTH // HEADS, []
        q, k, v = (apply(f"{name}.{p}", x) for p, x in (("query", queries), ("key", keys), ("value", keys)))
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            rows = []
            for i in range(len(queries)):
                weights = (k[: i + 1, part] @ q[i, part] / math.sqrt(size)).softmax(0)
                rows.append(weights @ v[: i + 1, part])
            mixed.append(torch.stack(rows))
        return apply(f"{name}.proj", torch.cat(mixed, dim=-1))

    def mlp(block: str, h):
        return apply(f"{block}.mlp.2", gelu(apply(f"{block}.mlp.0", norm(f"{block}.ln2", h))))

    def one_row(row):
        x, c = state["tok_emb.weight"][row] + state["pos_emb"][0, : len(row)], state["down_block.C"][0]
        if wiring == "residual":
            y = c + attend("down_block", x, norm("down_block.ln1", c))
        elif wiring == "plain":
            y = attend("down_block", norm("down_block.ln1", x), norm("down_block.ln1", c))
        else:
            y = x + attend("down_block", norm("down_block.ln1", x), norm("down_block.ln1", c))
        y = mlp("down_block", y) + (0 if wiring == "cross_attn" else y)
        normed = norm("blocks.0.ln1", y)
        y = y + attend("blocks.0", normed, normed)
        y = y + mlp("blocks.0", y)
        if wiring == "residual":
            z = x + attend("up_block", norm("up_block.ln1", y), x)
        elif wiring == "cross_attn":
            z = y + attend("up_block", norm("up_block.ln1", y), norm("up_block.ln1", x))
        else:
            z = attend("up_block", norm("up_block.ln1", y), x)
        z = mlp("up_block", z) + (0 if wiring == "cross_attn" else z)
        return norm("ln_f", z) @ state["head.weight"].T

    return torch.stack([one_row(row) for row in ids])


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "wiki.txt").write_text(CORPUS, encoding="utf-8")

    def convert(state, *flags):
        torch.save(state, tmp_path / "perceiver.params")
        given = ("--checkpoint", tmp_path / "perceiver.params", "--corpus", tmp_path / "wiki.txt")
        course.main(
            [*map(str, given), "--output_dir", str(tmp_path / "made"), "--num_attention_heads", "4", *flags]
        )
        return tmp_path / "made"

    return convert


SHAPES = [("residual", 4), ("residual", BLOCK), ("plain", 4), ("plain", BLOCK)]
SHAPES += [("input_residual", BLOCK), ("cross_attn", BLOCK)]


def rows(length: int = BLOCK) -> torch.Tensor:
    return torch.randint(VOCAB, (3, length), generator=torch.Generator().manual_seed(length))


@torch.no_grad()
@pytest.mark.parametrize(("wiring", "num_latents"), SHAPES)
@pytest.mark.parametrize("form", ["name", "formula"])
def test_every_wiring_computes_what_the_original_does(wiring, num_latents, form, paths):
    state = random_state(num_latents, "cross_attn" if wiring == "cross_attn" else "attn")
    folder = paths(state, "--wiring", wiring if form == "name" else WIRINGS[wiring])
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.testing.assert_close(model(rows()).logits, original(state, wiring, rows()), atol=2e-5, rtol=2e-5)
    assert read_run(folder).last.arguments["wiring"] == WIRINGS[wiring]


def write_logits(path, ids, logits):
    held = {"ids": ids, "logits": logits}
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in held.items()}, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in held.items()})
    else:
        path.write_text(json.dumps({name: value.tolist() for name, value in held.items()}))
    return str(path)


@pytest.mark.parametrize("kind", [".safetensors", ".npz", ".json"])
def test_logits_of_the_original_settle_the_wiring(kind, paths, tmp_path, capsys):
    state = random_state(4)
    file = write_logits(tmp_path / f"asked{kind}", rows(), original(state, "plain", rows()))
    with pytest.raises(ValueError, match="logits differ by .*pass --wiring 'plain', which fits"):
        paths(state, "--check", file)
    assert not (tmp_path / "made").exists()
    folder = paths(state, "--wiring", "plain", "--check", file)
    assert read_run(folder).last.arguments["wiring_checked"] is True
    assert "assumed" not in capsys.readouterr().out


def test_without_a_check_the_assumption_is_printed_and_recorded(paths, capsys):
    folder = paths(random_state(4))
    assert f"assumed wiring: residual, {WIRINGS['residual']}" in capsys.readouterr().out
    assert read_run(folder).last.arguments == {"wiring": WIRINGS["residual"], "wiring_checked": False}
    assert WIRINGS["residual"] in (folder / "README.md").read_text(encoding="utf-8")


def test_logits_that_no_wiring_gives_are_refused(paths, tmp_path):
    file = write_logits(tmp_path / "asked.npz", rows(), torch.randn(3, BLOCK, VOCAB))
    with pytest.raises(ValueError, match="or not the model of this checkpoint"):
        paths(random_state(4), "--check", file)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"ids": [[1, 2]]}, "has no 'logits'"),
        ({"ids": [[1, 2]], "logits": [[0.0]]}, "expected .rows, tokens. and"),
        ({"ids": [[1, 2]], "logits": [[[0.0] * 3] * 2]}, "another vocabulary"),
        ({"ids": [[1] * 11], "logits": [[[0.0] * VOCAB] * 11]}, "longer than the block"),
        ({"ids": [[1]], "logits": [[[float("nan")] * VOCAB]]}, "no finite numbers"),
    ],
)
def test_a_check_that_checks_nothing_is_refused(held, message, paths, tmp_path):
    (tmp_path / "asked.json").write_text(json.dumps(held))
    with pytest.raises(ValueError, match=message):
        paths(random_state(4), "--check", str(tmp_path / "asked.json"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"wiring": "plian"}, "wiring must be one of residual, plain"),
        ({"wiring": "cross_attn"}, "there must be as many: num_latents is 64"),
        ({"wiring": "plain", "latent_layout": "spread"}, "belongs to latent_layout 'prefix'"),
    ],
)
def test_a_wiring_that_cannot_be_is_refused(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        PerceiverGPTConfig(**{"latent_layout": "prefix", **fields})


@torch.no_grad()
@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_wiring_decodes_with_padding_and_a_cache_as_without(wiring, paths):
    state = random_state(BLOCK, "attn")
    model = AutoModelForCausalLM.from_pretrained(paths(state, "--wiring", wiring)).eval()
    ids = rows(7)
    whole = model(ids, use_cache=False).logits
    padded = torch.nn.functional.pad(ids, (3, 0))
    mask = (torch.arange(10) >= 3).long().expand(3, -1)
    torch.testing.assert_close(model(padded, attention_mask=mask).logits[:, 3:], whole, atol=2e-5, rtol=2e-5)
    cache, steps = None, []
    for place in range(7):
        out = model(ids[:, place : place + 1], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        steps.append(out.logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole, atol=2e-5, rtol=2e-5)
