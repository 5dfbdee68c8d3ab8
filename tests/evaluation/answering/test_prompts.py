"""Prompts decoded together give what one prompt at a time gives, read whole and without a cache."""

import hashlib
import math
import random
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from closedbook.evaluation.answering.abilities import Abilities, structure
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.decoding import Hypothesis
from closedbook.evaluation.answering.decoding_ways import METHODS, Decoding, plan_passes
from closedbook.evaluation.answering.prompts import complete_in_ways, complete_prompts, elect
from closedbook.evaluation.answering.shared_prefix import group_by_prefix
from closedbook.evaluation.answering.text_end import TextEnd
from closedbook.evaluation.metrics.answer_match.answer_match import normalize
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import build_char_tokenizer

ALPHABET = "abcAB .\n"
END_OF_TEXT = len(ALPHABET)
CONTEXT = 32
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": len(ALPHABET) + 1,
    "initializer_range": 0.35,  # large, so that random weights give varied answers, some of which end
}
STOCK = {**SIZES, "bos_token_id": None, "eos_token_id": END_OF_TEXT, "pad_token_id": None}
LLAMA = {**STOCK, "intermediate_size": 48, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT}
OWN = {**SIZES, "num_hidden_layers": 3, "max_position_embeddings": CONTEXT, "eos_token_id": None}
BLOCKS = {"attention_block_size": 4, "num_landmarks": 3}
LATENTS = {"attention_block_size": 2, "num_landmarks": 3, "num_window_blocks": 1, "num_latents": 8}
PADS = Abilities(caches=True, shares=True, pads_between=True, pads_before=True)
SAME_LENGTHS = Abilities(caches=True, shares=True, pads_between=False, pads_before=True)

# what makes the model, what its cache can take
MODELS = {
    "llama": (lambda: LlamaForCausalLM(LlamaConfig(**LLAMA)), PADS),
    "gpt2": (lambda: GPT2LMHeadModel(GPT2Config(**STOCK, n_positions=CONTEXT)), PADS),
    "mistral-window": (lambda: MistralForCausalLM(MistralConfig(**LLAMA, sliding_window=6)), SAME_LENGTHS),
    "bloom": (lambda: BloomForCausalLM(BloomConfig(**STOCK)), SAME_LENGTHS),
    "mamba": (
        lambda: MambaForCausalLM(MambaConfig(**STOCK)),
        Abilities(caches=False, shares=False, pads_between=False, pads_before=False),
    ),
    "vanilla": (lambda: VanillaGPTForCausalLM(VanillaGPTConfig(**OWN)), PADS),
    "rotary": (lambda: VanillaGPTForCausalLM(VanillaGPTConfig(**OWN, position="rotary")), PADS),
    **{
        attention: (
            lambda attention=attention: VanillaGPTForCausalLM(
                VanillaGPTConfig(**OWN, **BLOCKS, attention=attention)
            ),
            PADS,
        )
        for attention in ("linformer", "synthesizer_dense", "synthesizer_random", "bigbird")
    },
    **{
        f"perceiver-{layout}": (
            lambda layout=layout: PerceiverGPTForCausalLM(
                PerceiverGPTConfig(**OWN, **LATENTS, latent_layout=layout)
            ),
            PADS,
        )
        for layout in ("spread", "prefix", "last")
    },
    "perceiver-linformer": (
        lambda: PerceiverGPTForCausalLM(PerceiverGPTConfig(**OWN, **LATENTS, attention="linformer")),
        PADS,
    ),
}
SHARED = "ab.\nB A ca\nabb "  # 15 tokens
PROMPTS = [SHARED + rest for rest in ("a", "bb", "", "Bab", "cab B", "a")]
UNLIKE = ["B a.", SHARED[:9]]
DECODINGS = {
    "greedy": Decoding(),
    "beam": Decoding("beam", 3),
    "sample": Decoding("sample", temperature=1.3, top_p=0.9),
    "self_consistency": Decoding("self_consistency", 4, temperature=0.8),
}
OPTIONS = {"max_new_tokens": 6, "progress": False}


