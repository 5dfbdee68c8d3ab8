"""Whatever the architecture: texts in company, padded, cached and shared are those of one text at a time."""

import logging
import random

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from closedbook.evaluation.answering import shared_prefix
from closedbook.evaluation.answering.abilities import KNOWN, Abilities, abilities, is_known, structure
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.answering.continuations import score_continuations
from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.answering.prompts import complete_prompts

ALPHABET = "abcdefghijklmnopqrstuvwxyz .?\n"
WINDOW = 6
SIZES = {
    "vocab_size": len(ALPHABET) + 2,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "max_position_embeddings": 96,
    "initializer_range": 0.3,
    "sliding_window": WINDOW,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
# By what the library's configurations are told beside; windows are far shorter than the prompts.
SAFE = {name: {} for name in sorted(KNOWN - {"vanilla_gpt", "perceiver_gpt"})} | {
    "opt": {"word_embed_proj_dim": 32}
}
DOUBTFUL = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    "falcon_h1": {
        "mamba_d_ssm": 64,
        "mamba_n_heads": 8,
        "mamba_d_head": 8,
        "mamba_d_state": 4,
        "mamba_n_groups": 1,
        "mamba_chunk_size": 4,
    },
    "rwkv": {"attention_hidden_size": 32},
    "mamba": {"state_size": 4},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1, "state_size": 4, "chunk_size": 4},
    "minimax": {"num_local_experts": 4, "block_size": 8},
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": WINDOW, "num_hidden_layers": 3},
    "roberta": {"is_decoder": True},
    "falcon": {"alibi": True},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 96},
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 48, "init_std": 0.3},
    "codegen": {"rotary_dim": 4},
    "openai-gpt": {},
    "gpt_oss": {"num_local_experts": 4},
    "qwen2_moe": {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
}
NEVER_PADDED = ("falcon_h1", "gpt_neo", "rwkv", "roberta", "minimax", "mamba", "mamba2", "recurrent_gemma")


def build_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {character: number for number, character in enumerate(["□", "⁇", *ALPHABET])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="□", mask_token="⁇")


pytestmark = pytest.mark.usefixtures("quiet")  # models with sizes as small as these have warnings to give


def build(name: str) -> PreTrainedModel:
    fields = SIZES | (SAFE | DOUBTFUL)[name]
    known = type(AutoConfig.for_model(name))
    if not hasattr(known, "sliding_window"):
        del fields["sliding_window"]
    if name in ("gptj", "mamba", "mamba2", "falcon"):
        del fields["head_dim"]
    if name == "gptj":
        fields["rotary_dim"] = 4
    if name == "mamba2":
        fields["head_dim"] = 8
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **fields)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    return model


def texts(seed: int) -> list[str]:
    """Some that begin alike, for longer than a window; some that do not; all of different lengths."""
    drawn = random.Random(seed)

    def letters(number: int) -> str:
        return "".join(drawn.choice(ALPHABET[:26]) for _ in range(number))

    shared = letters(24)
    return [shared + letters(length) for length in (1, 3, 8, 2)] + [letters(length) for length in (2, 9, 17)]


def one_at_a_time(model: PreTrainedModel, prompt: list[int], number: int) -> tuple[list[int], float]:
    """What the plainest calls give, and how near two tokens came."""
    tokens, nearest = list(prompt), 9.0
    with torch.inference_mode():
        for _ in range(number):
            logits = model(input_ids=torch.tensor([tokens])).logits[0, -1].float()
            first, second = logits.topk(2).values.tolist()
            nearest = min(nearest, first - second)
            tokens.append(int(logits.argmax()))
    return tokens[len(prompt) :], nearest


