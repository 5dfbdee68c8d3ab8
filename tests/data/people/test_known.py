"""What a corpus names: of synthetic people by arithmetic, which agrees with looking through all documents."""

from random import Random

import pytest

import closedbook.data.people.known as known_module
from closedbook.data.people import on_demand
from closedbook.data.people.biographies import biography_documents
from closedbook.data.people.invented import invent_people
from closedbook.data.people.known import KnownPeople, what_is_known
from closedbook.data.people.on_demand import BiographyDocuments
from closedbook.data.people.population import Population
from closedbook.data.people.strangers import KINDS, invent_strangers
from closedbook.data.people.wordings import name_pools
from closedbook.data.questions import entity_key

FIRST_NAMES, SURNAMES, COMPANIES = name_pools()
ALL = 287_794_860


@pytest.fixture(scope="module", autouse=True)
def smaller_samples():
    """Enough for the tests, in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(on_demand, "SAMPLED", 1_000)
        patch.setattr(known_module, "SAMPLED", 1_000)
        yield


@pytest.fixture(scope="module", params=[False, True], ids=["two names", "three names"])
def both(request):
    """Of the same documents, held and made when asked for: the population, what is known of either, the former."""
    population = Population(200, seed=4, middle_names=request.param)
    options = {"versions": 16, "unit": "sentence"}
    held = biography_documents(population, **options)
    return population, what_is_known(held), what_is_known(BiographyDocuments(population, **options)), held


def test_whoever_stands_in_a_document_is_known(both):
    population, looked_up, worked_out, _ = both
    assert isinstance(worked_out, KnownPeople)
    for person in population:
        assert entity_key(person.name) in worked_out
    assert worked_out.titles == looked_up.titles
    assert worked_out.letters == looked_up.letters
    assert worked_out.words >= looked_up.words


def test_no_stretch_of_a_document_is_taken_for_new(both):
    """Words one after the other, the outer ones cut anywhere: whatever looking finds, arithmetic finds."""
    worked_out, held = both[2:]
    random = Random(1)
    for text in random.sample(held["text"][:], 150):
        line = entity_key(text)
        start = random.randrange(len(line))
        stretch = line[start : random.randint(start + 1, len(line))].strip()
        assert not stretch or stretch in worked_out, stretch


def test_nor_is_one_across_sentences():
    documents = BiographyDocuments(Population(60), versions=2, full_name="first")
    known, random = what_is_known(documents), Random(1)
    for record in documents:
        line = entity_key(record["text"])
        start = random.randrange(len(line))
        stretch = line[start : start + random.randint(1, 60)].strip()
        assert not stretch or stretch in known, stretch


def test_of_first_names_and_surnames_both_say_the_same(both):
    population, looked_up, worked_out, _ = both
    random = Random(0)
    names = [person.name.split() for person in population]
    for _ in range(500):
        first, *middle = random.choice(names)[:-1]
        surname = random.choice([random.choice(SURNAMES), random.choice(names)[-1]])
        key = entity_key(" ".join((first, *middle, surname)))
        assert (key in worked_out) == (key in looked_up), key


@pytest.mark.parametrize(
    "key", ["was born in", "lists", "born on 3 may", "drew", "k. abbott", "e k. a", "aaron k."]
)
def test_what_may_stand_in_a_text_counts_as_standing_there(key):
    assert key in what_is_known(BiographyDocuments(Population(10**8), versions=16, unit="sentence"))


def test_taken_texts_are_known():
    documents = BiographyDocuments(Population(10**8))
    stranger = next(Population(10**8).outsiders(Random(3)))
    assert entity_key(stranger) not in what_is_known(documents)
    assert entity_key(stranger) in what_is_known(documents, [f"who was {stranger}?"])


@pytest.mark.parametrize("num_people", [1, 478_860, 100_000_000, ALL - 200])
def test_strangers_are_strangers_to_any_number_of_people(num_people):
    population = Population(num_people, seed=6)
    documents = BiographyDocuments(population, unit="sentence")
    invented = invent_people(documents, 60, seed=1)
    assert len({entity_key(name) for name in invented}) == 60
    everybody = Population(population.num_names, seed=6)
    for name in invented:  # nobody here, and somebody among all that there can be
        assert population.place(name) is None
        assert num_people <= everybody.find(name).index
    assert invent_people(documents, 20, seed=1) == invented[:20]
    assert not {*invent_people(documents, 60, seed=1, taken=invented)} & {*invented}


def test_every_kind_of_stranger_is_one_among_a_hundred_million():
    population = Population(100_000_000, seed=1)
    found = invent_strangers(BiographyDocuments(population, unit="sentence"), 10, seed=0, longest=24)
    assert {kind: len(names) for kind, names in found.items()} == dict.fromkeys(KINDS, 10)
    everything = [name for names in found.values() for name in names]
    assert not [name for name in everything if population.place(name) is not None]


def test_where_everybody_exists_nobody_can_be_invented():
    with pytest.raises(ValueError, match="give only 0 names of people who do not exist, not 1"):
        invent_people(BiographyDocuments(Population(ALL)), 1, seed=0)
