"""Confidences follow from exact probabilities, and depend on the question and the seed alone."""

import dataclasses
import functools
import json
import math
import random

import numpy as np
import pytest
import scipy
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import logsumexp
from tokenizers import Tokenizer, decoders, models
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

from closedbook.evaluation.answering.batches import prompt_batches, ready_for_decoding
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.confidence import (
    CONFIDENCES,
    Candidate,
    ScoredAnswer,
    agreement,
    answer_with_confidence,
    concord,
    margin,
    merge_candidates,
)
from closedbook.evaluation.answering.decoding import decode
from closedbook.evaluation.metrics.answer_match.answer_match import normalize
from closedbook.evaluation.predictions import read_predictions, write_predictions
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM

PAD, MASK = "□", "⁇"
ALPHABET = "abAB .\n"
QUESTIONS = ["abba", "B", "a.b AB", "", "bb a", "AbaBaB", "BBB", "a b"]
SIZES = {
    "vocab_size": len(ALPHABET) + 2,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
    "initializer_range": 0.35,  # large, so that random weights give varied answers, some of which end
}
OPTIONS = {"max_new_tokens": 8, "progress": False}


def build_tokenizer(**special_tokens: str) -> PreTrainedTokenizerFast:
    vocabulary = {character: i for i, character in enumerate([PAD, MASK, *ALPHABET])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special_tokens)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(pad_token=PAD, mask_token=MASK)


def build_model(name: str) -> PreTrainedModel:
    torch.manual_seed(5)
    if name == "gpt2":
        return GPT2LMHeadModel(GPT2Config(bos_token_id=None, eos_token_id=None, **SIZES)).eval()
    if name == "vanilla":
        return VanillaGPTForCausalLM(VanillaGPTConfig(**SIZES)).eval()
    if name == "linformer":
        config = VanillaGPTConfig(attention="linformer", attention_block_size=4, num_landmarks=3, **SIZES)
        return VanillaGPTForCausalLM(config).eval()
    config = PerceiverGPTConfig(num_latents=8, latent_layout=name.removeprefix("perceiver-"), **SIZES)
    return PerceiverGPTForCausalLM(config).eval()


MODELS = ("gpt2", "vanilla", "linformer", "perceiver-spread", "perceiver-prefix", "perceiver-last")


@pytest.fixture(scope="module", params=MODELS)
def model(request) -> PreTrainedModel:
    return build_model(request.param)


@pytest.fixture(scope="module")
def vanilla() -> PreTrainedModel:
    return build_model("vanilla")


def test_the_models_under_test_give_complete_and_incomplete_answers(vanilla, tokenizer):
    for other in (vanilla, build_model("gpt2")):
        assert {answer.complete for answer in answer_questions(other, tokenizer, QUESTIONS, **OPTIONS)} == {
            True,
            False,
        }


def decode_questions(model, tokenizer, num_samples=5, num_beams=3, use_cache=True):
    """Everything that is decoded for `QUESTIONS`, with their batches."""
    (end,), batches = prompt_batches(model, tokenizer, QUESTIONS, 4, 8, None)
    generator = np.random.default_rng(0)
    with ready_for_decoding(model):
        for batch in batches:
            shape = (len(batch.rows), batch.budget, num_samples)
            uniforms = torch.from_numpy(generator.random(shape))
            yield end, batch, decode(model, batch, [end], uniforms, num_beams, use_cache)


def assert_same(left: list[ScoredAnswer], right: list[ScoredAnswer]) -> None:
    for a, b in zip(left, right, strict=True):
        assert (a.answer.text, a.answer.complete, a.samples) == (b.answer.text, b.answer.complete, b.samples)
        assert [c.text for c in a.candidates] == [c.text for c in b.candidates]
        for name in CONFIDENCES:
            # sums in float32 over padding of another width
            assert a.confidences[name] == pytest.approx(b.confidences[name], abs=1e-4)


def test_the_greedy_answers_are_those_of_answer_questions(model, tokenizer):
    plain = answer_questions(model, tokenizer, QUESTIONS, **OPTIONS)
    scored = answer_with_confidence(model, tokenizer, QUESTIONS, **OPTIONS)
    for expected, found in zip(plain, scored, strict=True):
        assert (found.answer.text, found.answer.complete) == (expected.text, expected.complete)
        assert found.answer.log_probability == pytest.approx(expected.log_probability, abs=1e-4)
        assert found.confidences["sequence_probability"] == found.answer.confidence


