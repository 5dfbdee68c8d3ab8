"""Entities by rule: runs of capitals, dates, numbers; and what is none of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.objectives.entities import find_entities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("no name here", []),
        ("Ada Lovelace was born in London .", ["Ada Lovelace", "London"]),
        ("She lived in Columbus, Ohio .", ["Columbus", "Ohio"]),
        ("He read at the University of Oxford and in Rio de Janeiro", ["University of Oxford", "Rio de Janeiro"]),
        ("on 3 April 1920 and April 3, 1920 and April 1920", ["3 April 1920", "April 3, 1920", "April 1920"]),
        ("from 1957 to 25 or 1,000.5", ["1957", "25", "1,000.5"]),
        ("J. R. Smith and J.C. Penney", ["J. R. Smith", "J.C. Penney"]),
        ("Born in Rome, he", ["Rome"]),
        ("The Élan of Œuvre", ["Élan of Œuvre"]),
        ("Jean-Luc O'Neil's", ["Jean-Luc O'Neil's"]),
        ("of the and", []),
    ],
)
def test_entities_of_known_sentences(text, expected):
    assert [entity.text for entity in find_entities(text)] == expected


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_entities_are_spans_in_order_that_do_not_overlap(text):
    end = 0
    for entity in find_entities(text):
        assert text[entity.start : entity.end] == entity.text != ""
        assert entity.start >= end
        end = entity.end


@given(st.lists(st.sampled_from(["Ada", "of", "the", "3", "April", "1815", ",", "born", "J.", "é"]), max_size=30))
def test_every_number_is_in_an_entity_and_no_common_word_makes_one(words):
    text = " ".join(words)
    entities = find_entities(text)
    for number in ("3", "1815"):
        assert sum(entity.text.split().count(number) for entity in entities) == words.count(number)
    assert not any(entity.text in ("of", "the", "born", ",", "é") for entity in entities)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada was born in London, England .", {"Ada": "name", "London": "place", "England": "place"}),
        ("Bo Li (3 April 1920 Columbus, Ohio) wrote", {"Bo Li": "name", "3 April 1920": "date", "Ohio": "place"}),
        ("a singer from the Netherlands, aged 25", {"Netherlands": "place", "25": "number"}),
        ("he met Cy Ross and The Beatles", {"Cy Ross": "name", "Beatles": "name"}),
    ],
)
def test_entities_are_of_the_kind_that_their_place_in_the_sentence_says(text, expected):
    kinds = {entity.text: entity.kind for entity in find_entities(text)}
    assert {name: kinds[name] for name in expected} == expected
