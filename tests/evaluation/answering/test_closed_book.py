"""Answers depend on no batch, cache or saved setting, and their confidence is the model's probability."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

from closedbook.evaluation.answering.abilities import Abilities
from closedbook.evaluation.answering.batches import prompt_batches
from closedbook.evaluation.answering.closed_book import Answer, answer_questions
from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.answering.prompts import complete_prompts
from closedbook.modeling.configuration_gpt import PerceiverGPTConfig, VanillaGPTConfig
from closedbook.modeling.modeling_gpt import PerceiverGPTForCausalLM, VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import build_char_tokenizer

PAD, MASK = "□", "⁇"
ALPHABET = "abcdefgh ?é"
POSITIONS = 40
FEW = {"max_new_tokens": 4, "progress": False}
QUESTIONS = ["abc?", "h", "had a bad bed?", "a face", "éé?", "b" * 20, "", "feed cab", "ad?", "g g g"]


def build_tokenizer(**special_tokens: str) -> PreTrainedTokenizerFast:
    vocabulary = {character: i for i, character in enumerate([PAD, MASK, *ALPHABET])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special_tokens)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(pad_token=PAD, mask_token=MASK)


SIZES = {
    "vocab_size": len(ALPHABET) + 2,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.35,  # large, so that random weights give varied answers, some of which end
}


@pytest.fixture(scope="module", params=["gpt2", "vanilla", "perceiver"])
def model(request) -> PreTrainedModel:
    torch.manual_seed(11)
    if request.param == "gpt2":  # written by others: answering needs nothing that only our models have
        model = GPT2LMHeadModel(GPT2Config(bos_token_id=None, eos_token_id=None, **SIZES))
    elif request.param == "vanilla":
        model = VanillaGPTForCausalLM(VanillaGPTConfig(**SIZES))
    else:
        model = PerceiverGPTForCausalLM(PerceiverGPTConfig(num_latents=8, **SIZES))
    return model.eval()


def assert_same(left: list[Answer], right: list[Answer]) -> None:
    assert [(a.text, a.complete) for a in left] == [(a.text, a.complete) for a in right]
    for a, b in zip(left, right, strict=True):
        assert a.log_probability == pytest.approx(b.log_probability, abs=1e-4)


def test_the_models_under_test_give_complete_and_incomplete_answers(model, tokenizer):
    answers = answer_questions(model, tokenizer, QUESTIONS, progress=False)
    assert len({answer.text for answer in answers}) > len(QUESTIONS) // 2
    assert {answer.complete for answer in answers} == {True, False}


@pytest.mark.parametrize("batch_size", [2, 3, 64])
def test_answers_from_a_batch_equal_answers_one_at_a_time(model, tokenizer, batch_size):
    single = [answer_questions(model, tokenizer, [question], progress=False)[0] for question in QUESTIONS]
    assert_same(answer_questions(model, tokenizer, QUESTIONS, batch_size=batch_size, progress=False), single)


@settings(max_examples=15)
@given(
    questions=st.lists(st.text(ALPHABET, max_size=POSITIONS - 2), max_size=6),
    batch_size=st.integers(1, 6),
)
def test_batches_do_not_matter_for_any_questions_that_fit(model, tokenizer, questions, batch_size):
    options = {"max_new_tokens": 6, "progress": False}
    single = [answer_questions(model, tokenizer, [question], **options)[0] for question in questions]
    assert_same(answer_questions(model, tokenizer, questions, batch_size=batch_size, **options), single)


def test_a_cache_changes_nothing_but_speed(model, tokenizer):
    cached = answer_questions(model, tokenizer, QUESTIONS, progress=False, use_cache=True)
    assert_same(cached, answer_questions(model, tokenizer, QUESTIONS, progress=False, use_cache=False))


def test_confidence_is_the_product_of_probabilities_of_a_full_uncached_pass(model, tokenizer):
    answers = answer_questions(model, tokenizer, QUESTIONS, progress=False)
    for question, answer in zip(QUESTIONS, answers, strict=True):
        prompt = tokenizer.encode(question + MASK)
        text = prompt + tokenizer.encode(answer.text + (MASK if answer.complete else ""))
        with torch.no_grad():
            probabilities = model(torch.tensor([text]), use_cache=False).logits[0].double().softmax(-1)
        product = math.prod(float(probabilities[i - 1, text[i]]) for i in range(len(prompt), len(text)))
        assert answer.confidence == pytest.approx(product, rel=1e-3)
        assert math.exp(answer.log_probability) == answer.confidence
        greedy = probabilities[len(prompt) - 1 : -1].argmax(-1).tolist()
        assert greedy == text[len(prompt) :]


def test_an_answer_that_does_not_end_in_time_is_incomplete_and_a_beginning_of_the_longer_one(model, tokenizer):
    short = answer_questions(model, tokenizer, QUESTIONS, max_new_tokens=3, progress=False)
    long = answer_questions(model, tokenizer, QUESTIONS, max_new_tokens=12, progress=False)
    for cut, whole in zip(short, long, strict=True):
        assert whole.text.startswith(cut.text)
        assert cut.complete == (whole.complete and len(whole.text) <= 2)  # the end mark is a token too


def test_a_long_question_gets_the_room_that_is_left_and_takes_none_from_its_neighbours(model, tokenizer):
    endless = next(
        question
        for question, answer in zip(
            QUESTIONS, answer_questions(model, tokenizer, QUESTIONS, progress=False), strict=True
        )
        if not answer.complete
    )
    almost_full = "a" * (POSITIONS - 2)  # with its mask token it leaves one position
    answers = answer_questions(model, tokenizer, [almost_full, endless], max_new_tokens=20, progress=False)
    assert len(answers[0].text) + answers[0].complete == 1
    assert len(answers[1].text) + answers[1].complete == min(20, POSITIONS - len(endless) - 1)


def test_the_saved_generation_config_is_ignored_and_kept(model, tokenizer, monkeypatch):
    expected = answer_questions(model, tokenizer, QUESTIONS, progress=False)
    saved = GenerationConfig(
        do_sample=True, temperature=5.0, num_beams=3, repetition_penalty=9.0, min_new_tokens=5, max_length=4
    )
    monkeypatch.setattr(model, "generation_config", saved)
    assert_same(answer_questions(model, tokenizer, QUESTIONS, progress=False), expected)
    assert model.generation_config is saved


@pytest.mark.parametrize("training", [True, False])
def test_training_mode_is_as_it_was_afterwards_even_after_an_error(model, tokenizer, monkeypatch, training):
    model.train(training)
    answer_questions(model, tokenizer, ["ab?"], progress=False)
    assert model.training is training

    def fail(*_, **__):
        assert not model.training
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "forward", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        answer_questions(model, tokenizer, ["ab?"], progress=False)
    assert model.training is training
    model.eval()


def test_dropout_is_off_while_answering(model, tokenizer):
    expected = answer_questions(model, tokenizer, QUESTIONS, progress=False)
    model.train()
    assert_same(answer_questions(model, tokenizer, QUESTIONS, progress=False), expected)
    model.eval()


@pytest.fixture
def no_decoding(model, monkeypatch):
    monkeypatch.setattr(model, "generate", lambda *_, **__: pytest.fail("decoding began"))


def test_a_question_without_room_is_an_error_before_any_decoding(model, tokenizer, no_decoding):
    with pytest.raises(ValueError, match=r"question 1 leaves no room.* 40 of the model's 40 positions"):
        answer_questions(model, tokenizer, ["ab?", "a" * (POSITIONS - 1)], progress=False)


@pytest.mark.parametrize("unk_token", [None, MASK])
def test_unknown_characters_are_named_whether_the_tokenizer_drops_or_replaces_them(model, no_decoding, unk_token):
    tokenizer = build_tokenizer(pad_token=PAD, mask_token=MASK)
    if unk_token:
        tokenizer.backend_tokenizer.model.unk_token = unk_token
    with pytest.raises(ValueError, match=r"\['z', 'ß'\], first seen in question 1: 'aß'"):
        answer_questions(model, tokenizer, ["ab?", "aß", "az"], progress=False)


def test_unknown_characters_are_named_where_the_tokenizer_refuses_them_itself(model, tmp_path, no_decoding):
    tokenizer = build_char_tokenizer([ALPHABET])
    tokenizer.save_pretrained(tmp_path)
    for loaded in (tokenizer, PreTrainedTokenizerFast.from_pretrained(tmp_path)):
        with pytest.raises(ValueError, match=r"\['z', 'ß'\], first seen in question 1"):
            answer_questions(model, loaded, ["ab?", "aß", "az"], progress=False)


def test_unknown_characters_are_read_as_the_unknown_token_where_the_tokenizer_declares_one(model):
    tokenizer = build_char_tokenizer([ALPHABET], unknown="mask")
    unknown, mask = answer_questions(model, tokenizer, ["az", f"a{MASK}"], progress=False)
    assert_same([unknown], [mask])


@pytest.mark.parametrize(
    ("questions", "options", "message"),
    [
        ("ab?", {}, "one string"),
        (["ab?"], {"batch_size": 0}, "batch_size"),
        (["ab?"], {"max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_unusable_arguments_are_refused(model, tokenizer, no_decoding, questions, options, message):
    with pytest.raises(ValueError, match=message):
        answer_questions(model, tokenizer, questions, progress=False, **options)


@pytest.mark.parametrize("special_tokens", [{"pad_token": PAD}, {"mask_token": MASK}])
def test_a_tokenizer_without_mask_or_pad_token_is_refused(model, no_decoding, special_tokens):
    with pytest.raises(ValueError, match="needs a mask token"):
        answer_questions(model, build_tokenizer(**special_tokens), ["ab?"], progress=False)


def test_no_questions_give_no_answers(model, tokenizer, no_decoding):
    assert answer_questions(model, tokenizer, [], progress=False) == []


def test_earlier_questions_and_answers_may_stand_in_the_prompt(model, tokenizer):
    shots = f"ab?{MASK}cd{MASK}ef?"
    (answer,) = answer_questions(model, tokenizer, [shots], progress=False)
    with torch.no_grad():
        first = model(torch.tensor([tokenizer.encode(shots + MASK)]), use_cache=False).logits[0, -1].argmax()
    written = answer.text[:1] or MASK
    assert written == tokenizer.convert_ids_to_tokens(int(first))


def test_every_end_of_text_that_a_model_knows_ends_an_answer_in_all_ways_of_asking():
    alphabet = [*"abcde .\n?", "<1>", "<2>", "<3>"]
    backend = Tokenizer(models.WordLevel({token: number for number, token in enumerate(alphabet)}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"<\d>|[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<1>", pad_token="<1>", unk_token="?")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(alphabet), n_positions=64, n_embd=16, n_layer=1, n_head=2, eos_token_id=9)
    model = GPT2LMHeadModel(config).eval()
    model.generation_config.eos_token_id = [9, 10, 11]  # more ends than the tokenizer names
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.transformer.ln_f.bias.fill_(1.0)
        model.lm_head.weight[11] = (
            1.0  # "<3>", an end of the generation settings alone, is all that it ever writes
        )
    prompts = ["a b?", "c"]
    ends = {
        "questions": [a.complete for a in answer_questions(model, tokenizer, prompts, end_token="\n", **FEW)],
        "scored": [
            s.answer.complete for s in answer_with_confidence(model, tokenizer, prompts, end_token="\n", **FEW)
        ],
        "prompts": [c.complete for c in complete_prompts(model, tokenizer, prompts, Decoding(), **FEW)],
    }
    assert ends == {name: [True, True] for name in ends}
    model.generation_config.eos_token_id = 9
    assert not any(a.complete for a in answer_questions(model, tokenizer, prompts, end_token="\n", **FEW))


def test_a_recurrent_model_is_never_given_padding(model, tokenizer, monkeypatch):
    told = Abilities(caches=True, shares=False, pads_between=False, pads_before=False)
    monkeypatch.setattr("closedbook.evaluation.answering.batches.abilities", lambda *_: told)
    questions = ["ab", "a", "ba", "b", "abc"]
    _, batches = prompt_batches(model, tokenizer, questions, 4, 3, None)
    assert sorted(row for batch in batches for row in batch.rows) == [0, 1, 2, 3, 4]
    assert all(bool(batch.attention_mask.all()) for batch in batches)
