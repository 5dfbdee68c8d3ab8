"""Synthetic people: the same everywhere, unique, and told in full."""

from __future__ import annotations

import os
import pickle
import random
import re
import subprocess
import sys
from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

import closedbook.data.people.population as population_module
from closedbook.data.people.biographies import (
    Diversity,
    Population,
    biography_documents,
    biography_questions,
    reversed_questions,
    stream_biographies,
)
from closedbook.data.people.telling import write_biography
from closedbook.data.people.wordings import ATTRIBUTES, indefinite_article, name_pools

populations = st.builds(
    Population,
    num_people=st.integers(1, 400_000),
    seed=st.integers(-(2**70), 2**70),
    num_cities=st.integers(1, 300),
    city_skew=st.floats(0, 50),
    middle_names=st.booleans(),
)
some_attributes = st.lists(st.sampled_from(list(ATTRIBUTES)), min_size=1, unique=True)


# ---- people


@given(populations, st.data())
def test_a_person_depends_on_seed_and_index_alone(population, data):
    index = data.draw(st.integers(0, len(population) - 1))
    person = population[index]
    assert person == pickle.loads(pickle.dumps(population))[index]
    assert person == population[index - len(population)]
    assert person.index == index and person.name.endswith(" " + person.surname)
    assert list(person.facts) == list(ATTRIBUTES)
    assert all(value in population.values(attribute) for attribute, value in person.facts.items())


def test_iteration_and_random_access_agree():
    population = Population(300, seed=3)
    assert list(population) == [population[i] for i in range(300)]
    assert population[299] == Population(300_000, seed=3)[299]


def test_another_seed_gives_other_people():
    pairs = list(zip(Population(200, seed=0), Population(200, seed=1), strict=True))
    assert sum(a.name == b.name for a, b in pairs) < 5
    assert sum(a.facts == b.facts for a, b in pairs) == 0


def test_the_number_of_cities_changes_birth_places_only():
    few, many = Population(100, num_cities=5), Population(100, num_cities=200)
    for a, b in zip(few, many, strict=True):
        assert a.name == b.name
        assert {key for key in ATTRIBUTES if a.facts[key] != b.facts[key]} <= {"birth_place"}


@pytest.mark.parametrize("middle_names", [False, True])
def test_no_two_people_share_a_name(middle_names):
    people = Population(20_000, seed=5, middle_names=middle_names)
    assert len({person.name for person in people}) == 20_000
    assert all(len(person.name.split()) == 2 + middle_names for person in people)


def test_names_are_unique_up_to_the_last_person(monkeypatch):
    """The scrambling is a bijection of the whole name space: shown on a space small enough to walk."""
    pools = (("A", "B", "C", "D", "E"), tuple("TUVWXYZ"), ())
    monkeypatch.setattr(population_module, "name_pools", lambda: pools)
    uncached = population_module._name_forms.__wrapped__  # which remembers the real pools
    monkeypatch.setattr(population_module, "_name_forms", uncached)
    for size, middle_names in ((35 * (1 + 5 + 25), False), (175, True)):
        for seed in range(5):
            people = Population(size, seed=seed, middle_names=middle_names)
            assert len({person.name for person in people}) == size
            assert [people.place(person.name) for person in people] == list(range(size))
        with pytest.raises(ValueError, match=f"from 1 to {size:,}"):
            Population(size + 1, middle_names=middle_names)


sizes = st.one_of(st.integers(1, 478_860), st.integers(478_861, 287_794_860))


@given(sizes, st.integers(-(2**70), 2**70), st.booleans(), st.data())
def test_whose_name_it_is_needs_no_table(num_people, seed, middle_names, data):
    people = Population(num_people, seed=seed, middle_names=middle_names)
    index = data.draw(st.integers(0, num_people - 1))
    person = people[index]
    assert people.place(person.name) == index
    assert people.find("  ".join(person.name.swapcase().split(" "))) == person
    everybody = Population(people.num_names, seed=seed, middle_names=middle_names)
    assert everybody.name(index) == person.name  # whatever the size
    if num_people < people.num_names:
        other = everybody.name(data.draw(st.integers(num_people, people.num_names - 1)))
        assert people.place(other) is None
        with pytest.raises(ValueError, match=f"'{re.escape(other)}' is nobody of the {num_people:,} people"):
            people.find(other)