@pytest.mark.parametrize("num_beams", [1, 2, 4])
def test_beams_are_those_of_generate_without_a_length_penalty(model, tokenizer, num_beams):
    for end, batch, decoded in decode_questions(model, tokenizer, num_beams=num_beams):
        for row, found in enumerate(decoded):
            prompt = batch.input_ids[row][batch.attention_mask[row].bool()].unsqueeze(0)
            if num_beams == 1:  # for which generate would look at one child a step
                assert found.beams[0].tokens == found.greedy.tokens
                continue
            output = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=batch.budget,
                num_beams=num_beams,
                num_return_sequences=num_beams,
                length_penalty=0.0,
                do_sample=False,
                eos_token_id=end,
                pad_token_id=0,
                return_dict_in_generate=True,
                output_scores=True,
            )
            expected = []
            for ids in output.sequences[:, prompt.shape[1] :].tolist():
                expected.append(tuple(ids[: ids.index(end) + 1]) if end in ids else tuple(ids))
            assert [hypothesis.tokens for hypothesis in found.beams] == expected
            scores = [hypothesis.log_probability for hypothesis in found.beams]
            assert scores == pytest.approx(output.sequences_scores.tolist(), abs=1e-4)


@pytest.mark.parametrize("use_cache", [True, False])
def test_every_log_probability_is_that_of_a_full_uncached_pass(model, tokenizer, use_cache):
    for end, batch, decoded in decode_questions(model, tokenizer, use_cache=use_cache):
        for row, found in enumerate(decoded):
            prompt = batch.input_ids[row][batch.attention_mask[row].bool()].tolist()
            for hypothesis in {found.greedy, *found.samples, *found.beams}:
                text = [*prompt, *hypothesis.tokens]
                with torch.no_grad():
                    scores = model(torch.tensor([text]), use_cache=False).logits[0].double().log_softmax(-1)
                expected = math.fsum(float(scores[i - 1, text[i]]) for i in range(len(prompt), len(text)))
                assert hypothesis.log_probability == pytest.approx(expected, abs=1e-4)
                assert end not in hypothesis.tokens[:-1]
                assert hypothesis.complete == (hypothesis.tokens[-1] == end)
                assert hypothesis.complete or len(hypothesis.tokens) == batch.budget


@pytest.mark.parametrize("num_beams", [4, 12])  # the vocabulary has 9 tokens
def test_beams_are_as_many_as_asked_for_distinct_and_the_best_first(vanilla, tokenizer, num_beams):
    for _, _, decoded in decode_questions(vanilla, tokenizer, num_beams=num_beams):
        for found in decoded:
            scores = [hypothesis.log_probability for hypothesis in found.beams]
            assert len(set(found.beams)) == num_beams
            assert scores == sorted(scores, reverse=True)
            assert sum(map(math.exp, scores)) <= 1 + 1e-6


def test_samples_come_as_often_as_their_probability_says(vanilla, tokenizer):
    (scored,) = answer_with_confidence(
        vanilla, tokenizer, ["ab"], num_samples=4000, max_new_tokens=2, progress=False
    )
    probabilities: dict[str, float] = {}
    prompt = tokenizer.encode("ab" + MASK)
    with torch.no_grad():
        first = vanilla(torch.tensor([prompt]), use_cache=False).logits[0, -1].double().softmax(-1)
        for i, p in enumerate(first.tolist()):
            second = vanilla(torch.tensor([[*prompt, i]]), use_cache=False).logits[0, -1].double().softmax(-1)
            for j, q in enumerate(second.tolist()):
                ids = [] if i == 1 else [i] if j == 1 else [i, j]
                text = tokenizer.decode(ids)
                probabilities[text] = probabilities.get(text, 0.0) + p * q
    likely = [text for text, p in probabilities.items() if p * 4000 >= 5]  # the test's usual condition
    observed = [scored.samples.count(text) for text in likely]
    expected = [4000 * probabilities[text] for text in likely]
    rest = 4000 - sum(observed), 4000 - sum(expected)
    assert stats.chisquare([*observed, rest[0]], [*expected, rest[1]]).pvalue > 0.001
    wanted = normalize(scored.answer.text)
    share = sum(p for text, p in probabilities.items() if normalize(text) == wanted)
    assert scored.confidences["agreement"] == pytest.approx(share, abs=0.04)  # 5 standard errors


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_neither_batch_nor_order_nor_other_questions_matter(model, tokenizer, batch_size):
    expected = answer_with_confidence(model, tokenizer, QUESTIONS, batch_size=4, **OPTIONS)
    order = random.Random(1).sample(range(len(QUESTIONS)), 5)
    asked = [QUESTIONS[i] for i in order]
    found = answer_with_confidence(model, tokenizer, asked, batch_size=batch_size, **OPTIONS)
    assert_same(found, [expected[i] for i in order])


def test_a_cache_changes_nothing_but_speed(model, tokenizer):
    cached = answer_with_confidence(model, tokenizer, QUESTIONS, **OPTIONS)
    assert_same(cached, answer_with_confidence(model, tokenizer, QUESTIONS, use_cache=False, **OPTIONS))


