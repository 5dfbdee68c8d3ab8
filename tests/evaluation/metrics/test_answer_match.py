"""Spellings that do not matter are one answer, all others stay apart, and the module loads by its folder."""

import re
import unicodedata
from pathlib import Path

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.metrics.answer_match import answer_match as module
from closedbook.evaluation.metrics.answer_match.answer_match import DIFFERENCES, IGNORED, answer_matches, normalize

FOLDER = Path(module.__file__).parent


@pytest.fixture(scope="module")
def metric(tmp_path_factory) -> evaluate.Metric:
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metrics")))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Hague", "the  hague."),
        ("U.S.", "us"),
        ("O'Hara", "O’Hara"),
        ("Paris,France", "Paris, France"),
        ("Stratford-upon-Avon", "Stratford upon Avon"),
        ("K\u00f6ln", "Ko\u0308ln"),
        ("STRASSE", "Straße"),
        ("a theory of the Andes", "Theory of Andes"),
    ],
)
def test_spellings_that_are_one_answer(one, other):
    assert normalize(one) == normalize(other)
    assert one != other


@pytest.mark.parametrize(
    ("one", "other"),
    [("Köln", "Koln"), ("New York", "Newyork"), ("The The", "!!!"), ("A", "The"), ("C++", "C"), ("Bath", "Batha")],
)
def test_answers_that_are_not_one(one, other):
    assert normalize(one) != normalize(other)


@given(st.text(), st.sets(st.sampled_from(DIFFERENCES)))
def test_normalizing_twice_is_normalizing_once_and_leaves_no_answer_empty(text, ignore):
    normalized = normalize(text, ignore)
    assert normalize(normalized, ignore) == normalized
    assert bool(normalized.strip()) == bool(unicodedata.normalize("NFC", text).strip()) or "accents" in ignore
    if "white_space" in ignore:
        assert normalized == " ".join(normalized.split())


@given(st.text(alphabet="aAtThHeE .,-'é\n", max_size=12))
def test_each_difference_is_ignored_only_if_asked(text):
    assert normalize(text, []) == unicodedata.normalize("NFC", text)
    assert normalize(text.upper(), ["case"]) == normalize(text, ["case"])
    assert normalize(f"  {text}\t", ["white_space"]) == normalize(text, ["white_space"])
    assert normalize(text.replace("é", "e"), ["accents"]) == normalize(text, ["accents"])


def test_accents_count_unless_they_are_to_be_ignored(metric):
    sample = {"predictions": ["Koln"], "references": [["Köln"]]}
    assert metric.compute(**sample)["correct"] == 0
    assert metric.compute(**sample, ignore=[*IGNORED, "accents"])["correct"] == 1


def test_the_folder_loads_offline_and_its_examples_are_true(metric):
    assert isinstance(metric, evaluate.Metric)
    result = metric.compute(predictions=["the hague.", "Rome"], references=[["Hague"], ["Paris"]])
    assert result == {"answer_match": 0.5, "correct": 1, "n": 2}
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"# {result}" in card
    for text, ignore, normalized in re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", card, re.MULTILINE):
        assert normalize(text, IGNORED if ignore == "default" else [ignore]) == normalized
    assert all(f"`{name}`" in card for name in DIFFERENCES)


def test_an_accepted_answer_may_be_a_plain_string_or_one_of_several(metric):
    assert metric.compute(predictions=["rome"], references=["Rome"])["correct"] == 1
    assert answer_matches(["usa"], [["United States", "U.S.A."]]) == [True]


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="2 predictions for 1 questions"):
        answer_matches(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="question 0 has no accepted answer"):
        answer_matches(["a"], [[]])
    for ignore in (["spelling"], "case"):
        with pytest.raises(ValueError, match="ignore has to be a list of names out of case, white_space"):
            normalize("a", ignore)