@given(st.integers(0, 287_794_859), st.integers(0, 287_794_859), st.integers(0, 99))
def test_nobodys_name_stands_inside_that_of_somebody_else(one, other, seed):
    people = Population(287_794_860, seed=seed)
    name, words = people.name(one), people.name(other).split(" ")
    stretches = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
    assert (name in stretches) == (one == other)
    assert {len(people.name(index).split()) for index in (0, 478_859)} == {2}
    assert {len(people.name(index).split()) for index in (478_860, 11_971_499)} == {3}
    assert {len(people.name(index).split()) for index in (11_971_500, 287_794_859)} == {4}


@pytest.mark.parametrize(
    "name", ["", "Ada", "Nobody Here", "Aaron Q. Abbott", "Aaron A. B. C. Abbott", "A. Aaron Abbott"]
)
def test_what_is_no_name_here_is_nobodys(name):
    assert Population(287_794_860).place(name) is None


@given(sizes, st.integers(0, 99))
def test_outsiders_are_those_who_would_come_next(num_people, seed):
    people = Population(num_people, seed=1)
    names = list(islice(people.outsiders(random.Random(seed)), 20))
    assert len(set(names)) == min(20, people.num_names - num_people)
    assert all(people.place(name) is None for name in names)
    assert [name for name in names if len(name.split()) < len(people[-1].name.split())] == []


def test_outsiders_are_everybody_else(monkeypatch):
    monkeypatch.setattr(population_module, "name_pools", lambda: (("A", "B"), ("Y", "Z"), ()))
    uncached = population_module._name_forms.__wrapped__
    monkeypatch.setattr(population_module, "_name_forms", uncached)
    for size in range(1, 29):
        people = Population(size)
        names = {person.name for person in people}
        others = list(people.outsiders(random.Random(0)))
        assert len(set(others)) == len(others) == 28 - size and names.isdisjoint(others)


def test_the_commonest_city_is_neither_negligible_nor_dominant():
    population = Population(5_000)
    (city, count), *_ = Counter(person.facts["birth_place"] for person in population).most_common(1)
    assert city == population.values("birth_place")[0]
    assert 0.03 < count / len(population) < 0.07
    flat = Counter(person.facts["birth_place"] for person in Population(5_000, city_skew=0))
    assert len(flat) == 100 and max(flat.values()) < 100


def test_values_are_distinct_ascii_and_many():
    population = Population(1)
    for attribute in ATTRIBUTES:
        values = population.values(attribute)
        assert len(values) == len(set(values)) >= 100
        assert all(re.fullmatch(r"[A-Za-z0-9 ]{4,25}", value) for value in values)


def test_a_birth_place_shares_no_word_with_names_or_other_values():
    population = Population(1, num_cities=500)
    words = [word for city in population.values("birth_place") for word in city.split()]
    others = {word for pool in name_pools() for word in pool}
    for attribute in ("profession", "employer", "university"):
        others.update(word for value in population.values(attribute) for word in value.split())
    assert len(words) == len(set(words)) and others.isdisjoint(words)


# ---- documents


@given(populations, st.integers(0, 10**6), some_attributes, st.sampled_from(["every", "first"]))
def test_a_biography_states_every_fact_and_the_name(population, seed, attributes, full_name):
    person = population[0]
    text = write_biography(person, random.Random(seed), attributes=attributes, full_name=full_name)
    assert text == write_biography(person, random.Random(seed), attributes=attributes, full_name=full_name)
    assert all(person.facts[attribute] in text for attribute in attributes)
    assert text.count(person.name) == (len(attributes) if full_name == "every" else 1)
    assert text.count(person.surname) >= len(attributes)
    assert text.isascii() and "{" not in text