@cache
def build_tokenizer() -> PreTrainedTokenizerFast:
    """One character, one token; neither pad nor end of text of its own; a space before every text."""
    vocabulary = {character: number for number, character in enumerate(ALPHABET)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@cache
def build_model(name: str) -> PreTrainedModel:
    torch.manual_seed(3)
    return MODELS[name][0]().eval()


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@pytest.fixture
def llama() -> PreTrainedModel:
    return build_model("llama")


class OnePromptAtATime:
    """The reference: every step reads the whole text, no padding, no cache; choices in plain Python."""

    def __init__(self, model, end: str = "\n", max_new_tokens: int = 6):
        self.model, self.end, self.max_new_tokens = model, end, max_new_tokens
        self.read: dict[str, np.ndarray] = {}

    def log_probabilities(self, text: list[int]) -> np.ndarray:
        key = str(text)
        if key not in self.read:
            with torch.no_grad():
                logits = self.model(torch.tensor([text]), use_cache=False).logits[0, -1].double()
            self.read[key] = (logits - logits.logsumexp(0)).numpy()
        return self.read[key]

    def text(self, new: list[int]) -> str:
        return "".join(ALPHABET[token] for token in new if token != END_OF_TEXT)

    def is_over(self, new: list[int]) -> bool:
        own_mark = new[-1] == END_OF_TEXT and self.model.config.eos_token_id == END_OF_TEXT
        return own_mark or self.end in self.text(new)

    def room(self, prompt: list[int]) -> int:
        limit = getattr(self.model.config, "max_position_embeddings", None)
        return self.max_new_tokens if limit is None else min(self.max_new_tokens, limit - len(prompt))

    def chain(self, prompt: list[int], choose) -> tuple[list[int], float]:
        new, score = [], 0.0
        while not (new and self.is_over(new)) and len(new) < self.room(prompt):
            scores = self.log_probabilities(prompt + new)
            new.append(choose(len(new), scores))
            score += scores[new[-1]]
        return new, score

    def sample(self, prompt: list[int], text: str, number: int, decoding: Decoding, seed: int):
        digest = int(hashlib.sha256(f"{seed}\n{text}".encode()).hexdigest(), 16)
        numbers = np.random.default_rng([digest, number]).random(self.room(prompt))

        def choose(step, scores):
            weights = np.exp(scores / decoding.temperature)
            weights /= weights.sum()
            kept, mass = set(), 0.0
            for token in sorted(range(len(weights)), key=lambda token: -weights[token]):
                if mass < decoding.top_p:
                    kept.add(token)
                mass += weights[token]
            weights[[token for token in range(len(weights)) if token not in kept]] = 0
            return int((weights.cumsum() / weights.sum() > numbers[step]).argmax())

        return self.chain(prompt, choose)

    def beams(self, prompt: list[int], num_beams: int) -> tuple[list[tuple[list[int], float]], int]:
        alive, finished, written = [([], 0.0)], [], 0
        for step in range(self.room(prompt)):
            children = sorted(
                (
                    ([*new, token], score + value)
                    for new, score in alive
                    for token, value in enumerate(self.log_probabilities(prompt + new))
                ),
                key=lambda child: -child[1],
            )
            last = step == self.room(prompt) - 1
            ended = [child for child in children[:num_beams] if last or self.is_over(child[0])]
            finished = sorted(finished + ended, key=lambda child: -child[1])[:num_beams]
            worst = finished[-1][1] if len(finished) == num_beams else -math.inf
            going_on = [child for child in children if not self.is_over(child[0])][:num_beams]
            alive = [] if last else [child for child in going_on if child[1] > worst]
            written += min(num_beams, len(ended) + len(alive))
            if not alive:
                break
        return finished, written

    def complete(self, prompt: str, decoding: Decoding, seed: int = 0) -> tuple:
        """Text, completeness, log-probability, tokens written, candidates."""
        ids = [ALPHABET.index(character) for character in prompt]
        if decoding.method == "greedy":
            found = [self.chain(ids, lambda step, scores: int(scores.argmax()))]
        elif decoding.method == "beam":
            found, written = self.beams(ids, decoding.num_sequences)
        else:
            found = [self.sample(ids, prompt, s, decoding, seed) for s in range(decoding.num_sequences)]
        texts = [self.text(new).split(self.end)[0].strip() for new, _ in found]
        if decoding.method == "self_consistency":
            votes = [normalize(text) for text in texts]
            best = None
            for vote in dict.fromkeys(filter(None, votes)):
                group = [i for i in range(len(found)) if votes[i] == vote]
                mass = sum(math.exp(score) for _, score in {tuple(found[i][0]): found[i] for i in group}.values())
                if best is None or (len(group), mass) > best[:2]:
                    best = len(group), mass, group
            place = max(best[2] if best else range(len(found)), key=lambda i: found[i][1])
        else:
            place = next((i for i, (new, _) in enumerate(found) if self.is_over(new)), 0)
        if decoding.method != "beam":
            written = sum(len(new) for new, _ in found)
        new, score = found[place]
        return texts[place], self.is_over(new), score, written, tuple(texts)


def assert_expected(found, expected) -> None:
    assert len(found) == len(expected)
    for completion, (text, complete, score, written, candidates) in zip(found, expected, strict=True):
        assert (completion.text, completion.complete, completion.new_tokens) == (text, complete, written)
        assert completion.candidates == candidates
        # float32 sums of at most 32 steps of a few layers, in another order: far below 1e-4
        assert completion.log_probability == pytest.approx(score, abs=1e-4)


def assert_same(left, right) -> None:
    assert_expected(left, [(c.text, c.complete, c.log_probability, c.new_tokens, c.candidates) for c in right])


@cache
def reference_of(name: str, end: str = "\n") -> OnePromptAtATime:
    return OnePromptAtATime(build_model(name), end)


def expected_of(name: str, prompts: list[str], decoding: Decoding, end: str = "\n") -> list[tuple]:
    return [reference_of(name, end).complete(prompt, decoding) for prompt in prompts]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_every_model_completes_as_one_prompt_at_a_time_without_a_cache(name, method, tokenizer):
    prompts = PROMPTS + UNLIKE
    found = complete_prompts(build_model(name), tokenizer, prompts, DECODINGS[method], **OPTIONS)
    assert_expected(found, expected_of(name, prompts, DECODINGS[method]))


@pytest.mark.parametrize("name", ["llama", "gpt2", "perceiver-spread"])
@pytest.mark.parametrize("method", ["sample", "self_consistency"])
def test_samples_are_those_drawn_one_prompt_at_a_time(name, method, tokenizer):
    prompts = PROMPTS + UNLIKE
    found = complete_prompts(build_model(name), tokenizer, prompts, DECODINGS[method], **OPTIONS)
    assert_expected(found, expected_of(name, prompts, DECODINGS[method]))


def test_the_prompts_under_test_share_a_prefix_and_give_complete_and_incomplete_texts(llama, tokenizer):
    groups = group_by_prefix(tokenizer(PROMPTS)["input_ids"])
    assert [group.shared for group in groups] == [len(SHARED) - 1]  # one prompt is no longer than that
    found = complete_prompts(llama, tokenizer, PROMPTS, Decoding(), max_new_tokens=3, progress=False)
    assert {completion.complete for completion in found} == {True, False}
    assert any(completion.text for completion in found)


@pytest.mark.parametrize("name", MODELS)
def test_what_a_cache_can_take_is_told_by_the_models_properties(name):
    assert structure(build_model(name)) == MODELS[name][1]


@pytest.mark.parametrize("name", ["llama", "bloom", "perceiver-spread"])
@pytest.mark.parametrize("method", METHODS)
def test_sharing_and_batches_change_nothing_but_speed(name, method, tokenizer):
    model, decoding = build_model(name), DECODINGS[method]
    expected = complete_prompts(model, tokenizer, PROMPTS, decoding, share_prefix=False, **OPTIONS)
    for tokens_per_batch in (1, 100, 8192):
        found = complete_prompts(model, tokenizer, PROMPTS, decoding, tokens_per_batch=tokens_per_batch, **OPTIONS)
        assert_same(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_neither_order_nor_other_prompts_matter(llama, tokenizer, method):
    prompts = PROMPTS + UNLIKE
    expected = complete_prompts(llama, tokenizer, prompts, DECODINGS[method], **OPTIONS)
    order = random.Random(1).sample(range(len(prompts)), 5)
    found = complete_prompts(llama, tokenizer, [prompts[i] for i in order], DECODINGS[method], **OPTIONS)
    assert_same(found, [expected[i] for i in order])


@pytest.mark.parametrize("end", ["b", " .", "AbA", "A\nB"])
@pytest.mark.parametrize("method", ["greedy", "beam", "self_consistency"])
def test_an_end_of_several_tokens_is_found_wherever_it_is_complete(tokenizer, end, method):
    found = complete_prompts(build_model("llama"), tokenizer, PROMPTS, DECODINGS[method], end=end, **OPTIONS)
    assert_expected(found, expected_of("llama", PROMPTS, DECODINGS[method], end))
    assert not any(end in text for completion in found for text in completion.candidates)


@cache
def pairs_model() -> LlamaForCausalLM:
    """It has three tokens more than its tokenizer, of which the second one ends a text."""
    return LlamaForCausalLM(LlamaConfig(**{**LLAMA, "vocab_size": 20, "eos_token_id": [18]}))


@cache
def pairs_tokenizer() -> PreTrainedTokenizerFast:
    """Characters, and every pair of the letters a and b and the line break as a token of its own."""
    pairs = [a + b for a in "ab\n" for b in "ab\n"]
    vocabulary = {piece: number for number, piece in enumerate([*ALPHABET, *pairs])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in pairs]))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@given(st.lists(st.integers(0, 16), max_size=6), st.text(alphabet="ab\n", min_size=1, max_size=4))
