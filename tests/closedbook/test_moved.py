"""Old names of modules say where they went; names that never were ours stay unknown as ever."""

import importlib
import importlib.metadata
import importlib.util

import pytest

import closedbook
from closedbook.moved import MOVED


@pytest.mark.parametrize("old", sorted(MOVED))
def test_an_old_name_says_the_new_one_which_exists(old):
    with pytest.raises(ModuleNotFoundError, match=f"^closedbook.{old} is now closedbook.{MOVED[old]} "):
        importlib.import_module(f"closedbook.{old}")
    assert importlib.util.find_spec(f"closedbook.{MOVED[old]}") is not None


@pytest.mark.parametrize(("room", "name"), [old.rsplit(".", 1) for old in sorted(MOVED)])
def test_an_old_name_asked_of_its_room_says_so_too(room, name):
    with pytest.raises(ModuleNotFoundError, match=f"^closedbook.{room}.{name} is now closedbook."):
        exec(f"from closedbook.{room} import {name}")


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("data.objectives", "OBJECTIVES"),
        ("data.objectives", "check_objectives"),
        ("evaluation.answering", "answer_questions"),
        ("evaluation.answering", "Answer"),
        ("evaluation.knowing", "summarise_knowing"),
    ],
)
def test_a_module_that_became_a_room_still_has_its_public_names(room, name):
    assert getattr(importlib.import_module(f"closedbook.{room}"), name)


def test_unknown_names_are_unknown_as_ever():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'closedbook\.nonsense'"):
        importlib.import_module("closedbook.nonsense")
    with pytest.raises(AttributeError):
        closedbook.nonsense  # noqa: B018


def test_the_package_has_a_version_and_names_found_when_used():
    assert closedbook.__version__ == importlib.metadata.version("closedbook")
    from closedbook import Population, answer_questions, pretrain, read_run

    assert all(map(callable, (Population, answer_questions, pretrain, read_run)))