def test_a_biography_tells_only_what_it_is_asked_to():
    person = Population(1)[0]
    text = write_biography(person, random.Random(0), attributes=["employer"])
    assert person.facts["employer"] in text and person.facts["birth_place"] not in text


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_wordings_are_many_short_and_varied_in_structure(attribute):
    statements, questions = ATTRIBUTES[attribute].statements, ATTRIBUTES[attribute].questions
    assert len(set(statements)) == len(statements) >= 12
    assert len(set(questions)) == len(questions) >= 2
    assert all(s.count("{name}") == s.count("{answer}") == 1 and s.endswith(".") for s in statements)
    assert all(q.count("{name}") == 1 and "{answer}" not in q and q.endswith("?") for q in questions)
    assert all(len(re.sub(r"\{\w+\}", "", s)) <= 36 for s in statements)
    name_leads = sum(s.startswith("{name}") for s in statements)
    answer_first = sum(s.index("{answer}") < s.index("{name}") for s in statements)
    assert name_leads >= 3 and answer_first >= 3


def test_sentences_are_short():
    lengths = [len(text) for text in biography_documents(Population(400), unit="sentence")["text"]]
    assert max(lengths) <= 75 and 35 < sum(lengths) / len(lengths) < 55


def test_versions_differ_in_wording_and_in_order():
    population = Population(20)
    versions = 8
    documents = biography_documents(population, versions=versions)
    for person, start in zip(population, range(0, len(documents), versions), strict=True):
        texts = documents["text"][start : start + versions]
        assert set(documents["title"][start : start + versions]) == {person.name}
        assert len(set(texts)) == versions
        first_facts = {min(person.facts, key=lambda fact: t.index(person.facts[fact])) for t in texts}
        assert len(first_facts) > 1


def test_no_wording_returns_before_all_have_been_used():
    num_wordings = len(ATTRIBUTES["birth_place"].statements)
    documents = biography_documents(Population(3), versions=num_wordings, attributes=["birth_place"])
    assert len(set(documents["text"])) == 3 * num_wordings


def test_more_versions_keep_the_earlier_ones():
    two = biography_documents(Population(4), versions=2, seed=9)["text"][:]
    five = biography_documents(Population(4), versions=5, seed=9)["text"][:]
    assert [five[5 * i + v] for i in range(4) for v in range(2)] == two


def test_the_writing_seed_changes_words_but_no_facts():
    population = Population(50)
    a, b = (biography_documents(population, seed=seed)["text"][:] for seed in (0, 1))
    assert all(one != other for one, other in zip(a, b, strict=True))
    for person, text in zip(population, b, strict=True):
        assert all(value in text for value in person.facts.values())


def test_sentences_are_the_biography_cut_up():
    options = {"versions": 2, "seed": 4, "attributes": ("university", "birth_date", "employer")}
    whole = biography_documents(Population(10), **options)
    cut = biography_documents(Population(10), unit="sentence", **options)
    assert len(cut) == 3 * len(whole)
    assert all(title in text for title, text in zip(cut["title"], cut["text"], strict=True))
    assert [" ".join(cut["text"][i : i + 3]) for i in range(0, len(cut), 3)] == whole["text"][:]


@pytest.mark.parametrize("num_shards", [1, 4, 7, 1000])
def test_the_stream_gives_the_same_records_in_the_same_order(num_shards):
    options = {"versions": 2, "seed": 1, "attributes": ["birth_place", "profession"], "unit": "sentence"}
    documents = biography_documents(Population(25), **options)
    stream = stream_biographies(Population(25), num_shards=num_shards, **options)
    assert stream.num_shards == min(num_shards, 25)
    assert stream.features == documents.features
    assert list(stream) == documents.to_list()
    parts = [stream.shard(stream.num_shards, i) for i in range(stream.num_shards)]
    assert [record for part in parts for record in part] == documents.to_list()


def test_a_stream_over_the_whole_name_space_starts_at_once():
    record = next(iter(stream_biographies(Population(10**8, middle_names=True))))
    assert set(record) == {"title", "text"}


