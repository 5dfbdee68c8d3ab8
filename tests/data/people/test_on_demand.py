"""Records that are made when asked for: those of the data sets, row by row, at any size, with nothing held."""

import pickle
import tracemalloc
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedbook.data.people import on_demand
from closedbook.data.people.biographies import biography_documents, biography_questions
from closedbook.data.people.on_demand import SAMPLED, BiographyDocuments, BiographyQuestions
from closedbook.data.people.population import Population
from closedbook.data.people.telling import Diversity
from closedbook.data.people.wordings import ATTRIBUTES, indefinite_article, name_pools

HUGE = 287_794_860
some_attributes = st.lists(st.sampled_from(list(ATTRIBUTES)), min_size=1, unique=True)


@st.composite
def documents_of_few(draw) -> BiographyDocuments:
    full_name = draw(st.sampled_from(["every", "first"]))
    return BiographyDocuments(
        Population(draw(st.integers(1, 6)), seed=draw(st.integers(0, 9)), middle_names=draw(st.booleans())),
        versions=draw(st.integers(1, 18)),
        seed=draw(st.integers(0, 9)),
        attributes=draw(some_attributes),
        full_name=full_name,
        unit="biography" if full_name == "first" else draw(st.sampled_from(["biography", "sentence"])),
        diversity=Diversity(draw(st.sampled_from([None, 3])), draw(st.booleans()), draw(st.booleans())),
    )


def written_another_way(made: BiographyDocuments) -> list[dict]:
    """All documents, one person and one version after the other, out of one stream of random numbers a person."""
    rows = []
    for person in made.population:
        random = Random(f"biographies {made.seed} {person.index}")
        decks = {}
        for attribute in made.attributes:
            statements = made.diversity.statements(attribute)
            drawn = random.sample(statements, len(statements))
            if made.diversity.wordings is not None:  # those with the name before the value first
                ahead = [wording for wording in drawn if wording.find("{name}") < wording.find("{answer}")]
                drawn = ahead + [wording for wording in drawn if wording not in ahead]
            decks[attribute] = drawn[: made.diversity.wordings]
        for version in range(made.versions):
            order = made.attributes
            if made.diversity.shuffle:
                order = random.sample(made.attributes, len(made.attributes))
            sentences = []
            for attribute in order:
                name = person.surname if sentences and made.full_name == "first" else person.name
                answer = person.facts[attribute]
                wording = decks[attribute][version % len(decks[attribute])]
                sentences.append(wording.format(name=name, answer=answer, a=indefinite_article(answer)))
            texts = sentences if made.unit == "sentence" else [" ".join(sentences)]
            rows += [{"title": person.name, "text": text} for text in texts]
    return rows


# ---- the records


@given(documents_of_few())
@settings(max_examples=40)
def test_documents_are_those_of_the_data_set_in_any_order_of_asking(made):
    rows = written_another_way(made)
    assert len(made) == len(rows)
    assert list(made) == rows
    assert [made[place] for place in reversed(range(len(made)))] == rows[::-1]
    options = {name: getattr(made, name) for name in ("versions", "seed", "attributes", "full_name", "unit")}
    assert biography_documents(made.population, diversity=made.diversity, **options).to_list() == rows


@given(st.integers(1, 6), some_attributes, st.integers(1, 4))
@settings(max_examples=30)
def test_questions_are_those_of_the_data_set_in_any_order_of_asking(num_people, attributes, wordings):
    population = Population(num_people, seed=3)
    made = BiographyQuestions(population, attributes=attributes, wordings=wordings)
    rows = [
        {"question": question.format(name=each.name), "answers": [each.facts[name]], "entity": each.name}
        | {"attribute": name}
        for each in population
        for name in attributes
        for question in ATTRIBUTES[name].questions[:wordings]
    ]
    assert list(made) == rows == [made[place] for place in range(len(made))]
    assert biography_questions(population, attributes=attributes, wordings=wordings).to_list() == rows


@given(
    documents_of_few(),
    st.tuples(*[st.none() | st.integers(-40, 40)] * 2, st.sampled_from([None, 1, 2, 3, -1])),
)
@settings(max_examples=40)
def test_a_slice_is_a_slice_of_the_list(made, ends):
    rows, part = written_another_way(made), slice(*ends)
    assert list(made[part]) == rows[part]
    assert len(made[part]) == len(rows[part])
    assert list(made[part][1::2]) == rows[part][1::2]
    assert [made[part][place] for place in range(-len(rows[part]), 0)] == rows[part]


def test_there_is_no_record_beyond_the_last():
    made = BiographyDocuments(Population(3), unit="sentence")[2:9]
    for place in (7, -8):
        with pytest.raises(IndexError, match=f"record {place} of 7"):
            made[place]
    with pytest.raises(IndexError):
        made.about(3)


