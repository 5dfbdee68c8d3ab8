"""A converted checkpoint answers exactly as the model that it was saved from."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
import warm
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

import closedbook.modeling  # noqa: F401  (makes the Auto classes know the architectures)
from closedbook.evaluation.run_record import read_run
from closedbook.training.conversion import course

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "convert_mingpt.py"
CORPUS = "Zoë Ünal. Zoë was born in Łódź.\nBo Ek. Bo lived (1900-1950) in Oslo.\n"
VOCAB, WIDTH, HEADS, BLOCK, LATENTS = len(set(CORPUS)) + 2, 16, 4, 12, 5
MASK_ID = 1


class ReferenceAttention(nn.Module):
    """Reads `source` with the upper triangle of one square mask cut to size."""

    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.proj = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("mask", torch.ones(BLOCK, BLOCK).tril()[None, None])

    def forward(self, asking, source):
        query, key, value = (
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer, x in ((self.query, asking), (self.key, source), (self.value, source))
        )
        scores = query @ key.mT / math.sqrt(WIDTH // HEADS)
        hidden = self.mask[:, :, : asking.shape[1], : source.shape[1]] == 0
        weights = scores.masked_fill(hidden, -1e10).softmax(-1)
        return self.proj((weights @ value).transpose(1, 2).flatten(-2))


class ReferenceBlock(nn.Module):
    def __init__(self, num_latents=None):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = ReferenceAttention()
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1)
        )
        if num_latents:
            self.C = nn.Parameter(torch.empty(1, num_latents, WIDTH))

    def finish(self, x):
        return x + self.mlp(self.ln2(x))

    def forward(self, x):
        normed = self.ln1(x)
        return self.finish(x + self.attn(normed, normed))

    def down(self, x):
        latents = self.C.expand(x.shape[0], -1, -1)
        return self.finish(latents + self.attn(self.ln1(latents), x))

    def up(self, latents, x):
        return self.finish(x + self.attn(x, self.ln1(latents)))


class Reference(nn.Module):
    def __init__(self, num_blocks, num_latents=None):
        super().__init__()
        self.tok_emb = nn.Embedding(VOCAB, WIDTH)
        self.pos_emb = nn.Parameter(torch.empty(1, BLOCK, WIDTH))
        self.blocks = nn.Sequential(*(ReferenceBlock() for _ in range(num_blocks)))
        if num_latents:
            self.down_block, self.up_block = ReferenceBlock(num_latents), ReferenceBlock()
        self.num_latents = num_latents
        self.ln_f, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)
        for name, parameter in self.named_parameters():  # biases and norms too, so that swapped ones show
            centre = 1.0 if ".ln" in f".{name}" and name.endswith("weight") else 0.0
            nn.init.normal_(parameter, mean=centre, std=0.3)

    def forward(self, ids):
        x = self.tok_emb(ids) + self.pos_emb[:, : ids.shape[1]]
        latents = self.down_block.down(x) if self.num_latents else x
        mixed = self.blocks(latents)
        return self.head(self.ln_f(self.up_block.up(mixed, x) if self.num_latents else mixed))

    def greedy(self, ids, limit):
        """Whole passes, one a character, up to the mask character or `limit`."""
        while ids.shape[1] < limit and (ids.shape[1] == 1 or ids[0, -1] != MASK_ID):
            ids = torch.cat([ids, self(ids)[:, -1:].argmax(-1)], dim=1)
        return ids


SHAPES = {
    "vanilla": (3, None),
    "perceiver": (2, LATENTS),
    "perceiver without inner blocks": (0, LATENTS),
    "perceiver with a latent a position": (1, BLOCK),
}


def build_reference(kind: str, seed: int = 0) -> Reference:
    torch.manual_seed(seed)
    return Reference(*SHAPES[kind]).eval()


@pytest.fixture(params=SHAPES)
def reference(request) -> Reference:
    return build_reference(request.param)


@pytest.fixture
def corpus(tmp_path) -> Path:
    path = tmp_path / "wiki.txt"
    path.write_text(CORPUS, encoding="utf-8")
    return path


def convert(content, corpus: Path, *flags: str) -> Path:
    checkpoint = corpus.parent / "model.params"
    torch.save(content, checkpoint)
    folder = corpus.parent / "converted"
    course.main(arguments(checkpoint, corpus, folder, *flags))
    return folder


def arguments(checkpoint: Path, corpus: Path, folder: Path, *flags: str) -> list[str]:
    given = {"--checkpoint": checkpoint, "--corpus": corpus, "--output_dir": folder}
    heads = [] if "--num_attention_heads" in flags else ["--num_attention_heads", str(HEADS)]
    return [str(part) for pair in given.items() for part in pair] + [*heads, *flags]


@torch.no_grad()
def assert_same_logits(reference: Reference, folder: Path, lengths=range(1, BLOCK + 1)) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    for length in lengths:
        ids = torch.randint(VOCAB, (3, length), generator=torch.Generator().manual_seed(length))
        torch.testing.assert_close(model(ids).logits, reference(ids), atol=1e-5, rtol=1e-5)


def test_logits_agree_at_every_length(reference, corpus):
    assert_same_logits(reference, convert(reference.state_dict(), corpus))


@torch.no_grad()
def test_cached_greedy_decoding_writes_what_whole_passes_write(reference, corpus):
    model = AutoModelForCausalLM.from_pretrained(convert(reference.state_dict(), corpus)).eval()
    lengths = set()
    for first in range(2, VOCAB):
        prompt = torch.tensor([[first]])
        expected = reference.greedy(prompt, BLOCK)
        lengths.add(expected.shape[1])
        written = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_length=BLOCK, max_new_tokens=None
        )
        assert written.tolist() == expected.tolist()
    assert BLOCK in lengths


def test_the_tokenizer_numbers_characters_as_the_course_does(corpus):
    folder = convert(build_reference("vanilla").state_dict(), corpus)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    course_order = ["□", "⁇", *sorted(set(CORPUS))]
    assert "\n" in course_order
    course_ids = {character: i for i, character in enumerate(course_order)}
    text = "Łódź⁇\nBo□"
    assert tokenizer(text)["input_ids"] == [course_ids[character] for character in text]
    assert len(tokenizer) == VOCAB


def test_sizes_are_read_off_and_the_run_file_says_where_the_model_comes_from(corpus):
    folder = convert(build_reference("perceiver").state_dict(), corpus)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    expected = {
        "model_type": "perceiver_gpt",
        "vocab_size": VOCAB,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": HEADS,
        "max_position_embeddings": BLOCK,
        "num_latents": LATENTS,
        "latent_layout": "prefix",
        "embedding_dropout": 0.1,
        "hidden_dropout": 0.1,
        "attention_dropout": 0.1,
    }
    assert {name: config[name] for name in expected} == expected
    run = read_run(folder).last
    assert (run.stage, run.model, run.checkpoint) == ("converted", "perceiver-prefix", "model.params")
    assert run.parameters == sum(p.numel() for p in build_reference("perceiver").parameters())
    assert (folder / "modeling_gpt.py").exists()


def test_eight_heads_are_assumed(tmp_path, corpus):
    checkpoint = tmp_path / "model.params"
    torch.save(build_reference("vanilla").state_dict(), checkpoint)
    given = arguments(checkpoint, corpus, tmp_path / "converted")
    place = given.index("--num_attention_heads")
    course.main(given[:place] + given[place + 2 :])
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "converted").config.num_attention_heads == 8


def test_the_script_runs_as_a_command(tmp_path, corpus):
    reference = build_reference("perceiver")
    checkpoint, folder = tmp_path / "model.params", tmp_path / "converted"
    torch.save(reference.state_dict(), checkpoint)
    script = Path(__file__).resolve().parents[3] / "scripts" / "convert_mingpt.py"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    warm.run([script, *arguments(checkpoint, corpus, folder)], cwd=tmp_path, env=environment, check=True)
    assert_same_logits(reference, folder, lengths=[1, LATENTS - 1, BLOCK])


@pytest.mark.parametrize(
    "wrap",
    [
        "parallel",
        "state_dict",
        "model",
        "model_state_dict",
        "compiled",
        "nested",
        "half",
        "legacy",
        "without masks",
    ],
)
def test_other_ways_of_saving_the_same_weights_are_read(wrap, corpus, tmp_path):
    reference = build_reference("perceiver")
    state = reference.state_dict()
    if wrap == "parallel":
        state = nn.DataParallel(reference).state_dict()
    elif wrap == "compiled":
        state = {f"module._orig_mod.module.{name}": tensor for name, tensor in state.items()}
    elif wrap == "nested":
        state = {"_orig_mod." + name.replace("blocks.0.", "blocks.0._orig_mod."): t for name, t in state.items()}
        state = {"epoch": 3, "state_dict": {"model": state}}
    elif wrap == "half":
        reference.half().float()  # the weights as they are after rounding
        state = {name: tensor.half() for name, tensor in reference.state_dict().items()}
    elif wrap in ("state_dict", "model", "model_state_dict"):
        state = {wrap: state, "epoch": 3}
    elif wrap == "without masks":
        state = {name: tensor for name, tensor in state.items() if not name.endswith("mask")}
    folder = convert(state, corpus)
    if wrap == "legacy":
        torch.save(state, tmp_path / "model.params", _use_new_zipfile_serialization=False)
        course.main(arguments(tmp_path / "model.params", corpus, folder, "--overwrite"))
    assert_same_logits(reference, folder, lengths=[3, BLOCK])


def test_safetensors_are_read(corpus, tmp_path):
    reference = build_reference("vanilla")
    save_file(reference.state_dict(), tmp_path / "model.safetensors")
    course.main(arguments(tmp_path / "model.safetensors", corpus, tmp_path / "converted"))
    assert_same_logits(reference, tmp_path / "converted", lengths=[BLOCK])


def without(*names):
    return lambda state: [state.pop(name) for name in names]


def replaced(name, *shape):
    return lambda state: state.update({name: torch.zeros(*shape)})


BROKEN = {
    "a missing tensor": ("perceiver", without("blocks.1.attn.key.bias"), r"missing: blocks\.1\.attn\.key\.bias"),
    "a missing block": (
        "vanilla",
        lambda state: [state.pop(name) for name in list(state) if name.startswith("blocks.1.")],
        r"missing: blocks\.1\..* and 4 more; unexpected: blocks\.2\.",
    ),
    "no blocks": (
        "vanilla",
        lambda state: [state.pop(name) for name in list(state) if name.startswith("blocks.")],
        r"missing: blocks\.0\.",
    ),
    "no latents": ("perceiver", without("down_block.C"), r"missing: down_block\.C"),
    "a foreign tensor": ("vanilla", replaced("head.bias", VOCAB), r"unexpected: head\.bias"),
    "latents in a vanilla model": ("vanilla", replaced("down_block.C", 1, 5, WIDTH), r"missing: down_block\.attn"),
    "a synthesizer with queries": (
        "vanilla",
        replaced("blocks.0.attn.w1.weight", WIDTH, WIDTH),
        r"missing: .*attn\.w2.* unexpected: .*attn\.query",
    ),
    "learned and rotary positions": (
        "vanilla",
        replaced("blocks.0.attn.rope_cache", 12, 2, 2),
        r"unexpected: blocks\.0\.attn\.rope_cache",
    ),
    "a synthesizer in a perceiver": (
        "perceiver",
        replaced("blocks.0.attn.w2", WIDTH // HEADS, BLOCK - 1),
        r"unexpected: blocks\.0\.attn\.w2",
    ),
    "a perceiver without positions": ("perceiver", without("pos_emb"), r"missing: pos_emb"),
    "a narrow head": (
        "vanilla",
        replaced("head.weight", VOCAB, WIDTH - 1),
        rf"head\.weight .*\({VOCAB}, {WIDTH}\)",
    ),
    "other positions": ("vanilla", replaced("pos_emb", 1, BLOCK, WIDTH + 4), r"pos_emb has shape \(1, 12, 20\)"),
    "positions without a batch": ("vanilla", replaced("pos_emb", BLOCK, WIDTH), r"pos_emb .*3 axes"),
    "wide latents": ("perceiver", replaced("down_block.C", 1, LATENTS, 3), r"down_block\.C has shape \(1, 5, 3\)"),
    "several sets of latents": ("perceiver", replaced("down_block.C", 2, LATENTS, WIDTH), r"must be \(1, 5, 16\)"),
    "latents beyond the block": ("perceiver", replaced("down_block.C", 1, BLOCK + 1, WIDTH), "num_latents"),
    "no positions": ("vanilla", replaced("pos_emb", 1, 0, WIDTH), "max_position_embeddings"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_checkpoint_that_is_not_understood_is_refused_before_anything_is_written(case, corpus, tmp_path):
    kind, breaks, message = BROKEN[case]
    state = dict(build_reference(kind).state_dict())
    breaks(state)
    with pytest.raises(ValueError, match=message):
        convert(state, corpus)
    assert not (tmp_path / "converted").exists()


@pytest.mark.parametrize("heads", ["3", "0", "-4"])
def test_heads_that_do_not_divide_the_width_are_refused(heads, corpus, tmp_path):
    with pytest.raises(ValueError, match="num_attention_heads"):
        convert(build_reference("vanilla").state_dict(), corpus, "--num_attention_heads", heads)
    assert not (tmp_path / "converted").exists()


def test_a_corpus_with_another_vocabulary_is_refused_with_both_numbers(corpus, tmp_path):
    corpus.write_text(CORPUS + "%&", encoding="utf-8")
    with pytest.raises(ValueError, match=f"vocabulary of {VOCAB + 2} .* {VOCAB} rows"):
        convert(build_reference("vanilla").state_dict(), corpus)
    assert not (tmp_path / "converted").exists()


@pytest.mark.parametrize("sentinel", ["□", "⁇"])
def test_a_corpus_that_holds_a_special_character_is_refused(sentinel, corpus):
    corpus.write_text(CORPUS + sentinel, encoding="utf-8")
    with pytest.raises(ValueError, match=f"'{sentinel}'"):
        convert(build_reference("vanilla").state_dict(), corpus)


class Payload:
    """Unpickling this makes a folder: what a hostile checkpoint would do, only kinder."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_a_pickle_with_code_is_refused_and_not_run(corpus, tmp_path):
    state = dict(build_reference("vanilla").state_dict()) | {"extra": Payload(tmp_path / "made")}
    with pytest.raises(ValueError, match=r"refused to load .*more than tensors.*code"):
        convert(state, corpus)
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "converted").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("name", ["model.params", "model.safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(content, name, corpus, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        course.main(arguments(tmp_path / name, corpus, tmp_path / "converted"))


def test_a_checkpoint_that_is_not_there_is_named(corpus, tmp_path):
    for name in ("none.params", "none.safetensors"):
        with pytest.raises(FileNotFoundError, match=name):
            course.main(arguments(tmp_path / name, corpus, tmp_path / "converted"))


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {}}, {"epoch": 3}, torch.zeros(2)])
def test_a_file_without_named_tensors_is_refused(content, corpus):
    with pytest.raises(ValueError, match="no state dict"):
        convert(content, corpus)


