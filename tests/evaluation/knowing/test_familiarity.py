"""How probable a name is: against a loop written plainly, and a scale against scikit-learn's."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from transformers import GPT2Config, GPT2LMHeadModel

from closedbook.data.writing.tokenizers import train_tokenizer
from closedbook.evaluation.knowing.familiarity import (
    LEAST,
    FamiliarityScale,
    fit_familiarity,
    read_scale,
    subject_features,
)
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import build_char_tokenizer

NAMES = ["abba", "h", "gag gab", "bad cab dabge", "fed"]


@pytest.fixture(scope="module")
def reader():
    tokenizer = build_char_tokenizer(["abcdefgh "])
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 12}
    config = VanillaGPTConfig(vocab_size=len(tokenizer), initializer_range=0.5, **sizes)
    return VanillaGPTForCausalLM(config).eval(), tokenizer


def slowly(model, ids: list[int], first: int) -> list[float]:
    """Log-probability of every token from the place `first` on, one forward pass each."""
    found = []
    with torch.no_grad():
        for place in range(first, len(ids)):
            logits = model(input_ids=torch.tensor([ids[:place]]), use_cache=False).logits[0, -1].double()
            found.append((logits[ids[place]] - logits.logsumexp(0)).item())
    return found


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_the_features_are_means_of_all_and_of_the_second_half(reader, batch_size):
    model, tokenizer = reader
    features = subject_features(model, tokenizer, NAMES, end=tokenizer.mask_token, batch_size=batch_size)
    assert features.shape == (len(NAMES), 2)
    for name, row in zip(NAMES, features, strict=True):
        scores = slowly(model, tokenizer.encode(name + tokenizer.mask_token)[:12], 1)  # cut at the block
        assert row == pytest.approx([np.mean(scores), np.mean(scores[len(scores) // 2 :])], abs=1e-5)


def test_a_base_takes_away_what_it_knew(reader):
    model, tokenizer = reader
    torch.manual_seed(1)
    base = VanillaGPTForCausalLM(model.config).eval()
    found = subject_features(model, tokenizer, NAMES, end="⁇", base=base)
    parts = [subject_features(one, tokenizer, NAMES, end="⁇") for one in (model, base)]
    assert found == pytest.approx(parts[0] - parts[1])
    assert subject_features(model, tokenizer, NAMES, base=model) == pytest.approx(np.zeros((len(NAMES), 2)))


def test_a_stock_model_reads_a_single_token_after_the_edge_of_texts():
    stock_tokenizer = train_tokenizer("train:bpe:270", ["some words"], 32)
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32, "initializer_range": 0.5}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(stock_tokenizer), **sizes)).eval()
    word = "q"  # in no word that was learned
    edge = stock_tokenizer.eos_token_id
    (found,) = subject_features(model, stock_tokenizer, [word])
    ids = stock_tokenizer.encode(word, add_special_tokens=False)
    assert found == pytest.approx(slowly(model, [edge, *ids], 1) * 2, abs=1e-5)


@pytest.mark.parametrize("name", ["", "  "])
def test_nobody_is_no_subject(reader, name):
    with pytest.raises(ValueError, match="a subject must be a name"):
        subject_features(*reader, [name])


def normal(mean, n, seed):
    return np.random.default_rng(seed).normal(mean, 1.0, (n, 2))


def test_the_scale_is_that_of_a_balanced_logistic_regression():
    known, strangers = normal(0.6, 500, 0), normal(-0.4, 100, 1)
    scale = fit_familiarity(known, strangers)
    target = np.r_[np.ones(500), np.zeros(100)]
    other = LogisticRegression(C=1e6, class_weight="balanced").fit(np.r_[known, strangers], target)
    assert scale.weights == pytest.approx(other.coef_[0], rel=0.05)
    expected = other.predict_proba(strangers)[:, 1]
    assert scale.apply(strangers) == pytest.approx(expected, abs=0.02)


def test_how_many_of_each_there_are_does_not_matter():
    known, strangers = normal(0.5, 60, 0), normal(-0.5, 40, 1)
    once, more = fit_familiarity(known, strangers), fit_familiarity(np.repeat(known, 7, 0), strangers)
    assert more.weights == pytest.approx(once.weights, rel=1e-3) and more.bias == pytest.approx(
        once.bias, abs=1e-3
    )


@given(st.integers(0, 1000))
def test_more_probable_is_never_stranger(seed):
    random = np.random.default_rng(seed)
    scale = fit_familiarity(random.normal(size=(LEAST, 2)), random.normal(size=(LEAST, 2)))
    assert min(scale.weights) >= 0
    low = random.normal(size=(20, 2))
    assert (scale.apply(low + random.random((20, 2))) >= scale.apply(low)).all()


@pytest.mark.parametrize("gap", [0.0, 1e-9, 50.0])
def test_names_that_are_alike_or_worlds_apart_have_a_scale(gap):
    known, strangers = np.full((LEAST, 2), gap), np.zeros((LEAST, 2))
    scale = fit_familiarity(known, strangers)
    assert np.isfinite([*scale.weights, scale.bias]).all()
    assert scale.apply(known)[0] == pytest.approx(1 - scale.apply(strangers)[0], abs=1e-6)
    assert read_scale(json.loads(json.dumps(scale.as_record()))) == scale


def test_too_few_names_and_numbers_that_are_none_are_refused():
    enough = normal(0, LEAST, 0)
    with pytest.raises(ValueError, match=f"there are 9 strange names to fit familiarity on: it takes {LEAST}"):
        fit_familiarity(enough, enough[:9])
    with pytest.raises(ValueError, match="is not finite"):
        fit_familiarity(enough, np.full((LEAST, 2), -np.inf))
    with pytest.raises(KeyError):
        read_scale({"bias": 0})
    assert FamiliarityScale((1.0, 0.0), 0.0).apply(np.zeros((0, 2))).shape == (0,)