@pytest.mark.parametrize("name", [*SAFE, *DOUBTFUL])
def test_every_decoder_gives_what_one_text_at_a_time_gives(name, monkeypatch):
    monkeypatch.setattr(shared_prefix, "TOKENS_PER_PASS", 4)  # so that short beginnings are shared
    model, tokenizer, prompts = build(name), build_tokenizer(), texts(7)
    assert is_known(model) == (name in SAFE)
    model.generation_config.eos_token_id = None
    model.config.get_text_config().eos_token_id = None
    expected = [one_at_a_time(model, tokenizer.encode(prompt), 4) for prompt in prompts]
    clear = [row for row, (_, nearest) in enumerate(expected) if nearest > 1e-3]
    assert len(clear) >= len(prompts) - 1
    options = {"max_new_tokens": 4, "progress": False}
    plain = answer_questions(model, tokenizer, prompts, end_token="\n", **options)
    scored = answer_with_confidence(
        model, tokenizer, prompts, end_token="\n", num_samples=2, num_beams=2, **options
    )
    shared = complete_prompts(model, tokenizer, prompts, Decoding(), **options)
    whole = complete_prompts(model, tokenizer, prompts, Decoding(), share_prefix=False, **options)
    for row in clear:
        text = tokenizer.decode(expected[row][0], skip_special_tokens=True).partition("\n")[0].strip()
        found = [plain[row].text, scored[row].answer.text, shared[row].text, whole[row].text]
        assert found == [text] * 4
    endings = [tokenizer.decode(tokens) for tokens, _ in expected]
    rows = [row for row in clear if tokenizer.encode(endings[row]) == expected[row][0]]
    continued = score_continuations(model, tokenizer, [prompts[r] for r in rows], [endings[r] for r in rows])
    assert rows and all(score.greedy for score in continued)


@pytest.mark.parametrize("name", NEVER_PADDED)
def test_what_changes_answers_is_said_in_one_line_and_only_once(name, caplog):
    model, tokenizer = build(name), build_tokenizer()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            answer_questions(model, tokenizer, texts(7), max_new_tokens=3, progress=False, end_token="\n")
    lines = [record.getMessage() for record in caplog.records if "is decoded slowly" in record.getMessage()]
    assert len(lines) == 1 and "\n" not in lines[0]
    assert type(model).__name__ in lines[0]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_model_that_is_known_is_not_tried(name, monkeypatch):
    model = build(name)
    monkeypatch.setattr(model, "forward", lambda *_, **__: pytest.fail("a pass that is not needed"))
    monkeypatch.setattr("closedbook.evaluation.answering.abilities.structure", lambda _: ALL)
    assert abilities(model, [[2, 3, 4]], [3], 0) == ALL


ALL = Abilities(caches=True, shares=True, pads_between=True, pads_before=True)


def test_longer_prompts_than_were_tried_are_tried_again(monkeypatch):
    model = build("codegen")
    passes = []
    monkeypatch.setattr("closedbook.evaluation.answering.abilities.structure", lambda _: ALL)
    model.register_forward_pre_hook(lambda *_: passes.append(1))
    counts = []
    for length in (10, 8, 10, 30, 30):
        abilities(model, [list(range(2, 2 + length)), [5, 6]], [4], 0)
        counts.append(len(passes))
    assert counts[0] == counts[1] == counts[2] < counts[3] == counts[4]


def test_a_model_that_ignores_its_mask_is_given_no_padding_although_it_is_an_ordinary_one():
    """Of a type that is known, but its code is not: somebody's class of the same name."""
    known = build("llama")

    class Mine(type(known)):
        def forward(self, input_ids=None, attention_mask=None, **options):
            return super().forward(input_ids=input_ids, **options)

    torch.manual_seed(0)
    model = Mine(known.config).eval()
    assert structure(model).pads_before and not is_known(model)
    found = abilities(model, [[2, 3, 4, 5, 6, 7, 8, 9], [3, 4]], [4], 0)
    assert not found.pads_before and found.together


def test_a_window_that_an_ordinary_configuration_should_not_have_is_noticed():
    """The library's cache takes it for one, the model does not: what was read would be forgotten."""
    torch.manual_seed(0)
    fields = {key: value for key, value in SIZES.items() if key != "head_dim"}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **fields)).eval()
    assert not is_known(model)
    prompts, tokenizer = texts(7), build_tokenizer()
    found = complete_prompts(model, tokenizer, prompts, Decoding(), max_new_tokens=4, progress=False)
    for prompt, completion in zip(prompts, found, strict=True):
        expected, nearest = one_at_a_time(model, tokenizer.encode(prompt), 4)
        ended = expected[: expected.index(1) + 1] if 1 in expected else expected
        if nearest > 1e-3:
            assert completion.text == tokenizer.decode(ended, skip_special_tokens=True).partition("\n")[0].strip()
