"""Names in texts: the index finds what a search of every text for every name finds."""

import re

from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.mentions import find_mentions, occurs
from closedbook.data.questions import entity_key


def test_a_phrase_occurs_on_word_borders_and_in_its_own_case():
    assert occurs("Rome", "born in Rome.")
    assert occurs("Rome", "Romeo, then Rome")
    assert not occurs("Rome", "Romeo")
    assert not occurs("Rome", "Jerome in rome")
    assert not occurs("Rome", "Rome2")
    assert not occurs("", "Rome")


def test_a_phrase_that_ends_in_a_mark_needs_no_border_after_it():
    assert occurs("Bisbee, Jr.", "Bisbee, Jr.. Born")
    assert occurs("(Ohio)", "Columbus(Ohio)USA")


def test_mentions_ignore_case_and_spacing_and_name_every_document():
    documents = [{"text": "ANNA  Lind and Bo"}, {"text": "Hanna Lind"}, {"text": "said Anna\nLind."}]
    assert find_mentions(["Anna Lind", "bo", "Cy Ross"], documents) == {
        "anna lind": [0, 2],
        "bo": [0],
        "cy ross": [],
    }


def test_a_name_without_letters_is_found_too():
    assert find_mentions(["+/-"], [{"text": "the band +/- played"}, {"text": "none"}]) == {"+/-": [0]}


WORDS = st.sampled_from(["anna", "lind", "an", "na", "Jr.", "o'neil", "x-y", "ø"])
PHRASES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


@given(names=st.lists(PHRASES, max_size=4), texts=st.lists(st.lists(WORDS, max_size=8).map(" ".join), max_size=4))
def test_the_index_agrees_with_a_regular_expression_for_each_name(names, texts):
    expected = {}
    for key in map(entity_key, names):
        begin = r"(?<!\w)" if re.match(r"\w", key) else ""
        end = r"(?!\w)" if re.search(r"\w$", key) else ""
        pattern = re.compile(begin + re.escape(key) + end)
        expected[key] = [number for number, text in enumerate(texts) if pattern.search(entity_key(text))]
    assert find_mentions(names, [{"text": text} for text in texts]) == expected