def test_the_seed_decides_on_the_samples_and_on_nothing_else(vanilla, tokenizer):
    first, again, other = (
        answer_with_confidence(vanilla, tokenizer, QUESTIONS, seed=seed, **OPTIONS) for seed in (0, 0, 1)
    )
    assert first == again
    assert [scored.samples for scored in first] != [scored.samples for scored in other]
    for name in ("sequence_probability", "length_normalised", "margin"):
        assert [s.confidences[name] for s in first] == pytest.approx(
            [s.confidences[name] for s in other], abs=1e-5
        )


def test_the_same_question_asked_twice_gets_the_same_samples(vanilla, tokenizer):
    one, two = answer_with_confidence(vanilla, tokenizer, ["abba", "abba"], **OPTIONS)
    assert one.samples == two.samples


def test_no_generator_of_the_process_is_touched(vanilla, tokenizer):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    answer_with_confidence(vanilla, tokenizer, QUESTIONS, **OPTIONS)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


def test_more_room_keeps_the_beginnings_of_samples(vanilla, tokenizer):
    short = answer_with_confidence(vanilla, tokenizer, QUESTIONS, max_new_tokens=3, progress=False)
    long = answer_with_confidence(vanilla, tokenizer, QUESTIONS, max_new_tokens=9, progress=False)
    for cut, whole in zip(short, long, strict=True):
        assert all(b.startswith(a) for a, b in zip(cut.samples, whole.samples, strict=True))


def test_the_confidences_are_what_their_names_say(vanilla, tokenizer):
    for scored in answer_with_confidence(vanilla, tokenizer, QUESTIONS, num_samples=6, **OPTIONS):
        named, answer = scored.confidences, scored.answer
        assert tuple(named) == CONFIDENCES
        assert all(0 <= value <= 1 for value in named.values())
        num_tokens = len(answer.text) + answer.complete  # one character, one token
        assert named["length_normalised"] ** num_tokens == pytest.approx(named["sequence_probability"])
        assert named["agreement"] * 6 == sum(normalize(s) == normalize(answer.text) for s in scored.samples)
        assert named["margin"] == margin(answer.text, scored.candidates)
        assert normalize(answer.text) in {normalize(candidate.text) for candidate in scored.candidates}
        assert len({normalize(candidate.text) for candidate in scored.candidates}) == len(scored.candidates)


TEXTS = st.lists(
    st.tuples(st.sampled_from(["Paris", "paris.", "the Paris", "Rome", "rome", "Oslo"]), st.floats(-60, -2)),
    min_size=1,
    max_size=12,
)


@given(TEXTS, st.randoms())
def test_probabilities_of_wordings_add_up_whatever_their_order(texts, shuffler):
    merged = merge_candidates(texts)
    for candidate in merged:
        group = [score for text, score in texts if normalize(text) == normalize(candidate.text)]
        assert candidate.log_probability == pytest.approx(min(0.0, logsumexp(group)))
        assert (candidate.text, max(group)) in texts
    shuffled = texts.copy()
    shuffler.shuffle(shuffled)
    for one, other in zip(merged, merge_candidates(shuffled), strict=True):
        assert one.text == other.text
        assert one.log_probability == pytest.approx(other.log_probability)


def test_the_margin_is_over_the_next_distinct_answer_and_never_negative():
    candidates = merge_candidates([("Paris", math.log(0.3)), ("paris", math.log(0.2)), ("Rome", math.log(0.4))])
    assert [candidate.text for candidate in candidates] == ["Paris", "Rome"]
    assert margin("the paris", candidates) == pytest.approx(0.1)
    assert margin("Rome", candidates) == 0
    assert margin("Oslo", (Candidate("Oslo", math.log(0.7)),)) == pytest.approx(0.7)


def test_samples_agree_in_any_spelling():
    assert agreement("The Hague", ("the hague", "Hague.", "Paris", "The  Hague")) == 0.75


def test_a_model_without_mask_token_is_asked_with_prompts_and_an_end_token(vanilla):
    tokenizer = build_tokenizer()
    prompts = ["ab A.", "ba B. a"]
    scored = answer_with_confidence(vanilla, tokenizer, prompts, end_token="\n", **OPTIONS)
    plain = answer_questions(vanilla, tokenizer, prompts, end_token="\n", **OPTIONS)
    assert [s.answer.text for s in scored] == [answer.text for answer in plain]
    for prompt, answer in zip(prompts, plain, strict=True):
        with torch.no_grad():
            first = vanilla(torch.tensor([tokenizer.encode(prompt)]), use_cache=False).logits[0, -1].argmax()
        written = tokenizer.decode([int(first)])
        assert answer.text == answer.text.strip()
        assert "\n" not in answer.text and (not written.strip() or answer.text.startswith(written))
    with pytest.raises(ValueError, match="has to be one token: the tokenizer makes 2 of it"):
        answer_with_confidence(vanilla, tokenizer, prompts, end_token=". ")
    with pytest.raises(ValueError, match="pass the end_token"):
        answer_with_confidence(vanilla, tokenizer, prompts)


