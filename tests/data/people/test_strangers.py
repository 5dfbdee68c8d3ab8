"""Strangers of every kind: nobody of them is in the corpus, and nothing but their kind gives them away."""

import pytest
from datasets import Dataset

from closedbook.data.people.biographies import biography_documents
from closedbook.data.people.population import Population
from closedbook.data.people.strangers import KINDS, invent_strangers
from closedbook.data.questions import entity_key


@pytest.fixture(scope="module")
def documents() -> Dataset:
    return biography_documents(Population(300, seed=1))


def test_each_kind_has_as_many_as_asked_for_none_of_whom_the_corpus_names(documents):
    found = invent_strangers(documents, 40, seed=0)
    assert list(found) == list(KINDS)
    assert {kind: len(names) for kind, names in found.items()} == dict.fromkeys(KINDS, 40)
    everything = [entity_key(name) for names in found.values() for name in names]
    assert len(everything) == len(set(everything))
    text = entity_key("\n".join([*documents["title"], *documents["text"]]))
    assert not [name for name in everything if name in text]
    letters = set("".join(documents["text"]))
    assert not [
        name
        for names in found.values()
        for name in names
        if not set(name.lower()) <= set("".join(letters).lower())
    ]


def test_an_altered_name_is_a_title_but_for_a_letter(documents):
    titles = documents["title"][:]
    for name in invent_strangers(documents, 50, seed=0, kinds=["altered"])["altered"]:
        near = [title for title in titles if len(title) == len(name) and sum(map(str.__ne__, title, name)) == 1]
        assert near and name.split()[0][0] == near[0].split()[0][0]


def test_they_depend_on_the_seed_and_not_on_the_order_of_documents(documents):
    found = invent_strangers(documents, 20, seed=0)
    assert invent_strangers(documents.select(range(len(documents) - 1, -1, -1)), 20, seed=0) == found
    other = invent_strangers(documents, 20, seed=1)
    assert all(other[kind] != found[kind] for kind in KINDS)


def test_fewer_are_the_beginning_and_what_is_taken_is_left_out(documents):
    found = invent_strangers(documents, 20, seed=0)
    fewer = invent_strangers(documents, 7, seed=0)
    assert all(found[kind][:7] == fewer[kind] for kind in KINDS)
    taken = [name for names in fewer.values() for name in names]
    rest = invent_strangers(documents, 20, seed=0, taken=taken)
    assert not {name for names in rest.values() for name in names} & set(taken)


def test_a_corpus_without_names_gives_those_that_need_none():
    documents = Dataset.from_dict(
        {"title": ["", ""], "text": ["abcdefghijklmnopqrstuvwxyz .", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]}
    )
    found = invent_strangers(documents, 5, seed=0)
    assert {kind: len(names) for kind, names in found.items()} == {
        "recombined": 0,
        "altered": 0,
        "foreign": 5,
        "things": 0,
    }


def test_no_name_is_longer_than_it_may_be(documents):
    found = invent_strangers(documents, 20, seed=0, longest=12)
    assert {name for names in found.values() for name in names if len(name) > 12} == set()
    assert len(found["altered"]) == 20


def test_an_unknown_kind_is_refused(documents):
    with pytest.raises(ValueError, match="no kind of strangers 'aliens': choose among recombined, altered"):
        invent_strangers(documents, 5, seed=0, kinds=["aliens"])
