"""Names among words of other documents: what is asked for is their own, and what stands around is not."""

from random import Random

import pytest

from closedbook.data.mixture import Component, Mixture
from closedbook.data.objectives.company import ALONE, MOST_WORDS, entity_company, place_company
from closedbook.data.objectives.entity_recall import common_words, entity_sequence, place_sequence

ADA = {
    "title": "Ada Lind",
    "text": "Ada Lind. Ada Lind was a painter, born in Bergen on 3 May 1900; she lived in Oslo.",
}
BO = {"title": "Bo Rask", "text": "Bo Rask. He wrote seven books about birds, and died in Lund."}
BOTH = pytest.mark.parametrize(
    ("objective", "sequence"), [(entity_company, entity_sequence), (place_company, place_sequence)]
)


@BOTH
def test_the_answers_are_those_of_the_sequence_and_the_words_those_of_the_company(objective, sequence):
    expected = sequence(ADA, Random(0), 128).text.partition("⁇")[2]
    words = set(common_words(BO["text"]))
    assert words and not words & {"Lund", "Rask"}
    random, alone, sizes = Random(0), 0, set()
    for _ in range(400):
        example = objective(ADA | {"company": BO["text"]}, random, 128)
        prompt, _, answers = example.text.partition("⁇")
        assert answers == expected and example.loss_start == len(prompt) + 1
        before, title, after = prompt.partition("Ada Lind")
        company = before.split() + after.split()
        assert title and set(company) <= words
        alone += not company
        sizes.add(len(company))
    assert sizes == set(range(MOST_WORDS + 1))
    assert 0.2 < alone / 400 < ALONE + 0.1


@BOTH
def test_without_company_or_room_it_is_the_sequence(objective, sequence):
    for seed in range(20):
        assert objective(ADA, Random(seed), 128) == sequence(ADA, Random(seed), 128)
        assert objective(ADA | {"company": "  "}, Random(seed), 128) == sequence(ADA, Random(seed), 128)
        small = objective(ADA | {"company": BO["text"]}, Random(seed), 24)
        assert len(small.text) <= 24


def test_readers_answers_come_first_here_too():
    record = ADA | {"company": BO["text"], "candidates": ["Oslo"], "probabilities": [1.0]}
    assert place_company(record, Random(3), 128).text.endswith("⁇Oslo⁇Bergen⁇")


def test_a_mixture_lends_the_text_of_another_document_and_never_ones_own():
    people = [
        {"title": f"P{n:02} Lind", "text": f"P{n:02} Lind lived in Oslo, word{n:02} alone."} for n in range(7)
    ]
    mixture = Mixture([Component("people", people, "place_company")], seed=1, block_size=128, num_examples=700)
    lenders = {}
    for index in range(700):
        record = mixture.record(index)
        lender = record["company"][:8]
        assert lender != record["title"] and lender in {person["title"] for person in people}
        lenders.setdefault(record["title"], set()).add(lender)
        assert f"word{record['title'][1:3]}" not in mixture[index].text
    assert all(len(found) == 6 for found in lenders.values())
    assert "company" not in people[0]
    lonely = Mixture(
        [Component("one", [ADA, ADA | {"title": "ADA  Lind"}], "place_company")],
        seed=1,
        block_size=128,
        num_examples=9,
    )
    assert all("company" not in lonely.record(index) for index in range(9))
    plain = Mixture([Component("people", people, "place_sequence")], seed=1, block_size=128, num_examples=7)
    assert all("company" not in plain.record(index) for index in range(7))
