"""The quick look says what the ledger says of the same facts."""

from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from closedbook.evaluation.ledger.facts import Fact
from closedbook.evaluation.ledger.glance import glance
from closedbook.evaluation.ledger.measuring import AskedModel, measure
from closedbook.modeling.tokenization_char import build_char_tokenizer

NAMES = ["Ada Lind", "Zoe Marlow", "Ines Toms", "Gwen Porrit"]


@pytest.fixture(scope="module")
def asked() -> AskedModel:
    torch.manual_seed(0)
    tokenizer = build_char_tokenizer(["".join(map(chr, range(32, 127))) + "\n"])
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=96, n_embd=16, n_layer=1, n_head=2)
    config.bos_token_id = config.eos_token_id = None
    return AskedModel("random", GPT2LMHeadModel(config).eval(), tokenizer, "Q: {question}\nA:")


def fact(name: str, object: str, **more) -> Fact:
    asked = {"questions": (f"Where was {name} born?",), "beginning": f"{name} was born in "} | more
    return Fact(name, "birth_place", object, **asked)


def look(asked, facts):
    standings = measure(asked, facts, [()] * len(facts), rule="contains", max_new_tokens=16)
    with torch.no_grad():
        answered, finished = glance(asked, facts, "contains")
    assert answered == [bool(standing.answers) for standing in standings]
    assert finished == [bool(standing.finishes) for standing in standings]
    return standings, answered, finished


def test_it_is_what_the_ledger_measures(asked):
    facts = [fact(name, "Rome") for name in NAMES]
    standings, answered, finished = look(asked, facts)
    assert not any(answered + finished)
    # what it writes, it is right about: of every other fact the object is made that
    said = [each.replies[0].answer if number % 2 else each.written for number, each in enumerate(standings)]
    assert all(said)
    facts = [replace(each, object=object) for each, object in zip(facts, said, strict=True)]
    _, answered, finished = look(asked, facts)
    assert answered[1] and answered[3] and finished[0] and finished[2]


def test_what_cannot_be_asked_or_read_is_not_answered(asked):
    facts = [
        fact("Ada Lind", "Rome", questions=()),
        fact("Ada Lind", "Rome", beginning=""),
        fact("Zoë Marlow", "Rome"),  # not in the vocabulary
        fact("X" * 100, "Rome"),  # longer than what the model reads
    ]
    with torch.no_grad():
        assert glance(asked, facts, "contains") == ([False] * 4, [False] * 4)
    assert glance(asked, [], "match") == ([], [])