def test_a_fresh_process_writes_the_same():
    """Python's `hash` of strings changes from process to process: nothing may depend on it."""
    code = (
        "from closedbook.data.people.biographies import Population, biography_documents\n"
        "print(*biography_documents(Population(40, seed=2), versions=2)['text'], sep='\\n')"
    )
    here = biography_documents(Population(40, seed=2), versions=2)["text"][:]
    fresh = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "4242"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert fresh.stdout.splitlines() == here


@pytest.mark.parametrize(
    ("noun", "article"),
    [("actor", "an"), ("dentist", "a"), ("urologist", "a"), ("union officer", "a"), ("underwriter", "an")],
)
def test_the_article_fits_the_noun(noun, article):
    assert indefinite_article(noun) == article


# ---- questions


def test_questions_are_answered_by_the_facts():
    population = Population(30, seed=8)
    people = {person.name: person for person in population}
    questions = biography_questions(population, attributes=None, wordings=2)
    assert questions.column_names == ["question", "answers", "entity", "attribute"]
    assert len(questions) == 30 * len(ATTRIBUTES) * 2
    for record in questions:
        assert record["answers"] == [people[record["entity"]].facts[record["attribute"]]]
        assert record["entity"] in record["question"]


def test_the_canonical_question_is_that_of_the_reference_task():
    population = Population(3)
    questions = biography_questions(population)["question"]
    assert questions[:] == [f"Where was {person.name} born?" for person in population]


def test_every_answer_stands_in_the_biography_of_its_entity():
    population = Population(100, num_cities=200)
    texts = dict(zip(*(biography_documents(population)[column] for column in ("title", "text")), strict=True))
    for record in biography_questions(population, attributes=list(ATTRIBUTES)):
        assert record["answers"][0] in texts[record["entity"]]


# ---- mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_people": 0}, "num_people must be from 1 to"),
        ({"num_people": 10**9}, "num_people must be from 1 to 287,794,860, not 1,000,000,000"),
        ({"num_people": 10**10, "middle_names": True}, "num_people must be from 1 to [0-9,]+, not 10,000"),
        ({"num_people": 5, "num_cities": 0}, "num_cities must be from 1 to"),
        ({"num_people": 5, "num_cities": 10**6}, "num_cities must be from 1 to"),
        ({"num_people": 5, "city_skew": -0.1}, "city_skew"),
        ({"num_people": 5, "city_skew": float("nan")}, "city_skew"),
    ],
)
def test_an_impossible_population_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Population(**options)


@pytest.mark.parametrize("write", [biography_documents, stream_biographies])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"versions": 0}, "versions must be at least 1"),
        ({"attributes": ["height"]}, r"unknown attributes \['height'\].*'birth_place'"),
        ({"attributes": []}, "no attributes given"),
        ({"attributes": "birth_place"}, "not the string"),
        ({"unit": "page"}, "unit must be"),
        ({"full_name": "never"}, "full_name must be"),
        ({"unit": "sentence", "full_name": "first"}, "a lone sentence"),
    ],
)
def test_impossible_documents_are_refused_before_any_is_written(write, options, message):
    with pytest.raises(ValueError, match=message):
        write(Population(5), **options)


def test_impossible_questions_streams_and_people_are_refused():
    population = Population(5)
    with pytest.raises(ValueError, match="unknown attributes"):
        biography_questions(population, attributes=["height"])
    for wordings in (0, 99):
        with pytest.raises(ValueError, match="wordings must be from 1 to"):
            biography_questions(population, wordings=wordings)
    with pytest.raises(ValueError, match="num_shards"):
        stream_biographies(population, num_shards=0)
    with pytest.raises(ValueError, match="unknown attributes"):
        population.values("height")
    for index in (5, -6):
        with pytest.raises(IndexError, match="population of 5"):
            population[index]


# ---- the laboratory's knobs


def test_fewer_wordings_are_fewer_texts_and_the_default_is_all_of_them():
    for wordings in (1, 2, 4):
        options = {"versions": 8, "attributes": ["employer"], "unit": "sentence"}
        documents = biography_documents(Population(6), diversity=Diversity(wordings=wordings), **options)
        for first in range(0, 48, 8):
            assert len(set(documents["text"][first : first + 8])) == wordings
    default, stated = biography_documents(Population(6), versions=3), Diversity(None, True, False)
    assert default.to_list() == biography_documents(Population(6), versions=3, diversity=stated).to_list()