@pytest.mark.parametrize("options", [{"num_samples": 0}, {"num_beams": 0}, {"batch_size": 0}])
def test_numbers_below_one_are_refused(vanilla, tokenizer, options):
    with pytest.raises(ValueError, match="must be at least 1"):
        answer_with_confidence(vanilla, tokenizer, QUESTIONS, **options)


def test_a_model_that_keeps_no_cache_is_refused_with_the_way_out(vanilla, tokenizer, monkeypatch):
    forward = type(vanilla).forward

    @functools.wraps(forward)  # it says that it takes a cache
    def without_cache(self, *args, **kwargs):
        return dataclasses.replace(forward(self, *args, **kwargs), past_key_values=None)

    monkeypatch.setattr(type(vanilla), "forward", without_cache)
    for ask in (answer_questions, answer_with_confidence):
        with pytest.raises(ValueError, match="use_cache=False"):
            ask(vanilla, tokenizer, QUESTIONS, **OPTIONS)


def test_a_model_that_takes_no_cache_reads_the_whole_text_at_every_step(vanilla, tokenizer, monkeypatch):
    forward = type(vanilla).forward
    expected = answer_with_confidence(vanilla, tokenizer, QUESTIONS, **OPTIONS)

    def uncached(self, input_ids=None, attention_mask=None, position_ids=None, use_cache=None):
        assert not use_cache
        return forward(
            self, input_ids=input_ids, attention_mask=attention_mask, position_ids=position_ids, use_cache=False
        )

    monkeypatch.setattr(type(vanilla), "forward", uncached)
    assert_same(answer_with_confidence(vanilla, tokenizer, QUESTIONS, **OPTIONS), expected)
    plain = answer_questions(vanilla, tokenizer, QUESTIONS, **OPTIONS)
    assert [answer.text for answer in plain] == [scored.answer.text for scored in expected]


def test_no_questions_give_no_answers(vanilla, tokenizer):
    assert answer_with_confidence(vanilla, tokenizer, [], **OPTIONS) == []


def test_scored_answers_are_written_with_confidences_and_candidates(vanilla, tokenizer, tmp_path):
    scored = answer_with_confidence(vanilla, tokenizer, QUESTIONS[:3], **OPTIONS)
    questions = Dataset.from_list([{"question": q, "answers": ["a"], "entity": q} for q in QUESTIONS[:3]])
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, questions, scored)
    for row, expected in zip(read_predictions(path), scored, strict=True):
        assert row["prediction"] == expected.answer.text
        assert row["confidence"] == row["confidences"]["sequence_probability"] == expected.answer.confidence
        assert row["confidences"] == expected.confidences
        assert [Candidate(**candidate) for candidate in row["candidates"]] == list(expected.candidates)
    write_predictions(path, questions, [s.answer for s in scored])
    assert "confidences" not in json.loads(path.read_text(encoding="utf-8").splitlines()[0])


def test_the_token_entropy_is_that_of_the_choices_of_the_greedy_answer(vanilla, tokenizer):
    for question, scored in zip(
        QUESTIONS, answer_with_confidence(vanilla, tokenizer, QUESTIONS, **OPTIONS), strict=True
    ):
        prompt = tokenizer.encode(question + tokenizer.mask_token)
        written = tokenizer.encode(scored.answer.text + (tokenizer.mask_token if scored.answer.complete else ""))
        with torch.no_grad():
            logits = vanilla(input_ids=torch.tensor([prompt + written]), use_cache=False).logits[0]
        choices = logits[len(prompt) - 1 : -1].double().softmax(-1)
        entropies = scipy.stats.entropy(choices.numpy(), axis=-1)
        assert scored.confidences["token_entropy"] == pytest.approx(np.exp(-entropies.mean()), abs=1e-5)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (("Rome",), 1.0),
        (("Rome", "rome.", "the Rome"), 1.0),
        (("Rome", "Oslo"), 0.0),
        (("Rome", "Rome", "Oslo", "Bonn"), 1 - scipy.stats.entropy([2, 1, 1]) / np.log(4)),
    ],
)
def test_samples_that_say_the_same_have_no_entropy(samples, expected):
    assert concord(samples) == pytest.approx(expected)
    assert concord(samples[::-1]) == pytest.approx(expected)
