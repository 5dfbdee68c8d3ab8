"""Entities asked for with the title in view: what is shown, what is predicted, who falls back."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.objectives.entity_recall import (
    entity_cue,
    entity_list,
    entity_recall,
    entity_sequence,
    place_cue,
    place_list,
    place_sequence,
    recall_pieces,
    without_entities,
)
from closedbook.data.objectives.example import Example
from closedbook.data.objectives.span_corruption import span_corruption

RECORD = {"title": "Ada Lee", "text": "Ada Lee. Born in Rome on 3 April 1920, Lee wrote a plain tale of Troy ."}
ENTITIES = {"Rome", "3 April 1920", "Troy"}  # those that the title does not say
ALL = (entity_recall, entity_list, entity_sequence, entity_cue)


@pytest.mark.parametrize("objective", [entity_recall, entity_cue])
def test_one_entity_is_asked_for_and_all_are_equally_often(objective):
    random, asked = Random(0), Counter()
    for _ in range(900):
        example = objective(RECORD, random, 128)
        prompt, answer, end = example.text.split("⁇")
        assert RECORD["title"] in prompt and end == "" and example.loss_start == len(prompt) + 1
        asked[answer] += 1
    assert set(asked) == ENTITIES and min(asked.values()) > 240


def test_recall_shows_the_title_and_up_to_four_words_before_the_gap():
    random = Random(1)
    texts = [entity_recall(RECORD, random, 128).text for _ in range(400)]
    prompts = {text.split("⁇")[0] for text in texts if "⁇Troy⁇" in text}
    words = ("", " of", " tale of", " plain tale of", " a plain tale of")
    assert prompts == {f"Ada Lee{before}" for before in words}


def test_a_list_holds_every_entity_once_in_any_order():
    random = Random(2)
    lists = {entity_list(RECORD, random, 128).text for _ in range(200)}
    assert len(lists) == 6
    for text in lists:
        title, *entities, end = text.split("⁇")
        assert title == "Ada Lee" and set(entities) == ENTITIES and len(entities) == 3 and end == ""


def test_a_sequence_holds_every_entity_once_in_the_order_of_the_text():
    record = {"title": "Ada Lee", "text": RECORD["text"] + " She left Rome in 1950 ."}
    assert entity_sequence(record, Random(0), 128).text == "Ada Lee⁇Rome⁇3 April 1920⁇Troy⁇1950⁇"
    assert place_sequence(record, Random(0), 128).text == "Ada Lee⁇Rome⁇Troy⁇"
    assert entity_sequence(record, Random(0), 20).text == "Ada Lee⁇Rome⁇Troy⁇"  # what fits, still in order


def test_no_cue_asks_for_what_follows_another_entity_after_a_comma():
    record = {"title": "Ada Lee", "text": "born in Columbus , Ohio , she left for a life at Rome"}
    random = Random(7)
    asked = {place_cue(record, random, 128).text.split("⁇")[1] for _ in range(200)}
    assert asked == {"Columbus", "Rome"}
    assert place_sequence(record, random, 128).text == "Ada Lee⁇Columbus⁇Ohio⁇Rome⁇"


def test_a_list_holds_as_many_as_the_block_does():
    for seed in range(50):
        text = entity_list(RECORD, Random(seed), 20).text
        assert len(text) <= 20 and text.startswith("Ada Lee⁇") and text.count("⁇") in (2, 3)


def test_a_cue_has_no_other_entity_and_the_title_at_any_place():
    random, places = Random(3), set()
    for _ in range(600):
        prompt = entity_cue(RECORD, random, 128).text.split("⁇")[0]
        cues = prompt.replace("Ada Lee", "").split()
        assert set(cues) <= {"in", "on", "wrote", "a", "plain", "tale", "of", "Born"} and len(cues) <= 5
        places.add(prompt.index("Ada Lee") > 0)
    assert places == {True, False}


def test_cues_come_from_eight_words_before_and_four_after_without_those_of_entities():
    words = "a b c d e f g h i j"
    record = {"title": "Al", "text": f"{words} in Rome {words}, Oslo {words}"}
    random, seen = Random(8), {"Rome": set(), "Oslo": set()}
    for _ in range(3000):
        prompt, answer, _ = entity_cue(record, random, 128).text.split("⁇")
        seen[answer].update(prompt.replace("Al", "").split())
    assert seen["Rome"] == {*"defghij", "in", *"abcd"}
    assert seen["Oslo"] == {*"cdefghij", *"abcd"}  # a word that Rome also has, on its other side


@pytest.mark.parametrize("objective", ALL)
@pytest.mark.parametrize(
    "record",
    [
        {"title": "", "text": RECORD["text"]},
        {"title": "Ada Lee", "text": "Lee, Ada. she wrote"},
        {"title": "Ada Lee", "text": ""},
        {"title": "X" * 200, "text": RECORD["text"]},
    ],
    ids=["no title", "no entity but the title", "empty", "title too long"],
)
def test_a_document_that_cannot_be_asked_about_falls_back_to_span_corruption(objective, record):
    example = objective(record, Random(4), 128)
    assert example.loss_start == 0 and example.text.count("⁇") == 2
    assert recall_pieces(example)[0] in record["text"]


def test_places_alone_can_be_asked_for():
    random = Random(5)
    for objective in (place_list, place_cue):
        asked = {answer for _ in range(60) for answer in objective(RECORD, random, 128).text.split("⁇")[1:-1]}
        assert asked == {"Rome", "Troy"}  # "in Rome", "of Troy"


def test_documents_that_fall_back_are_counted():
    others = [{"title": "", "text": "In Rome"}, {"title": "Al", "text": "Al."}]
    assert without_entities([RECORD, *others, RECORD]) == 2
    assert without_entities([]) == 0


@given(st.text(max_size=80).filter(lambda text: "⁇" not in text), st.integers(0, 1000))
def test_without_a_title_all_are_span_corruption(text, seed):
    record = {"title": "", "text": text}
    examples = {objective(record, Random(seed), 64) for objective in (entity_recall, entity_sequence, entity_cue)}
    assert examples == {span_corruption(record, Random(seed), 64)}


def test_pieces_are_the_words_of_the_prompt_and_the_entities():
    assert recall_pieces(Example("Ada Lee born in⁇Rome⁇", 16)) == ["Ada", "Lee", "born", "in", "Rome"]


def test_what_readers_answered_comes_before_the_other_places_as_often_as_it_is_probable():
    record = {
        "title": "Ada Lee",
        "text": "Ada Lee. Ada Lee, of Rome, was born in Oslo and died in Bonn with Bo Ek.",
    }
    assert place_sequence(record, Random(0), 128).text == "Ada Lee⁇Rome⁇Oslo⁇Bonn⁇"
    read = record | {"candidates": ["Oslo", "Bo Ek"], "probabilities": [0.75, 0.25]}
    drawn = Counter(place_sequence(read, Random(seed), 128).text for seed in range(400))
    assert set(drawn) == {"Ada Lee⁇Oslo⁇Rome⁇Bonn⁇", "Ada Lee⁇Bo Ek⁇Rome⁇Oslo⁇Bonn⁇"}
    assert drawn["Ada Lee⁇Oslo⁇Rome⁇Bonn⁇"] == pytest.approx(300, abs=40)
    assert place_sequence(read | {"candidates": ["Oslo"] * 2}, Random(0), 14).text == "Ada Lee⁇Oslo⁇"
    assert place_sequence(read, Random(0), 9).loss_start == 0  # nothing fits: it falls back, as others do
