"""The facts of the installed packages, and what is said where there are none."""

import importlib.util
from collections import Counter

import pytest

from closedbook.data import real_facts as module
from closedbook.data.corpora import CORPORA
from closedbook.data.facts.written import Fact, Relation, Subject
from closedbook.data.questions import QUESTION_SETS, SPECIAL_CHARACTERS
from closedbook.data.real_facts import REAL_FACTS, RealFacts, country_facts, element_facts, real_facts
from closedbook.training.question_sets import read_questions


def needs(name):
    missing = [package for package in REAL_FACTS[name].packages if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)} (closedbook[facts])")


@pytest.fixture
def invented(monkeypatch):
    relations = {"symbol": Relation("{subject} is {object}.", ("What is {subject}?", "And {subject}?"))}
    relations["sea"] = Relation("{subject} has the {object}.", ("Which sea has {subject}?", "And the sea?"))
    subjects = tuple(
        Subject(f"S{i}", (Fact(f"S{i}", "symbol", (f"s{i}",)), Fact(f"S{i}", "sea", ("North",))))
        for i in range(20)
    )
    monkeypatch.setitem(REAL_FACTS, "elements", RealFacts((), lambda: subjects, relations))
    module.subjects_of.cache_clear()
    yield
    module.subjects_of.cache_clear()


def test_questions_come_in_two_parts_that_share_no_subject(invented):
    load = QUESTION_SETS["elements"]
    parts = {split: load(split) for split in ("train", "test", "all")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 24, "test": 16, "all": 40}
    assert not set(parts["train"]["entity"]) & set(parts["test"]["entity"])
    assert parts["all"][0] == {"question": "What is S0?", "answers": ["s0"], "entity": "S0", "attribute": "symbol"}
    assert set(load("all?relation=sea")["attribute"]) == {"sea"}
    assert load("all?wordings=2")["question"][:2] == ["What is S0?", "And S0?"]
    assert load("test", with_answers=False)["answers"][0] == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("dev", "elements has no split 'dev'; it has: train, test, all"),
        ("all?relation=colour", "elements has no relation 'colour'; it has: symbol, sea"),
        ("all?wordings=3", "wordings=3 of elements: give 1 to 2"),
        ("all?name=x", "unknown option 'name'"),
        (None, "questions of kind 'elements' need a part: train, test or all"),
    ],
)
def test_a_part_that_there_is_not_is_refused(invented, source, message):
    with pytest.raises(ValueError, match=message):
        read_questions("elements", source)


@pytest.mark.parametrize("name", REAL_FACTS)
def test_missing_packages_are_named_with_what_to_install(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(
        ValueError, match=rf"^the facts about {name} need the package .*pip install 'closedbook\[facts\]'$"
    ):
        module.check_packages(name)


@pytest.mark.slow  # the packages take some seconds to import
@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in REAL_FACTS])
def test_the_facts_of_the_packages_stand_in_their_documents(name):
    facts, documents = real_facts(name), CORPORA[name]()
    texts = dict(zip(documents["title"], documents["text"], strict=True))
    assert len(texts) == len(documents)
    assert all(fact["sentence"] in texts[fact["subject"]] for fact in facts)
    asked = Counter((fact["subject"], fact["relation"]) for fact in facts)
    assert set(asked.values()) == {1}
    assert not any(set(SPECIAL_CHARACTERS) & set(text) for text in texts.values())
    for fact in facts:
        assert fact["answers"][0] == fact["object"].strip() != ""
        assert all(fact["subject"] in question for question in fact["questions"])
    backwards = [question for question in facts["reversed_question"] if question]
    assert len(backwards) == len(set(backwards)) > 300


def found(facts, subject):
    return {fact["relation"]: fact["answers"] for fact in facts if fact["subject"] == subject}


@pytest.mark.slow
@needs("elements")
def test_elements_that_are_known():
    facts = element_facts()
    assert len(set(facts["subject"])) == 118
    assert found(facts, "Phosphorus")["discoverer"] == ["Hennig Brand"]
    assert {"Marie Curie", "Pierre Curie"} < set(found(facts, "Radium")["discoverer"])
    assert "discoverer" not in found(facts, "Gold")
    assert "year of discovery" not in found(facts, "Neodymium")  # 1925 in the table, 1885 in the prose


@pytest.mark.slow
@needs("countries")
def test_countries_that_are_known():
    facts = country_facts()
    assert found(facts, "Switzerland")["currency"] == ["Swiss Franc", "CHF"]
    assert found(facts, "Bhutan")["language"] == ["Dzongkha"]
    assert found(facts, "British Virgin Islands")["capital"] == ["Road Town"]
    assert "currency" not in found(facts, "Belarus")  # of before 2016
    assert not {"Scotland", "Antarctica", "Serbia and Montenegro"} & set(facts["subject"])
