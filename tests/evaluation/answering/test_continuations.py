"""Scores of given continuations, against generation and against the model's own loss."""

import pytest
import torch

from closedbook.evaluation.answering.continuations import choice_probabilities, score_continuations
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.modeling.tokenization_char import build_char_tokenizer


@pytest.fixture(scope="module", params=["learned", "rotary"])
def writer(request):
    tokenizer = build_char_tokenizer(["abcdefgh "])
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 24}
    config = VanillaGPTConfig(vocab_size=len(tokenizer), position=request.param, initializer_range=0.5, **sizes)
    return VanillaGPTForCausalLM(config).eval(), tokenizer


def greedy(model, tokenizer, prompt, length):
    """Token by token, without a cache, as slowly and plainly as can be."""
    ids = tokenizer.encode(prompt)
    with torch.no_grad():
        for _ in range(length):
            ids.append(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax().item())
    return tokenizer.decode(ids[-length:])


def test_greedy_is_what_the_model_writes_and_nothing_else(writer):
    model, tokenizer = writer
    prompts = ["a", "bc d", "hgfedc", "aaaa bbbb"]
    written = [greedy(model, tokenizer, prompt, 5) for prompt in prompts]
    assert all(score.greedy for score in score_continuations(model, tokenizer, prompts, written))
    changed = [text[:3] + ("a" if text[3] != "a" else "b") + text[4:] for text in written]
    assert not any(score.greedy for score in score_continuations(model, tokenizer, prompts, changed))


def test_the_log_probability_is_minus_the_summed_loss_of_the_continuation(writer):
    model, tokenizer = writer
    prompts, continuations = ["abc", "h", "d e f g"], ["de", "gfedcba", "h"]
    scores = score_continuations(model, tokenizer, prompts, continuations, batch_size=2)
    for prompt, continuation, score in zip(prompts, continuations, scores, strict=True):
        ids = torch.tensor([tokenizer.encode(prompt + continuation)])
        labels = ids.clone()
        labels[0, : len(prompt)] = -100
        with torch.no_grad():
            loss = model(input_ids=ids, labels=labels).loss.item() * len(continuation)
        assert -score.log_probability == pytest.approx(loss, rel=1e-4)  # float32 sums in another order


def test_a_score_does_not_depend_on_the_batch(writer):
    model, tokenizer = writer
    prompts, continuations = ["a", "abcdefgh", "cc"], ["bcdefgh", "a", "dd"]
    together = score_continuations(model, tokenizer, prompts, continuations)
    for number, score in enumerate(together):
        (alone,) = score_continuations(model, tokenizer, [prompts[number]], [continuations[number]])
        assert score.greedy == alone.greedy
        assert score.log_probability == pytest.approx(alone.log_probability, abs=1e-4)  # float32


def test_choices_share_what_the_model_gives_them_after_their_prompt_alone(writer):
    model, tokenizer = writer
    prompts, choices = ["a", "hgfedcba", "b c", "dd"], ["abc", "ha", "", "e"]
    for size in (1, 3):
        found = choice_probabilities(model, tokenizer, prompts, choices, batch_size=size)
        assert [len(shares) for shares in found] == [3, 2, 0, 1]
        for prompt, texts, shares in zip(prompts, choices, found, strict=True):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([tokenizer.encode(prompt)])).logits[0, -1]
            chosen = logits.softmax(-1)[[tokenizer.encode(text)[0] for text in texts]]
            assert shares == pytest.approx((chosen / chosen.sum()).tolist(), rel=1e-4)


def test_a_choice_of_several_tokens_is_refused_and_no_prompt_has_no_answer(writer):
    model, tokenizer = writer
    with pytest.raises(ValueError, match="'ab' is not one token"):
        choice_probabilities(model, tokenizer, ["a"], [["ab"]])
    assert choice_probabilities(model, tokenizer, [], []) == []


def test_the_model_is_left_in_the_mode_it_was_in(writer):
    model, tokenizer = writer
    model.train()
    score_continuations(model, tokenizer, ["a"], ["b"])
    assert model.training
    model.eval()


@pytest.mark.parametrize(
    ("prompts", "continuations", "message"),
    [
        (["a"], [], "1 prompts and 0 continuations"),
        ([""], ["a"], "must not be empty"),
        (["a"], [""], "must not be empty"),
        (["a" * 20], ["b" * 5], "longer than the model's block of 24"),
    ],
)
def test_what_cannot_be_scored_is_refused(writer, prompts, continuations, message):
    with pytest.raises(ValueError, match=message):
        score_continuations(*writer, prompts, continuations)
