"""Where a fact is stated, and the 2 x 2 of memorised and answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.people.biographies import Diversity, Population, biography_documents
from closedbook.data.people.wordings import ATTRIBUTES
from closedbook.evaluation.laboratory.memorisation import StatedFact, find_stated_facts, two_by_two
from closedbook.evaluation.statistics.intervals import wilson_interval

DOCUMENTS = [
    {"title": "Ada Bo", "text": "Ada Bo likes cats."},
    {"title": "Ada Bo", "text": "Rome is where Ada Bo was born."},
    {"title": "Ada Bo", "text": "Ada Bo was born in Rome. Bo worked for Cy Inc."},
    {"title": "Ada Bo", "text": "Ada Bo hails from Rome."},
    {"title": "Ada Bo", "text": "Lima has seen Ada Bo born."},
    {"title": "Ada Bo", "text": "Born, says Ada Bo, in Kiel"},
    {"title": "Di Ef", "text": "Di Ef was born in Romeo."},
]


def test_a_fact_is_asked_for_by_the_first_text_that_states_it():
    facts = {"Ada Bo": {"birth_place": "Rome", "employer": "Cy Inc"}, "Di Ef": {"birth_place": "Romeo"}}
    assert find_stated_facts(DOCUMENTS, facts) == [
        StatedFact("Ada Bo", "birth_place", "Rome", "Ada Bo was born in ", "Rome."),
        StatedFact("Ada Bo", "employer", "Cy Inc", "Ada Bo was born in Rome. Bo worked for ", "Cy Inc."),
        StatedFact("Di Ef", "birth_place", "Romeo", "Di Ef was born in ", "Romeo."),
    ]


@pytest.mark.parametrize(
    "unit, full_name, diversity",
    [
        ("sentence", "every", Diversity(name_first=True)),
        ("biography", "first", Diversity(name_first=True)),
        ("sentence", "every", Diversity(wordings=1)),
        ("sentence", "every", Diversity(wordings=16)),
    ],
)
def test_every_fact_can_be_asked_for_where_some_wording_has_the_name_first(unit, full_name, diversity):
    population = Population(300, seed=2, num_cities=300)
    options = {"versions": 2, "unit": unit, "full_name": full_name, "diversity": diversity}
    facts = {person.name: person.facts for person in population}
    stated = find_stated_facts(biography_documents(population, **options), facts)
    assert len(stated) == 300 * len(ATTRIBUTES)
    for fact in stated:
        assert fact.entity in fact.prompt
        assert fact.continuation[:-1] == fact.value == facts[fact.entity][fact.attribute]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Oslo", "no text about Ada Bo states the birth_place 'Oslo'"),
        ("Rom", "no text about Ada Bo"),
        ("Lima", "no text about Ada Bo states the birth_place 'Lima' behind the name"),
        ("Kiel", "cannot be asked for by completing"),
        ("Ada Bo", "states the birth_place .Ada Bo. behind the name"),
    ],
)
def test_facts_that_no_text_leads_to_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        find_stated_facts(DOCUMENTS, {"Ada Bo": {"birth_place": value}})


def test_the_arithmetic_of_a_small_table():
    rows = [
        {"memorised": True, "answered": True, "n": 6},
        {"memorised": True, "answered": False, "n": 2},
        {"memorised": False, "answered": False, "n": 1},
        {"memorised": False, "answered": True},
    ]
    table = two_by_two(rows)
    counts = ("n", "both", "memorised_only", "answered_only", "neither")
    assert [table[name] for name in counts] == [10, 6, 2, 1, 1]
    assert table["memorised"]["accuracy"] == 0.8
    assert table["answered"]["accuracy"] == 0.7
    assert table["answered_if_memorised"]["accuracy"] == 0.75
    assert table["answered"]["interval"] == list(wilson_interval(7, 10))


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 9))))
def test_the_cells_add_up(facts):
    table = two_by_two({"memorised": m, "answered": a, "n": n} for m, a, n in facts)
    assert table["n"] == sum(n for *_, n in facts)
    assert table["n"] == sum(table[name] for name in ("both", "memorised_only", "answered_only", "neither"))
    assert table["memorised"]["correct"] == sum(n for m, _, n in facts if m)
    assert table["answered"]["correct"] == sum(n for _, a, n in facts if a)
    assert (table["memorised"]["accuracy"] is None) == (not facts)