def test_the_tokens_that_end_a_text_are_those_after_which_it_holds_the_end(prefix, end):
    model, tokenizer = pairs_model(), pairs_tokenizer()
    ending = TextEnd(model, tokenizer, end)(torch.tensor([prefix], dtype=torch.long)).expand(1, -1)[0].tolist()
    if end in tokenizer.decode(prefix):
        return  # decoding went no further
    assert ending == [token == 18 or end in tokenizer.decode([*prefix, token]) for token in range(20)]


def test_one_sample_is_the_first_of_several_and_more_room_keeps_its_beginning(llama, tokenizer):
    options = {"temperature": 1.5}
    several = complete_prompts(llama, tokenizer, PROMPTS, Decoding("self_consistency", 3, **options), **OPTIONS)
    one = complete_prompts(llama, tokenizer, PROMPTS, Decoding("sample", **options), **OPTIONS)
    assert [c.text for c in one] == [c.candidates[0] for c in several]
    long = complete_prompts(
        llama, tokenizer, PROMPTS, Decoding("sample", **options), max_new_tokens=9, progress=False
    )
    assert all(b.text.startswith(a.text) for a, b in zip(one, long, strict=True))
    other = complete_prompts(llama, tokenizer, PROMPTS, Decoding("sample", **options), seed=1, **OPTIONS)
    assert [c.text for c in other] != [c.text for c in one]