def test_an_occupied_folder_is_left_alone_unless_it_is_a_run_to_overwrite(corpus, tmp_path):
    first, second = build_reference("vanilla"), build_reference("perceiver", seed=1)
    folder = convert(first.state_dict(), corpus)
    with pytest.raises(ValueError, match="already holds files"):
        convert(second.state_dict(), corpus)
    broken = dict(second.state_dict())
    del broken["pos_emb"]
    with pytest.raises(ValueError, match="missing"):
        convert(broken, corpus, "--overwrite")
    assert_same_logits(first, folder, lengths=[BLOCK])
    convert(second.state_dict(), corpus, "--overwrite")
    assert_same_logits(second, folder, lengths=[BLOCK])


def test_overwriting_the_folder_of_the_checkpoint_itself_is_refused(corpus, tmp_path):
    folder = convert(build_reference("vanilla").state_dict(), corpus)
    checkpoint = folder / "model.params"
    torch.save(build_reference("vanilla").state_dict(), checkpoint)
    with pytest.raises(ValueError, match="lies in the output_dir"):
        course.main(arguments(checkpoint, corpus, folder, "--overwrite"))
    assert checkpoint.exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_no_finite_numbers_are_refused_by_name(value, corpus):
    state = dict(build_reference("vanilla").state_dict())
    state["blocks.1.ln2.bias"] = torch.full_like(state["blocks.1.ln2.bias"], value)
    with pytest.raises(ValueError, match="no finite numbers, in blocks.1.ln2.bias"):
        convert(state, corpus)
