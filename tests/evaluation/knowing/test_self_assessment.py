"""P(True) is what the model's own logits say of "True" and "False", for models that can be asked."""

import math
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import GPT2Config, GPT2LMHeadModel

from closedbook.evaluation.knowing.self_assessment import P_TRUE, p_true, tokens_to_assess
from closedbook.modeling.tokenization_char import build_char_tokenizer
from closedbook.training.asking.judge import Judge
from closedbook.training.asking.people import KnowingArguments

PROMPT = "Q: {question}\nA:"
QUESTIONS = ["Where was Ada born?", "Who?"]


def save_stock(folder: Path, positions: int = 256, characters: str = "") -> Path:
    torch.manual_seed(0)
    tokenizer = build_char_tokenizer([characters or "".join(map(chr, range(32, 127))) + "\n"])
    sizes = {"n_positions": positions, "n_embd": 16, "n_layer": 1, "n_head": 2}
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=None, **sizes)
    config.initializer_range = 0.5
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def judge(folder: Path, prompt: str | None = PROMPT) -> Judge:
    return Judge(str(folder), KnowingArguments(model=str(folder), prompt=prompt, max_new_tokens=8), (), ())


def test_it_is_the_share_of_true_among_true_and_false(tmp_path):
    asked = judge(save_stock(tmp_path))
    model, tokenizer = asked.model.eval(), asked.tokenizer
    shares = p_true(model, tokenizer, QUESTIONS, ["Oslo", ""], PROMPT, batch_size=1)
    for question, answer, share in zip(QUESTIONS, ["Oslo", ""], shares, strict=True):
        shown = f"Question: {question}\nProposed answer: {answer}\nIs the proposed answer true? Say True or False."
        read = tokenizer.encode(f"Q: {shown}\nA:", add_special_tokens=False)
        likely = []
        for word in (" True", " False"):
            said = tokenizer.encode(word, add_special_tokens=False)
            with torch.no_grad():
                scores = model(torch.tensor([read + said])).logits[0].double().log_softmax(-1)
            places = enumerate(said, start=len(read) - 1)
            likely.append(math.exp(math.fsum(float(scores[place, token]) for place, token in places)))
        assert share == pytest.approx(likely[0] / sum(likely), rel=1e-4)
    assert shares[0] != pytest.approx(shares[1], rel=1e-3)
    assert p_true(model, tokenizer, QUESTIONS[::-1], ["", "Oslo"], PROMPT) == pytest.approx(shares[::-1], rel=1e-4)


def test_the_room_that_it_takes_is_enough_for_every_answer(tmp_path):
    asked = judge(save_stock(tmp_path))
    needed = tokens_to_assess(asked.tokenizer, QUESTIONS, 8, PROMPT)
    asked.model.config.n_positions = needed - 8  # of characters, an answer has exactly as many tokens
    p_true(asked.model, asked.tokenizer, QUESTIONS, ["Oslooooo"] * 2, PROMPT)
    with pytest.raises(ValueError, match="longer than the model's block"):
        p_true(asked.model, asked.tokenizer, QUESTIONS, ["Osloooooo"] * 2, PROMPT)


@pytest.mark.parametrize(
    ("options", "prompt", "told"),
    [
        ({}, None, "completes questions and cannot be asked about them"),
        ({"positions": 100}, PROMPT, "and the model reads 100"),
        ({"characters": "Where was Ada born?\nQ: oOW"}, PROMPT, "does not know the characters"),
    ],
    ids=["completes", "short", "unknown"],
)
def test_a_model_that_cannot_be_asked_goes_without_and_says_so_once(options, prompt, told, tmp_path, capsys):
    asked = judge(save_stock(tmp_path, **options), prompt)
    asked.prompt = prompt  # for the first: as a model that was taught questions with a mark between
    questions = Dataset.from_dict({"question": QUESTIONS[:1], "answers": [["Oslo"]], "entity": ["Ada"]})
    asked.check(questions)
    asked.check(questions)
    said = capsys.readouterr().err
    assert said.count("P(True) is left out") == 1 and told in said
    assert not asked.assesses
    (found,) = asked.answer("asked", questions)
    assert P_TRUE not in found.confidences


def test_a_model_with_a_prompt_is_asked(tmp_path, capsys):
    asked = judge(save_stock(tmp_path))
    questions = Dataset.from_dict({"question": QUESTIONS, "answers": [[], []], "entity": ["Ada", ""]})
    asked.check(questions)
    found = asked.answer("asked", questions)
    answers = [one.answer.text for one in found]
    expected = p_true(asked.model, asked.tokenizer, QUESTIONS, answers, PROMPT)
    assert [one.confidences[P_TRUE] for one in found] == pytest.approx(expected)
    assert "left out" not in capsys.readouterr().err
    assert P_TRUE not in asked.answer("asked", questions, plainly=True)[0].confidences