def test_a_low_temperature_and_a_small_nucleus_are_greedy(llama, tokenizer):
    greedy = complete_prompts(llama, tokenizer, PROMPTS, Decoding(), **OPTIONS)
    for decoding in (Decoding("sample", temperature=1e-4), Decoding("sample", top_p=1e-6)):
        assert_same(complete_prompts(llama, tokenizer, PROMPTS, decoding, **OPTIONS), greedy)
    assert_same(complete_prompts(llama, tokenizer, PROMPTS, Decoding("beam", 1), **OPTIONS), greedy)


@pytest.mark.parametrize("method", ["beam", "self_consistency"])
def test_no_method_writes_more_than_its_budget(llama, tokenizer, method):
    found = complete_prompts(llama, tokenizer, PROMPTS, Decoding(method, 4), end="never", **OPTIONS)
    assert max(completion.new_tokens for completion in found) <= 4 * OPTIONS["max_new_tokens"]


def test_a_vote_may_be_on_a_part_of_the_text_and_may_be_withheld(llama, tokenizer):
    decoding = Decoding("self_consistency", 6, temperature=1.5)
    asked = []

    def vote_on(text):
        asked.append(text)
        return text[:1] if "b" in text else None

    for completion in complete_prompts(llama, tokenizer, PROMPTS, decoding, vote_on=vote_on, **OPTIONS):
        votes = [vote_on(text) for text in completion.candidates]
        if any(votes):
            given_votes = [vote for vote in votes if vote]
            assert given_votes.count(vote_on(completion.text)) == max(map(given_votes.count, given_votes))
    assert len(asked) > len(PROMPTS) * 6