@pytest.mark.parametrize("num_people", [100, 1_000_000, HUGE])
def test_nothing_is_held_however_many_they_are(num_people):
    made = BiographyDocuments(Population(num_people, seed=5), versions=8, unit="sentence")
    asked = BiographyQuestions(made.population, attributes=None, wordings=4)
    assert len(made) == num_people * 8 * 5 and len(asked) == num_people * 5 * 4
    made[0], asked[0]  # the pools are read once
    random = Random(0)
    tracemalloc.start()
    try:
        for _ in range(40):
            place = random.randrange(len(made))
            person = made.population[place // 40]
            assert made[place]["title"] == person.name
            assert any(fact in made[place]["text"] for fact in person.facts.values())
            assert list(islice(iter(made[place:]), 1)) == [made[place]]
        assert tracemalloc.get_traced_memory()[1] < 100_000  # bytes
    finally:
        tracemalloc.stop()
    assert len(pickle.dumps(made)) < 1_000  # what a data worker is sent
    assert pickle.loads(pickle.dumps(made[7:]))[3] == made[10]


def test_all_about_somebody_is_found_without_looking():
    made = BiographyDocuments(Population(HUGE, seed=2), versions=3, unit="sentence")
    for place in (0, 478_860, 99_999_999, HUGE - 1):
        name = made.population[place].name
        assert made.population.find(name.upper()) == made.population[place]
        about = list(made[:5].about(place))
        assert len(about) == 15 and {record["title"] for record in about} == {name}
        assert about[4] == made[place * 15 + 4]


@given(st.integers(1, 400), st.integers(1, 12), st.integers(1, 60), st.sampled_from(["biography", "sentence"]))
def test_a_spread_sample_has_every_version_of_a_person_in_its_turn(num_people, versions, number, unit):
    made = BiographyDocuments(Population(num_people), versions=versions, unit=unit)
    sample = made.spread(number)
    rows = list(sample.rows)
    assert len(rows) >= min(number, len(made))
    assert rows == list(range(0, len(made), rows[1] if len(rows) > 1 else len(made)))
    if len(rows) >= made.per_person:
        assert {row % made.per_person for row in rows} == set(range(made.per_person))


# ---- what stands for all


@given(documents_of_few())
@settings(max_examples=40)
def test_specimens_have_the_characters_of_all_documents_and_no_other(made):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_demand, "SAMPLED", 2)  # of so few, everything would be in the sample
        specimens = made.specimens()
    texts = [row["text"] for row in written_another_way(made)]
    assert set("".join(specimens)) == set("".join(texts))
    assert set(specimens) <= set(texts)


@pytest.mark.parametrize("attributes", [None, ["birth_place"], ["birth_date"], ["university"]])
@pytest.mark.parametrize("num_people", [20_000, HUGE])
def test_specimens_of_many_people_are_few_and_have_whatever_can_occur(num_people, attributes, monkeypatch):
    monkeypatch.setattr(on_demand, "SAMPLED", 1_000)  # each of the sentences of all is as likely
    made = BiographyDocuments(Population(num_people), versions=40, unit="sentence", attributes=attributes)
    specimens = made.specimens()
    assert len(specimens) <= 1_100
    assert set("".join(specimens)) == set("".join(made.parts()))


def test_the_fingerprint_is_of_all_that_makes_the_documents(monkeypatch):
    made = BiographyDocuments(Population(10**8), versions=2)
    others = [
        BiographyDocuments(Population(10**8 + 1), versions=2),
        BiographyDocuments(Population(10**8, seed=1), versions=2),
        BiographyDocuments(Population(10**8), versions=3),
        BiographyDocuments(Population(10**8), versions=2, seed=1),
        BiographyDocuments(Population(10**8), versions=2, attributes=["birth_place"]),
        BiographyDocuments(Population(10**8), versions=2, unit="sentence"),
        BiographyDocuments(Population(10**8), versions=2, diversity=Diversity(name_first=True)),
        made[1:],
    ]
    assert len({each.fingerprint for each in (made, *others)}) == len(others) + 1
    assert pickle.loads(pickle.dumps(made)).fingerprint == made.fingerprint
    monkeypatch.setattr(on_demand, "name_pools", lambda: name_pools()[:2])  # as another version of Faker would
    on_demand._digest_of_pools.cache_clear()
    before = made.fingerprint
    monkeypatch.undo()
    on_demand._digest_of_pools.cache_clear()
    assert made.fingerprint != before


def test_sampled_is_enough_for_rare_letters():
    """An X begins one first name of 690: among so many documents it is missing less than once in a million."""
    assert (1 - 1 / 690) ** SAMPLED < 1e-6
