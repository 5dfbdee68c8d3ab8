"""Texts with numbered entities, and the words that ask for one of them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.objectives.entities import find_entities
from closedbook.data.objectives.reading import MARK, MOST_MARKED, entity_marks, mark_entities, text_beside_title
from closedbook.modeling.tokenization_char import MASK_CHARACTER

LINE = {
    "title": "Ada Lee",
    "text": "Ada Lee. Ada Lee (3 April 1920 Columbus, Ohio - 2 May 1990 Rome) was a painter active in Columbus.",
}
WORDS = st.sampled_from(
    ["Ada", "Lee", "Rome", "born", "in", "from", "Columbus", ",", "was", "3 April 1920", "[1]", "Oslo"]
)
TEXTS = st.lists(WORDS, max_size=40).map(" ".join)


def test_names_and_places_are_numbered_in_their_order_and_equal_ones_alike():
    marked = mark_entities(LINE, 200)
    assert marked.text == (
        "Ada Lee (3 April 1920 [1] Columbus, [2] Ohio - 2 May 1990 [3] Rome) was a painter active in [1] Columbus."
    )
    assert marked.names == ("Columbus", "Ohio", "Rome")
    assert marked.number_of(["Nowhere", "Ohio"]) == 2
    assert marked.number_of(["Ada Lee"]) is None


def test_of_more_entities_than_digits_the_first_are_numbered():
    text = " and ".join(f"in {name}ville" for name in "ABCDEFGHIJKL")
    marked = mark_entities({"title": "", "text": text}, 1000)
    assert len(marked.names) == MOST_MARKED and marked.names[-1] == "Iville"
    assert marked.text.endswith("in Jville and in Kville and in Lville")


def test_a_month_is_no_name_but_who_is_called_like_one_has_one():
    text = "born 5 Nov 1952 Tulsa, raised by Jan Ek and April May; married Sept. 1970"
    assert mark_entities({"title": "", "text": text}, 1000).names == ("Tulsa", "Jan Ek", "April May")


def test_entities_of_more_words_than_an_answer_has_have_no_number():
    record = {"title": "", "text": "born in Los Angeles, California to King Paul of East Ek"}
    names = [mark_entities(record, 1000, most).names for most in (None, 2, 1)]
    assert names == [("Los Angeles", "California", "King Paul of East Ek"), names[1], ("California",)]
    assert names[1] == ("Los Angeles", "California")
    assert mark_entities(record, 1000, 1).text == "born in Los Angeles, [1] California to King Paul of East Ek"


def test_a_text_is_cut_where_the_room_ends_before_its_names_do():
    text = "born in Rome, lived in Oslo, died in Bonn with nobody near"
    whole = "born in [1] Rome, lived in [2] Oslo, died in [3] Bonn with nobody near"
    for room in range(8, 90):
        marked = mark_entities({"title": "", "text": text}, room)
        assert marked.text == whole[:room] or marked.is_cut
        assert marked.is_cut == (len(marked.names) < 3)
    many = " and ".join(f"in {name}ville" for name in "ABCDEFGHIJKL")
    assert not mark_entities({"title": "", "text": many}, 1000).is_cut  # there are no more digits


@given(TEXTS, st.sampled_from(["", "Ada Lee"]), st.integers(1, 120))
def test_without_its_numbers_a_marked_text_is_the_beginning_of_the_document(text, title, room):
    record = {"title": title, "text": text}
    marked = mark_entities(record, room)
    assert len(marked.text) <= room
    plain = text_beside_title(record)
    rebuilt, last = "", 0
    for entity in marked.entities:
        rebuilt += f"{plain[last : entity.start]}[{marked.names.index(entity.text) + 1}] {entity.text}"
        last = entity.end
    assert marked.text == (rebuilt + plain[last:])[:room]
    assert [entity.text for entity in marked.entities if entity not in find_entities(plain)] == []
    assert list(dict.fromkeys(entity.text for entity in marked.entities)) == list(marked.names)


def test_the_words_around_an_entity_are_answered_by_its_number():
    asked = set()
    for seed in range(200):
        text, *pieces = (
            entity_marks(LINE, Random(seed), 200).text.removesuffix(MASK_CHARACTER).split(MASK_CHARACTER)
        )
        assert MARK.sub("", text) == text_beside_title(LINE)
        for words, number in zip(pieces[::2], pieces[1::2], strict=True):
            asked.add(number)
            if number == "3":  # of Rome
                assert set(words.split()) <= {"was", "a", "painter", "active"}
    assert asked == {"1", "3"}  # Ohio, after a comma, has the words of Columbus


@pytest.mark.parametrize("text", ["no entity at all here", "Ada Lee. Ada Lee"])
def test_a_document_without_an_entity_falls_back(text):
    example = entity_marks({"title": "Ada Lee", "text": text}, Random(0), 128)
    assert example.loss_start == 0 and example.text.count(MASK_CHARACTER) == 2