def sampled(*tokens: int, probability: float) -> Hypothesis:
    return Hypothesis(tokens, math.log(probability), True)


def test_votes_are_counted_before_probabilities_which_settle_ties():
    samples = [
        sampled(1, probability=0.5),
        sampled(2, probability=0.1),
        sampled(3, probability=0.2),
        sampled(2, probability=0.1),
        sampled(4, probability=0.25),
    ]
    assert elect(samples, ["x", "y", "y", "y", "x"]) == 2  # three votes; its most probable sample
    assert elect(samples, ["x", "y", None, "y", "x"]) == 0  # 0.75 against 0.1, the same sample twice
    assert elect(samples, [None, "y", "z", "y", "z"]) == 4
    assert elect(samples, [None] * 5) == 0
    assert elect([sampled(1, probability=0.5), sampled(2, probability=0.5)], ["x", "y"]) == 0


def test_every_prompt_has_the_room_that_its_context_leaves(tokenizer):
    prompts = ["ab." * 10, "a" * 31, "b" * 20]
    for name in ("llama", "gpt2", "vanilla"):
        found = complete_prompts(build_model(name), tokenizer, prompts, Decoding(), end="never", **OPTIONS)
        reference = OnePromptAtATime(build_model(name), "never")
        assert_expected(found, [reference.complete(prompt, Decoding()) for prompt in prompts])
        assert found[1].new_tokens == 1
    with pytest.raises(ValueError, match=r"question 1 leaves no room.* 32 of the model's 32 positions"):
        complete_prompts(build_model("llama"), tokenizer, ["a", "a" * 32], Decoding(), **OPTIONS)


def test_logits_that_are_not_numbers_are_reported_with_question_and_step(tokenizer, monkeypatch):
    model = build_model("gpt2")
    broken = model.transformer.wpe.weight.clone()
    broken[17] = math.nan
    monkeypatch.setattr(model.transformer.wpe, "weight", torch.nn.Parameter(broken))
    # the prompt of 16 tokens writes its second token from position 16 on, its third from position 17 on
    with pytest.raises(ValueError, match=r"question 1: .*GPT2LMHeadModel.* new token 3.*weights.*float32"):
        complete_prompts(model, tokenizer, ["ab", "ab" * 8], Decoding(), end="never", **OPTIONS)


def test_model_and_generators_are_given_back_as_they_were(llama, tokenizer):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    config = llama.generation_config
    complete_prompts(llama, tokenizer, PROMPTS, DECODINGS["self_consistency"], **OPTIONS)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]
    assert llama.generation_config is config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "beams"}, "method must be one of greedy, beam, sample, self_consistency"),
        ({"num_sequences": 0}, "num_sequences must be at least 1"),
        ({"method": "sample", "num_sequences": 2}, "sample decoding writes one sequence"),
        ({"method": "sample", "temperature": 0.0}, "temperature must be above 0"),
        ({"method": "sample", "temperature": math.nan}, "temperature must be above 0"),
        ({"method": "sample", "top_p": 0.0}, "top_p must be above 0"),
        ({"method": "sample", "top_p": 1.1}, "top_p must be above 0"),
    ],
)
def test_a_decoding_that_means_nothing_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**values)


