"""Invented people: nobody of that name, yet names like everybody's."""

import statistics
from random import Random

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.people.biographies import Population, biography_documents, biography_questions
from closedbook.data.people.invented import UNKNOWN_ANSWER, ask_about, invent_people, split_name
from closedbook.data.questions import entity_key


@pytest.fixture(scope="module")
def biographies() -> Dataset:
    return biography_documents(Population(120, seed=1), versions=1, attributes=["birth_place"])


def corpus(*names: str) -> Dataset:
    return Dataset.from_dict({"title": list(names), "text": [f"{name} was born." for name in names]})


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Ada Lind", ("Ada", "Lind")),
        ("Thomas Elliot Bowman III", ("Thomas Elliot", "Bowman III")),
        ("Horatio Bisbee, Jr.", ("Horatio", "Bisbee, Jr.")),
        ("Samuel von Schmettau", ("Samuel", "von Schmettau")),
        ("E. Riley Anderson", ("E. Riley", "Anderson")),
        ("Scientist", None),
        ("Gilbert de Clare, 7th Earl of Gloucester", None),
        ("", None),
    ],
)
def test_particles_and_suffixes_stay_with_the_surname(name, parts):
    assert split_name(name) == parts


def test_invented_people_occur_in_no_title_no_text_and_nothing_taken(biographies):
    taken = biography_questions(Population(40, seed=2))["question"][:]
    names = invent_people(biographies, 300, seed=5, taken=taken)
    known = "\n".join(map(entity_key, [*biographies["title"], *biographies["text"], *taken]))
    assert len({entity_key(name) for name in names}) == 300
    assert [name for name in names if entity_key(name) in known] == []


@given(seed=st.integers(0, 10**6))
def test_what_is_only_mentioned_in_a_text_is_not_invented(seed):
    names = corpus("Ada Lind", "Bo Rask")
    mentioned = Dataset.from_dict({"title": ["Ada Lind", "Bo Rask"], "text": ["with ADA  RASK", ""]})
    assert set(invent_people(names, 2, seed=seed)) == {"Ada Rask", "Bo Lind"}
    assert invent_people(mentioned, 1, seed=seed) == ["Bo Lind"]


def test_the_seed_alone_decides_and_fewer_are_the_beginning_of_more(biographies):
    names = invent_people(biographies, 60, seed=5)
    order = list(range(len(biographies)))
    Random(0).shuffle(order)
    assert invent_people(biographies.select(order), 60, seed=5) == names
    assert invent_people(biographies, 20, seed=5) == names[:20]
    assert invent_people(biographies, 60, seed=6) != names


def test_a_second_list_that_is_told_of_the_first_does_not_meet_it(biographies):
    first = invent_people(biographies, 150, seed=5)
    second = invent_people(biographies, 150, seed=5, taken=first)
    assert set(first).isdisjoint(second)


def test_lengths_and_letters_are_those_of_the_corpus(biographies):
    real = sorted(set(biographies["title"]))
    names = invent_people(biographies, len(real), seed=0)
    # Every name keeps its first names, and its surname's length within two characters.
    assert abs(statistics.mean(map(len, names)) - statistics.mean(map(len, real))) < 1
    assert abs(statistics.stdev(map(len, names)) - statistics.stdev(map(len, real))) < 1
    assert {name.split()[0] for name in names} <= {name.split()[0] for name in real}
    assert {name.split()[-1] for name in names} <= {name.split()[-1] for name in real}


@pytest.mark.parametrize("documents", [corpus("", ""), corpus("Ada Lind", "Ada Rask"), corpus("Bo", "Cy9")])
def test_too_few_names_to_recombine_is_an_error_that_counts_them(documents):
    with pytest.raises(ValueError, match="give only 0 names of people who do not exist, not 3"):
        invent_people(documents, 3, seed=0)


def test_titles_of_one_word_lend_each_other_their_halves():
    towns = ["Berrow", "Pellwick", "Ustle", "Sarn", "Marrowby", "Tolpin"]
    names = invent_people(corpus(*towns), 8, seed=0)
    assert len(set(names)) == 8 and not set(names) & set(towns)
    halves = [{town[: len(town) // 2] for town in towns}, {town[len(town) // 2 :] for town in towns}]
    assert all(any(name == a + b for a in halves[0] for b in halves[1]) for name in names)


def test_a_negative_number_is_refused(biographies):
    with pytest.raises(ValueError, match="num_people"):
        invent_people(biographies, -1, seed=0)


def test_questions_keep_their_wording_and_exchange_the_name_alone():
    asked = Dataset.from_dict(
        {
            "question": ["Where was Al born?", "What is the home of Bo Rask, born {}?"],
            "entity": ["Al", "Bo Rask"],
        }
    )
    rows = ask_about(["Cy Lind"] * 20, asked, answers=[UNKNOWN_ANSWER], seed=1)
    wordings = {"Where was Cy Lind born?", "What is the home of Cy Lind, born {}?"}
    assert set(rows["question"]) == wordings
    assert set(rows["entity"]) == {"Cy Lind"}
    assert rows["answers"][:] == [["unknown"]] * 20
    assert rows.to_list() == ask_about(["Cy Lind"] * 20, asked, answers=[UNKNOWN_ANSWER], seed=1).to_list()


def test_a_name_inside_another_word_is_not_exchanged():
    asked = Dataset.from_dict({"question": ["Where in Alabama was Al born?"], "entity": ["Al"]})
    assert ask_about(["Cy"], asked, answers=[], seed=0)["question"][:] == ["Where in Alabama was Cy born?"]


def test_questions_that_do_not_name_their_entity_cannot_be_reworded():
    asked = Dataset.from_dict({"question": ["Where was he born?"], "entity": ["Al"]})
    with pytest.raises(ValueError, match="none of 1 questions holds the name"):
        ask_about(["Cy"], asked, answers=[], seed=0)
