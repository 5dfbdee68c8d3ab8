"""Packed = separate for causal language models of any architecture, forward and backward, or it is not packed."""

import copy
import logging
from functools import partial

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from closedbook.data.objectives.example import Example
from closedbook.data.packing import IGNORED, PackingCollator
from closedbook.evaluation.answering.packing_isolation import packing_isolation, switch_cache
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM

ALPHABET = "abcdefghijklmnopqrstuvwxyz .?"
VOCABULARY = {character: number for number, character in enumerate(["□", "⁇", *ALPHABET])}
ROW_LENGTH = 40
WINDOW = 6  # far below the examples
TEXTS = ["where was ada born", "ada", "in london. they say so", "b", "who knows?", "zzzzzzzzzzzz", "a quick fox"]
SIZES = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "max_position_embeddings": 32,  # below the row
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
HEAD, WINDOWED = {"head_dim": 8}, {"head_dim": 8, "sliding_window": WINDOW}
MAMBA = {"mamba_d_state": 4, "mamba_dt_rank": 4, "use_mamba_kernels": False}
HYBRID = {"attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, **MAMBA}
MIXED = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"], "head_dim": 8}
# What each is told beside the sizes. Those of one group need the same.
POSITIONS = {
    "gpt2": {},
    "llama": HEAD,
    "qwen2": {},
    "qwen2 with windows": {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": WINDOW},
    "qwen3": HEAD,
    "smollm3": HEAD,
    "gemma": HEAD,
    "gemma2": MIXED,
    "gemma3_text": MIXED,
    "gpt_neox": {},
    "gpt_neo": {
        "attention_types": [[["global", "local"], 1]],
        "window_size": WINDOW,
        "max_position_embeddings": 48,
    },
    "mistral": WINDOWED,
    "phi": {},
    "phi3": {"sliding_window": WINDOW},
    "olmo2": {},
    "gptj": {"rotary_dim": 4},
    "gpt_bigcode": {},
    "stablelm": {},
    "lfm2": {},
    "qwen2_moe": {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
}
MASK = {
    "opt": {"word_embed_proj_dim": 16, "ffn_dim": 24},
    "mpt": {"d_model": 16, "n_heads": 2, "n_layers": 2, "max_seq_len": 64},
    "biogpt": {},
}
ALONE = {
    "bloom": {},
    "falcon": {"alibi": True},
    "mamba": {"state_size": 4},
    "recurrent_gemma": {"lru_width": 16, "attention_window_size": WINDOW, "num_hidden_layers": 3, **HEAD},
    "jamba": HYBRID,
    "falcon_h1": {
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_d_state": 4,
        "mamba_chunk_size": 4,
    },
    "rwkv": {"attention_hidden_size": 16},
    "openai-gpt": {},
}
NEEDS = {
    name: isolation
    for isolation, group in (("positions", POSITIONS), ("mask", MASK), ("alone", ALONE))
    for name in group
}
NO_SDPA = ("gemma2", "mamba")
# The others run with the slow tests.
OFTEN = ("gpt2", "llama", "qwen2", "qwen3", "gemma3_text", "gpt_neox", "gpt_neo", "mistral", "phi", "opt", "mpt")
OFTEN += ("bloom", "falcon", "mamba", "recurrent_gemma", "jamba")
FUSED_OFTEN = ("gpt2", "llama", "gemma3_text", "mistral", "opt")


def sometimes(*values, often: bool):
    return pytest.param(*values, id="-".join(map(str, values)), marks=() if often else pytest.mark.slow)


ARCHITECTURES = [
    sometimes(name, attention, often=name in (OFTEN if attention == "eager" else FUSED_OFTEN))
    for name in NEEDS
    for attention in ("eager", "sdpa")
    if attention == "eager" or name not in NO_SDPA
]


pytestmark = pytest.mark.usefixtures("quiet")  # models with sizes as small as these have warnings to give


def build(name: str, attention: str = "eager") -> PreTrainedModel:
    fields = SIZES | (POSITIONS | MASK | ALONE)[name]
    torch.manual_seed(0)
    config = AutoConfig.for_model(name.split()[0], **fields)
    for key, value in vars(config).items():
        if isinstance(value, float) and "drop" in key:
            setattr(config, key, 0.0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    model.set_attn_implementation(attention)
    return model


def encoded(text: str) -> torch.Tensor:
    return torch.tensor([[VOCABULARY[character] for character in text]])


def loss_and_gradients(model: PreTrainedModel, separate: bool, collator: PackingCollator):
    """The summed loss of the examples, and its gradient by every parameter."""
    examples = [Example(text, len(text) // 3) for text in TEXTS]
    batch = collator(examples)
    num_items = int((batch["labels"][:, 1:] != IGNORED).sum())
    model.zero_grad()
    if not separate:
        loss = model(**batch).logits[:, :-1].float()
        loss = torch.nn.functional.cross_entropy(loss.transpose(1, 2), batch["labels"][:, 1:], reduction="sum")
    else:
        loss = torch.zeros(())
        for text in TEXTS:
            ids = encoded(text)
            if len(text) > 1:
                first = max(1, len(text) // 3)
                logits = model(input_ids=ids).logits[0, first - 1 : -1].float()
                loss = loss + torch.nn.functional.cross_entropy(logits, ids[0, first:], reduction="sum")
    (loss / num_items).backward()
    return loss.item() / num_items, {
        name: parameter.grad.float().clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.any())
    }


def assert_packed_is_separate(model: PreTrainedModel, isolation: str, close: float) -> None:
    """Logits, loss and every gradient, of their largest value."""
    collator = PackingCollator(VOCABULARY, ROW_LENGTH, isolation=isolation, dtype=model.dtype)
    batch = collator([Example(text, 0) for text in TEXTS])
    with torch.no_grad():
        logits = model(**batch).logits
        assert bool(torch.isfinite(logits).all())
        rows = ["".join([*VOCABULARY][token] for token in ids) for ids in batch["input_ids"].tolist()]
        for text in sorted(TEXTS, key=len, reverse=True):
            row = next(row for row, content in enumerate(rows) if text in content)
            start = rows[row].index(text)
            rows[row] = rows[row].replace(text, "□" * len(text), 1)
            wanted = model(input_ids=encoded(text)).logits[0]
            difference = (logits[row, start : start + len(text)] - wanted).abs().max()
            assert difference <= close * wanted.abs().max(), text
    loss, gradients = loss_and_gradients(model, False, collator)
    wanted_loss, wanted_gradients = loss_and_gradients(model, True, collator)
    assert loss == pytest.approx(wanted_loss, rel=close)
    scale = max(float(gradient.abs().max()) for gradient in wanted_gradients.values())
    assert scale > 0
    for name in gradients.keys() | wanted_gradients.keys():
        found, wanted = gradients.get(name), wanted_gradients.get(name)
        zero = torch.zeros(())
        difference = ((zero if found is None else found) - (zero if wanted is None else wanted)).abs().max()
        assert float(difference) <= close * scale, name


@pytest.mark.parametrize(("name", "attention"), ARCHITECTURES)
def test_packed_is_separate_in_the_way_that_was_measured(name, attention):
    model = build(name, attention)
    isolation = packing_isolation(model, max(map(len, TEXTS)), ROW_LENGTH)
    assert isolation == NEEDS[name]
    switch_cache(model, False)
    assert_packed_is_separate(model.train(), isolation, 1e-4)


@pytest.mark.parametrize("name", [sometimes(name, often=name in OFTEN) for name in (MASK | ALONE)])
def test_what_was_found_to_leak_does(name):
    """Or the slower way is taken for nothing."""
    model = build(name)
    switch_cache(model, False)
    with pytest.raises((AssertionError, RuntimeError, ValueError)):
        assert_packed_is_separate(model, "mask" if NEEDS[name] == "alone" else "positions", 1e-2)


@pytest.mark.parametrize(
    ("name", "reentrant"),
    [
        sometimes(name, reentrant, often=not reentrant or name == "gpt2")
        for name in ("gpt2", "llama", "gemma3_text", "opt", "mpt", "recurrent_gemma")
        for reentrant in (False, True)
    ],
)
def test_gradient_checkpointing_changes_nothing(name, reentrant):
    model = build(name, "sdpa").train()
    switch_cache(model, False)
    collator = PackingCollator(VOCABULARY, ROW_LENGTH, isolation=NEEDS[name])
    loss, wanted = loss_and_gradients(model, False, collator)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    again, found = loss_and_gradients(model, False, collator)
    assert again == pytest.approx(loss, rel=1e-6)
    assert found.keys() == wanted.keys()
    for key, gradient in wanted.items():
        torch.testing.assert_close(found[key], gradient, atol=1e-6, rtol=1e-4, msg=key)
    assert_packed_is_separate(model, NEEDS[name], 1e-4)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text", "opt", "mpt", "mamba"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("way", ["weights", "autocast"])
def test_in_half_precision_no_example_moves_by_what_stands_in_another(name, attention, way):
    if attention == "sdpa" and name in NO_SDPA:
        pytest.skip("has no such implementation")
    model = build(name, attention)
    if way == "weights":
        model = model.bfloat16()
    isolation = packing_isolation(model, max(map(len, TEXTS)), ROW_LENGTH)
    assert isolation == NEEDS[name]
    switch_cache(model, False)
    collator = PackingCollator(VOCABULARY, ROW_LENGTH, isolation=isolation, dtype=model.dtype)
    batch = collator([Example(text, 0) for text in TEXTS])
    changed = collator([Example(text if len(text) % 2 else "q" * len(text), 0) for text in TEXTS])
    same = batch["input_ids"] == changed["input_ids"]
    if isolation != "alone":
        starts = batch["position_ids"].eq(0).cumsum(-1)
        kept = torch.zeros_like(same)
        for number in range(1, int(starts.max()) + 1):
            member = starts == number
            kept |= member & (same | ~member).all(-1, keepdim=True)
        same = kept
    assert 0.2 < same.float().mean() < 0.9
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast"), torch.no_grad():
        before, after = model(**batch).logits, model(**changed).logits
    if isolation == "alone":
        same = same.all(-1, keepdim=True).expand_as(same)
    assert torch.equal(before[same], after[same]) and not torch.equal(before, after)


def test_one_line_says_what_is_slower_and_nothing_is_said_of_the_others(caplog):
    for name, expected in (("llama", ""), ("opt", "OPTForCausalLM"), ("bloom", "BloomForCausalLM")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            packing_isolation(build(name))
        lines = [record.getMessage() for record in caplog.records if "packed examples" in record.getMessage()]
        assert len(lines) == bool(expected) and all(
            line.startswith(expected) and "\n" not in line for line in lines
        )


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3_text"])
def test_a_cache_leaks_and_can_be_switched_off(name):
    model = build(name)
    assert model.config.use_cache
    with pytest.raises(AssertionError):
        assert_packed_is_separate(model, "positions", 1e-2)
    switch_cache(model, False)
    assert_packed_is_separate(model, "positions", 1e-4)


def test_the_cache_of_every_part_of_a_model_is_switched_off():
    """As the library's Trainer does not."""
    model = build("llama")
    model.model.config = copy.deepcopy(model.config)
    model.config.use_cache = False
    with pytest.raises(AssertionError):
        assert_packed_is_separate(model, "positions", 1e-2)
    switch_cache(model, False)
    assert_packed_is_separate(model, "positions", 1e-4)


def test_mode_and_settings_are_as_they_were():
    model = build("gpt2").train()
    packing_isolation(model)
    assert model.training and model.config.use_cache is True


def test_a_model_of_this_package_is_not_run(monkeypatch):
    model = VanillaGPTForCausalLM(VanillaGPTConfig(vocab_size=20, hidden_size=16, num_attention_heads=2))
    monkeypatch.setattr(model, "forward", lambda *_, **__: pytest.fail("a pass that is not needed"))
    assert packing_isolation(model) == "positions"


class OnlyBeyondAWindow(GPT2LMHeadModel):
    """Ignores where examples begin in rows that are longer than 32 tokens."""

    def forward(self, input_ids=None, position_ids=None, attention_mask=None, **options):
        if input_ids.shape[1] > 32:
            position_ids = attention_mask = None
        return super().forward(
            input_ids=input_ids, position_ids=position_ids, attention_mask=attention_mask, **options
        )


class NeverAlone(GPT2LMHeadModel):
    """Every text is read with what stands in the rows beside it."""

    def forward(self, input_ids=None, **options):
        found = super().forward(input_ids=input_ids, **options)
        found.logits = found.logits + found.logits.mean(0, keepdim=True).flip(-1)
        return found


class SlightlyLeaky(GPT2LMHeadModel):
    """What stands before moves logits by a hundredth of their spread: within what rounding may do in bf16."""

    def forward(self, input_ids=None, **options):
        found = super().forward(input_ids=input_ids, **options)
        if found.logits.shape[1] > 1 and options.get("position_ids") is not None:
            found.logits = found.logits + 0.03 * found.logits.roll(20, 1)
        return found


def strange(kind: type) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"vocab_size": 31, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
    return kind(GPT2Config(**sizes, initializer_range=0.3)).eval()


def test_it_is_measured_at_the_length_of_the_rows():
    model = strange(OnlyBeyondAWindow)
    assert packing_isolation(model, 12, 28) == "positions"
    assert packing_isolation(model, 12, 40) == "alone"


def test_a_slight_leak_is_seen_in_half_precision():
    assert packing_isolation(strange(GPT2LMHeadModel).bfloat16(), 12, 40) == "positions"
    assert packing_isolation(strange(SlightlyLeaky).bfloat16(), 12, 40) == "alone"


def test_a_model_that_reads_rows_together_is_refused_in_one_line():
    with pytest.raises(ValueError, match="NeverAlone reads an example otherwise in company") as error:
        packing_isolation(strange(NeverAlone))
    assert "\n" not in str(error.value)


class Encoder(GPT2LMHeadModel):
    """Wants more than token ids."""

    def forward(self, input_ids=None, **options):
        raise ValueError("you have to specify decoder_input_ids\nor embeddings")


def test_a_model_that_wants_more_than_token_ids_is_refused_with_what_it_says():
    with pytest.raises(ValueError, match=r"Encoder fails .*decoder_input_ids\)") as error:
        packing_isolation(strange(Encoder))
    assert "\n" not in str(error.value)


def test_one_example_a_row_begins_at_its_beginning():
    collate = partial(PackingCollator, VOCABULARY, ROW_LENGTH)
    examples = [Example("abc", 0), Example("defgh", 2)]
    batch = collate(isolation="alone")(examples)
    assert set(batch) == {"input_ids", "labels", "attention_mask"}
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    with pytest.raises(ValueError, match="leave out --shift_positions"):
        collate(isolation="alone")([Example("abc", 0, 3)])