def test_prompts_and_options_that_mean_nothing_are_refused(llama, tokenizer):
    assert complete_prompts(llama, tokenizer, [], Decoding()) == []
    for prompts, options, message in [
        ("abc", {}, "pass a list of prompts"),
        (["a", ""], {}, "question 1 has an empty prompt"),
        (["a?"], {}, r"does not know the characters \['\?'\], first seen in question 0"),
        (["a"], {"end": ""}, "end is empty"),
        (["a"], {"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        (["a"], {"tokens_per_batch": 0}, "tokens_per_batch must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            complete_prompts(llama, tokenizer, prompts, Decoding(), **options)
    with pytest.raises(ValueError, match=r"question 1: the tokenizer gives token 1\d, but the model has 9"):
        complete_prompts(llama, pairs_tokenizer(), ["c", "c\n\n"], Decoding())


WAYS = [
    (Decoding("sample", temperature=0.8), 1),
    (Decoding(), 0),
    (Decoding("beam", 3), 0),
    (Decoding("self_consistency", 4, temperature=0.8), 0),
    (Decoding("self_consistency", 2, temperature=0.8), 1),
    (Decoding("beam", 2), 0),
    (Decoding("sample", temperature=1.3), 0),
]


@pytest.mark.parametrize("name", ["llama", "bloom", "linformer"])
def test_several_ways_at_once_give_what_each_gives_by_itself(name, tokenizer):
    model, prompts = build_model(name), PROMPTS + UNLIKE
    together = complete_in_ways(model, tokenizer, prompts, WAYS, **OPTIONS)
    assert len(together) == len(WAYS)
    for (decoding, seed), completions in zip(WAYS, together, strict=True):
        for completion, alone in zip(
            completions, complete_prompts(model, tokenizer, prompts, decoding, seed=seed, **OPTIONS), strict=True
        ):
            assert completion.log_probability == pytest.approx(alone.log_probability, abs=1e-4)
            assert (completion.text, completion.complete, completion.new_tokens, completion.candidates) == (
                alone.text,
                alone.complete,
                alone.new_tokens,
                alone.candidates,
            )


def test_ways_share_a_pass_unless_their_beams_or_draws_differ():
    passes = plan_passes(WAYS)
    assert [one.ways for one in passes] == [[0, 1, 2, 3, 4], [5, 6]]
    assert [one.num_sequences for one in passes] == [1 + 3 + 2 + 4, 2 + 1]
    assert passes[0].samples == {1: 2, 0: 4}


def test_no_ways_and_no_prompts_give_nothing(llama, tokenizer):
    assert complete_in_ways(llama, tokenizer, PROMPTS, [], **OPTIONS) == []
    assert complete_in_ways(llama, tokenizer, [], WAYS, **OPTIONS) == [[] for _ in WAYS]


def test_the_question_format_of_this_package_ends_with_its_mask_token():
    tokenizer = build_char_tokenizer([ALPHABET])
    torch.manual_seed(1)
    model = VanillaGPTForCausalLM(VanillaGPTConfig(**OWN | {"vocab_size": len(tokenizer)}))
    questions = ["abAB", "c", "ab ab a"]
    expected = answer_questions(model, tokenizer, questions, max_new_tokens=24, progress=False)
    assert len({answer.complete for answer in expected}) == 2
    completions = complete_prompts(
        model, tokenizer, [q + "⁇" for q in questions], Decoding(), end="⁇", max_new_tokens=24, progress=False
    )
    assert [(c.text, c.complete) for c in completions] == [(a.text.strip(), a.complete) for a in expected]
