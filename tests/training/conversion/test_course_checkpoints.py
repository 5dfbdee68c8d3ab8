"""Synthesizer and rotary course models, written down once more from their formulas, and what they become."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import AutoModelForCausalLM

import closedbook.modeling  # noqa: F401  (makes the Auto classes know the architectures)
from closedbook.evaluation.run_record import read_run
from closedbook.modeling.positions import rotary_angles, rotate
from closedbook.training.conversion import course
from closedbook.training.conversion.course_checkpoints import pairs_to_halves

CORPUS = "Zoë Ünal. Zoë was born in Łódź.\nBo Ek. Bo lived (1900-1950) in Oslo.\n"
VOCAB, WIDTH, HEADS, BLOCK = len(set(CORPUS)) + 2, 24, 4, 12
HEAD = WIDTH // HEADS


def split(x: torch.Tensor) -> torch.Tensor:
    """`(B, T, D)` -> `(B, heads, T, head size)`."""
    return torch.stack(x.split(HEAD, dim=-1), dim=1)


class Attention(nn.Module):
    """Mixes values with the softmax of causal scores; the editions differ in the scores."""

    def __init__(self):
        super().__init__()
        self.value, self.proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("mask", torch.ones(BLOCK, BLOCK).tril()[None, None])

    def forward(self, x):
        length = x.shape[1]
        scores = self.scores(x)
        for place in range(length):
            scores[:, :, place, place + 1 :] = -math.inf
        mixed = scores.softmax(-1) @ split(self.value(x))
        return self.proj(torch.cat(mixed.unbind(1), dim=-1))


class SynthesizerAttention(Attention):
    """A token says by itself how much it wants of each place; there is no column for the very last one."""

    def __init__(self):
        super().__init__()
        self.w1 = nn.Linear(WIDTH, WIDTH)
        self.w2, self.b2 = nn.Parameter(torch.empty(HEAD, BLOCK - 1)), nn.Parameter(torch.empty(BLOCK - 1))

    def scores(self, x):
        wanted = torch.einsum("bhtd,dp->bhtp", split(self.w1(x).clamp(min=0)), self.w2) + self.b2
        return wanted[..., : x.shape[1]].clone()


class RotaryAttention(Attention):
    """Neighbouring numbers of a query or key are a complex number, turned by its place."""

    def __init__(self, with_table: bool):
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        if with_table:
            self.register_buffer("rope_cache", torch.view_as_real(self.turns(BLOCK)).float())

    def turns(self, length):
        theta = torch.tensor([10_000.0 ** (-2 * i / HEAD) for i in range(HEAD // 2)], dtype=torch.float64)
        angles = torch.arange(length, dtype=torch.float64)[:, None] * theta
        return torch.polar(torch.ones_like(angles), angles)

    def turned(self, x):
        numbers = torch.complex(x[..., 0::2].double(), x[..., 1::2].double()) * self.turns(x.shape[-2])
        return numbers

    def scores(self, x):
        query, key = self.turned(split(self.query(x))), self.turned(split(self.key(x)))
        return ((query @ key.conj().transpose(-1, -2)).real / math.sqrt(HEAD)).float()


class Block(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.ln1, self.ln2, self.attn = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), attention
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 40), nn.GELU(), nn.Linear(40, WIDTH), nn.Dropout(0.1))

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


EDITIONS = {
    "synthesizer": SynthesizerAttention,
    "rotary with tables": lambda: RotaryAttention(True),
    "rotary": lambda: RotaryAttention(False),
}


class Course(nn.Module):
    def __init__(self, edition: str, num_blocks: int = 2):
        super().__init__()
        self.tok_emb = nn.Embedding(VOCAB, WIDTH)
        if edition == "synthesizer":
            self.pos_emb = nn.Parameter(torch.empty(1, BLOCK, WIDTH))
        self.blocks = nn.Sequential(*(Block(EDITIONS[edition]()) for _ in range(num_blocks)))
        self.ln_f, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)
        for name, parameter in self.named_parameters():  # biases and norms too, so that swapped ones show
            centre = 1.0 if ".ln" in f".{name}" and name.endswith("weight") else 0.0
            nn.init.normal_(parameter, mean=centre, std=0.4)

    def forward(self, ids):
        x = self.tok_emb(ids)
        if hasattr(self, "pos_emb"):
            x = x + self.pos_emb[:, : ids.shape[1]]
        return self.head(self.ln_f(self.blocks(x)))


@pytest.fixture(params=EDITIONS)
def edition(request) -> str:
    return request.param


def course_model(edition: str) -> Course:
    torch.manual_seed(0)
    return Course(edition).eval()


def convert(state: dict, folder: Path, *flags: str) -> Path:
    torch.save(state, folder / "course.params")
    (folder / "wiki.txt").write_text(CORPUS, encoding="utf-8")
    heads = [] if "--num_attention_heads" in flags else ["--num_attention_heads", str(HEADS)]
    given = ["--checkpoint", "course.params", "--corpus", "wiki.txt", "--output_dir", "converted"]
    paths = [part if part.startswith("--") else str(folder / part) for part in given]
    course.main([*paths, *heads, *flags])
    return folder / "converted"


@torch.no_grad()
def test_logits_agree_at_every_length_that_the_course_model_takes(edition, tmp_path):
    course = course_model(edition)
    model = AutoModelForCausalLM.from_pretrained(convert(course.state_dict(), tmp_path)).eval()
    for length in range(1, BLOCK + 1 - (edition == "synthesizer")):
        ids = torch.randint(VOCAB, (3, length), generator=torch.Generator().manual_seed(length))
        # float32 sums in another order
        torch.testing.assert_close(model(ids).logits, course(ids), atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_cache_writes_what_whole_passes_of_the_course_model_write(edition, tmp_path):
    course = course_model(edition)
    model = AutoModelForCausalLM.from_pretrained(convert(course.state_dict(), tmp_path)).eval()
    for first in range(2, VOCAB, 3):
        ids = torch.tensor([[first]])
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=BLOCK - 2, eos_token_id=None
        )
        for _ in range(BLOCK - 2):
            ids = torch.cat([ids, course(ids)[:, -1:].argmax(-1)], dim=1)
        assert written.tolist() == ids.tolist()


def test_the_configuration_and_the_run_file_say_what_it_is(edition, tmp_path):
    course = course_model(edition)
    folder = convert(course.state_dict(), tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    is_synthesizer = edition == "synthesizer"
    expected = {
        "attention": "synthesizer_dense" if is_synthesizer else "softmax",
        "position": "learned" if is_synthesizer else "rotary",
        "max_position_embeddings": 128 if edition == "rotary" else BLOCK,
        "num_hidden_layers": 2,
        "intermediate_size": 40,
        "rope_theta": 10_000.0,
    }
    assert {name: config[name] for name in expected} == expected
    run = read_run(folder).last
    assert run.model == ("vanilla-synthesizer_dense" if is_synthesizer else "vanilla-rotary")
    assert run.parameters == sum(parameter.numel() for parameter in course.parameters())


def test_the_block_size_of_a_rotary_model_can_be_given(tmp_path):
    folder = convert(course_model("rotary").state_dict(), tmp_path, "--block_size", "40")
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["max_position_embeddings"] == 40


@pytest.mark.parametrize("known", ["synthesizer", "rotary with tables"])
def test_a_block_size_that_the_checkpoint_contradicts_is_refused(known, tmp_path):
    state = course_model(known).state_dict()
    convert(state, tmp_path, "--block_size", str(BLOCK))
    with pytest.raises(ValueError, match=f"says {BLOCK}, --block_size says 13"):
        convert(state, tmp_path, "--block_size", "13", "--overwrite")


@pytest.mark.parametrize("size", ["0", "-5"])
def test_a_block_size_below_one_is_refused(size, tmp_path):
    with pytest.raises(ValueError, match="max_position_embeddings must be at least 1"):
        convert(course_model("rotary").state_dict(), tmp_path, "--block_size", size)


@pytest.mark.parametrize("known", ["synthesizer", "rotary with tables"])
@pytest.mark.parametrize("heads", ["2", "8"])
def test_a_wrong_number_of_heads_is_refused_where_it_shows_and_the_right_one_is_named(known, heads, tmp_path):
    with pytest.raises(ValueError, match=f"heads of {HEAD} numbers.*pass --num_attention_heads {HEADS}$"):
        convert(course_model(known).state_dict(), tmp_path, "--num_attention_heads", heads)
    assert not (tmp_path / "converted").exists()


def replaced(name: str, tensor: torch.Tensor):
    return lambda state: state.update({name: tensor})


BROKEN = {
    "a missing score": (
        "synthesizer",
        lambda state: state.pop("blocks.1.attn.b2"),
        r"missing: blocks\.1\.attn\.b2",
    ),
    "no positions": ("synthesizer", lambda state: state.pop("pos_emb"), r"missing: pos_emb"),
    "scores for all places": (
        "synthesizer",
        replaced("blocks.1.attn.w2", torch.zeros(HEAD, BLOCK)),
        rf"blocks\.1\.attn\.w2 has shape \({HEAD}, {BLOCK}\).*\({HEAD}, {BLOCK - 1}\)",
    ),
    "scores a head": (
        "synthesizer",
        replaced("blocks.0.attn.w2", torch.zeros(HEADS, HEAD, BLOCK - 1)),
        r"blocks\.0\.attn\.w2 has shape .*2 axes",
    ),
    "an odd share": (
        "synthesizer",
        replaced("blocks.1.attn.w2", torch.zeros(7, BLOCK - 1)),
        "heads of 7 numbers.*no number of heads does",
    ),
    "a missing query": (
        "rotary",
        lambda state: state.pop("blocks.0.attn.query.bias"),
        r"missing: blocks\.0\.attn\.query\.bias",
    ),
    "a flat table": (
        "rotary with tables",
        replaced("blocks.0.attn.rope_cache", torch.zeros(BLOCK, HEAD)),
        r"rope_cache has shape \(12, 6\); expected \(positions",
    ),
    "a table of other angles": (
        "rotary with tables",
        lambda state: state["blocks.1.attn.rope_cache"].neg_(),
        r"blocks\.1\.attn\.rope_cache does not hold the cosines",
    ),
    "tables of two lengths": (
        "rotary with tables",
        lambda state: state.update({"blocks.1.attn.rope_cache": state["blocks.1.attn.rope_cache"][:5]}),
        r"blocks\.0\.attn\.rope_cache says 12, blocks\.1\.attn\.rope_cache says 5",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_checkpoint_that_is_not_understood_is_refused_before_anything_is_written(case, tmp_path):
    edition, breaks, message = BROKEN[case]
    state = {name: tensor.clone() for name, tensor in course_model(edition).state_dict().items()}
    breaks(state)
    with pytest.raises(ValueError, match=message):
        convert(state, tmp_path)
    assert not (tmp_path / "converted").exists()


def test_a_rotary_model_without_a_block_is_told_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"missing: blocks\.0\.attn\.key"):
        convert({"tok_emb.weight": torch.zeros(VOCAB, WIDTH)}, tmp_path)


def test_the_reference_sizes_of_both_editions_fit(tmp_path):
    """The sizes of the assignment: width 256, 8 heads, 4 blocks of 128 characters."""
    for fields in ({"attention": "synthesizer_dense"}, {"position": "rotary"}):
        model = course.VanillaGPTForCausalLM(course.VanillaGPTConfig(**fields))
        names = course.corresponding_names(
            {"pos_emb": torch.empty(1, 128, 256), "blocks.0.attn.w2": torch.empty(32, 127)}
            if "attention" in fields
            else {}
        )
        first_block = {ours for ours in names.values() if ".layers.0." in ours}
        assert first_block == {name for name in model.state_dict() if ".layers.0." in name}


@given(heads=st.integers(1, 5), half=st.integers(1, 4), places=st.tuples(*[st.integers(0, 500)] * 2))
def test_reordered_pairs_keep_every_product_of_a_turned_query_and_a_turned_key(heads, half, places):
    size = 2 * half
    query, key = torch.randn(2, heads, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = []
    for head in range(heads):
        total = 0
        for i in range(half):
            turn = (places[0] - places[1]) * 10_000.0 ** (-2 * i / size)
            pair = [complex(*vector[head, 2 * i : 2 * i + 2].tolist()) for vector in (query, key)]
            total += (pair[0] * pair[1].conjugate() * complex(math.cos(turn), math.sin(turn))).real
        expected.append(total)
    angles = [rotary_angles(torch.tensor([[place]]), size, 10_000.0, torch.float64) for place in places]
    ours = [
        rotate(pairs_to_halves(vector.flatten(), heads).view(1, heads, 1, size), turn)
        for vector, turn in zip((query, key), angles, strict=True)
    ]
    products = (ours[0] * ours[1]).sum(-1).flatten()
    # angles are made in float32: 500 rounded to 2^-15
    torch.testing.assert_close(products, torch.tensor(expected, dtype=torch.float64), atol=2e-3, rtol=1e-3)


def gpt2_names(*, transposed: bool, tied: bool | None, prefix: str = "transformer.") -> dict[str, torch.Tensor]:
    state = {f"{prefix}wte.weight": torch.randn(9, 4), f"{prefix}wpe.weight": torch.randn(6, 4)}
    state[f"{prefix}h.0.attn.c_attn.weight"] = torch.randn((12, 4) if transposed else (4, 12))
    if tied is not None:
        state["lm_head.weight"] = state[f"{prefix}wte.weight"] if tied else torch.randn(9, 4)
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (gpt2_names(transposed=True, tied=True), "nanoGPT .tied head, exact GELU.*tie_word_embeddings=True"),
        (gpt2_names(transposed=True, tied=False), "minGPT of 2022 or later .untied head, tanh.*'gelu_new'"),
        (gpt2_names(transposed=False, tied=None), "GPT-2 as transformers has it"),
        (gpt2_names(transposed=False, tied=None, prefix=""), "GPT-2 as transformers has it"),
        ({"model.layers.0.self_attn.q_proj.weight": torch.ones(2, 2)}, "Llama or OPT family"),
        ({"gpt_neox.layers.0.attention.dense.bias": torch.ones(2)}, "GPT-NeoX"),
        ({"bert.encoder.layer.0.output.dense.bias": torch.ones(2)}, "an encoder such as BERT"),
        ({"base_model.model.q.lora_A.weight": torch.ones(2, 2)}, "a LoRA adapter"),
        ({"model.embeddings.tokens.weight": torch.ones(2, 2)}, "a model of this package"),
        ({"conv.weight": torch.ones(2, 2)}, "does not have the names of a minGPT model"),
    ],
)
def test_checkpoints_of_other_models_are_called_what_they_are(state, message):
    with pytest.raises(ValueError, match=message):
        course.convert(state)