def test_more_wordings_keep_the_earlier_ones():
    few, many = (
        biography_documents(Population(4), versions=6, attributes=["university"], diversity=Diversity(wordings=n))
        for n in (2, 4)
    )
    for first in range(0, 24, 6):
        assert few["text"][first : first + 2] == many["text"][first : first + 2]
        assert set(few["text"][first : first + 6]) < set(many["text"][first : first + 6])


def test_a_fixed_order_is_that_of_the_attributes_and_a_shuffled_one_changes():
    attributes = ("employer", "birth_place", "university")
    orders = {}
    for shuffle in (False, True):
        documents = biography_documents(
            Population(10), versions=4, attributes=attributes, diversity=Diversity(shuffle=shuffle)
        )
        people = {person.name: person.facts for person in Population(10)}
        orders[shuffle] = [
            tuple(sorted(attributes, key=lambda name: document["text"].index(people[document["title"]][name])))
            for document in documents
        ]
    assert set(orders[False]) == {attributes}
    assert len(set(orders[True])) == 6


def test_no_text_leads_from_a_value_to_a_name_where_the_name_comes_first():
    diversity, population = Diversity(name_first=True), Population(20)
    documents = biography_documents(population, versions=16, unit="sentence", diversity=diversity)
    facts = {person.name: person.facts.values() for person in population}
    for document in documents:
        before, _, after = document["text"].partition(document["title"])
        assert not any(value in before for value in facts[document["title"]])
        assert sum(value in after for value in facts[document["title"]]) >= 1
    assert all(len(diversity.statements(attribute)) >= 8 for attribute in ATTRIBUTES)


def test_few_wordings_have_the_name_first_and_more_of_them_begin_with_those():
    """Whether a fact is memorised can then be asked of every person, whatever the other wordings are."""
    population, options = Population(40), {"versions": 16, "unit": "sentence", "attributes": ["birth_place"]}
    for wordings in (1, 3, 9, 16):
        texts = biography_documents(population, diversity=Diversity(wordings=wordings), **options)["text"][:]
        for person in population:
            own = texts[16 * person.index : 16 * person.index + wordings]
            first = [text.index(person.name) < text.index(person.facts["birth_place"]) for text in own]
            assert first == [True] * min(wordings, 9) + [False] * (wordings - 9)
            assert len(set(own)) == wordings


@pytest.mark.parametrize("wordings", [0, 17])
def test_wordings_that_there_are_not_are_refused(wordings):
    with pytest.raises(ValueError, match="wordings must be from 1 to 16 for birth_place"):
        biography_documents(Population(2), attributes=["birth_place"], diversity=Diversity(wordings=wordings))


@pytest.mark.parametrize("attribute", list(ATTRIBUTES))
def test_questions_in_reverse_lead_from_a_value_to_the_one_person_who_has_it(attribute):
    population = Population(150, seed=6, num_cities=500)
    holders = {}
    for person in population:
        holders.setdefault(person.facts[attribute], []).append(person.name)
    unique = {value: names[0] for value, names in holders.items() if len(names) == 1}
    questions = reversed_questions(population, attributes=[attribute])
    assert len(questions) == len(unique)
    for record, (value, name) in zip(questions, unique.items(), strict=True):
        assert record["answers"] == [name] and record["entity"] == name and record["attribute"] == attribute
        assert value in record["question"] and name not in record["question"]


def test_a_question_in_reverse_reads_like_one():
    questions = reversed_questions(Population(40, num_cities=3000), attributes=["birth_place", "profession"])
    by_attribute = {record["attribute"]: record["question"] for record in questions}
    assert re.fullmatch(r"Who was born in [A-Z].*\?", by_attribute["birth_place"])
    assert re.fullmatch(r"Who was an? [a-z ]+\?", by_attribute["profession"])
