"""Containment finds answers on word borders only, agrees with answer match, and loads by its folder."""

import re
import string
from pathlib import Path

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.metrics.answer_match.answer_match import answer_matches
from closedbook.evaluation.metrics.contains_answer import contains_answer as module
from closedbook.evaluation.metrics.contains_answer.contains_answer import (
    BORDERS,
    answer_words,
    contains_verdicts,
    normalize,
)

FOLDER = Path(module.__file__).parent
# letters, marks, symbols, articles, accents, letters without spaces: what the rules treat differently
SPELLINGS = st.lists(
    st.sampled_from([*"aAxé .,'’-_!$+\n", "the ", "The", "Rome", "ß", "東", "京", "か", "ก", "\u0301"]), max_size=8
).map("".join)


@pytest.fixture(scope="module")
def metric(tmp_path_factory) -> evaluate.Metric:
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metrics")))


def contains(prediction: str, answer: str, borders: str = "words") -> bool:
    return contains_verdicts([prediction], [[answer]], borders)[0]


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("It is Rome.", "Rome"),
        ("He was born in THE HAGUE, I think", "the Hague"),
        ("the U.S. of A", "us"),
        ("from Stratford upon Avon", "Stratford-upon-Avon"),
        ("Answer: “Köln”!", "Ko\u0308ln"),
        ("either Oslo/Bergen", "Bergen"),
        ("Rome\nQuestion: and then", "Rome"),
        ("they speak 日本語です", "日本語"),
        ("เมืองกรุงเทพครับ", "กรุงเทพ"),
    ],
)
def test_an_answer_is_found_as_whole_words(prediction, answer):
    assert contains(prediction, answer)


@pytest.mark.parametrize(
    ("prediction", "answer"),
    [
        ("a party", "art"),
        ("1976", "7"),
        ("New, in Oslo: York", "New York"),
        ("York New", "New York"),
        ("C++", "C"),
        ("Romeo", "Rome"),
        ("Rome", "Rome and Paris"),
        ("日本", "日本語"),
        ("", "Rome"),
    ],
)
def test_parts_of_words_and_scattered_words_are_no_answer(prediction, answer):
    assert not contains(prediction, answer)


@pytest.mark.parametrize("answer", ["", " ", "\n", "!!!", "The", "...", "’"])
@pytest.mark.parametrize("prediction", ["Rome", "the city of Rome", "What? That!"])
def test_an_answer_of_nothing_or_of_articles_and_marks_is_not_in_every_text(prediction, answer):
    assert not contains(prediction, answer)
    if not answer.strip():
        assert not contains(prediction, answer, "anywhere")
        assert not contains("", answer, "anywhere")


@given(SPELLINGS)
def test_the_words_hold_all_letters_of_the_normalised_text(text):
    assert "".join(answer_words(text)) == normalize(text).replace(" ", "")


@given(SPELLINGS, SPELLINGS)
def test_what_answer_match_accepts_is_contained(prediction, answer):
    if answer_matches([prediction], [[answer]])[0]:
        assert contains(prediction, answer)
    assert contains(prediction, prediction)


@given(st.text(alphabet="abc é7$", max_size=12), st.text(alphabet="abc é7$", max_size=4))
def test_word_borders_agree_with_a_search_in_padded_text(prediction, answer):
    padded_text, padded_answer = (f" {' '.join(normalize(text).split())} " for text in (prediction, answer))
    expected = padded_answer in padded_text if answer.strip() else not padded_text.strip()
    assert contains(prediction, answer) == expected


@given(st.text(alphabet="abcAB .'", max_size=12), st.text(alphabet="abAB.", min_size=1, max_size=3))
def test_anywhere_is_a_plain_search_that_ignores_letter_case(prediction, answer):
    expected = re.search(re.escape(answer), prediction, re.IGNORECASE) is not None
    assert contains(prediction, answer, "anywhere") == expected


def test_anywhere_takes_parts_of_words_and_lists_of_guesses_for_answers():
    assert contains("a party", "art", "anywhere")
    assert contains("Oslo, Rome, Paris, Bonn", "bonn", "anywhere")
    assert not contains("the USA", "U.S.A.", "anywhere")


def test_the_folder_loads_offline_and_its_examples_are_true(metric):
    assert isinstance(metric, evaluate.Metric)
    result = metric.compute(predictions=["It is Rome.", "a party"], references=[["Rome"], ["Art"]])
    assert result == {"contains_answer": 0.5, "correct": 1, "n": 2}
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"# {result}" in card
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| (yes|no) \| (yes|no) \|$", card, re.MULTILINE)
    assert len(rows) == 7
    for prediction, answer, *verdicts in rows:
        for borders, verdict in zip(BORDERS, verdicts, strict=True):
            assert contains(prediction, answer, borders) == (verdict == "yes"), (prediction, borders)


def test_borders_reach_the_metric_and_a_reference_may_be_a_plain_string(metric):
    sample = {"predictions": ["a party"], "references": ["art"]}
    assert metric.compute(**sample)["correct"] == 0
    assert metric.compute(**sample, borders="anywhere")["correct"] == 1


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="2 predictions for 1 questions"):
        contains_verdicts(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="question 0 has no accepted answer"):
        contains_verdicts(["a"], [[]])
    with pytest.raises(ValueError, match="'word'; choose one of words, anywhere"):
        contains_verdicts(["a"], [["a"]], "word")


def published_rule(text: str) -> str:
    """What TriviaQA's own evaluation does to an answer, written down from its description.

    Underscores become spaces; lower case; every ASCII mark and every one of the four quotation marks becomes a
    space; a, an, the go as whole words; white space is evened out.
    """
    marks = re.escape(string.punctuation) + "‘’´`"
    spaced = re.sub(f"[{marks}]", " ", text.replace("_", " ").lower())
    return re.sub(r"\s+", " ", re.sub(r"\b(?:a|an|the)\b", " ", spaced)).strip()


# of the ASCII marks those that the two rules treat alike wherever they stand
SAME_MARKS = '!"#%&()*,-/:;?@[\\]_{}'
ENGLISH = st.lists(
    st.sampled_from([*SAME_MARKS, *"aTn7 \t\n", "the", "An", "THE ", "Hague", ". ", "' ", " ‘", "’ ", "` ", " ´"])
).map("".join)


@given(ENGLISH)
def test_answer_match_spells_as_the_published_evaluation_of_triviaqa_does(text):
    published = published_rule(text)
    if published:
        assert normalize(text) == published


@pytest.mark.parametrize(
    ("text", "ours", "published"),
    [
        ("U.S.", "us", "u s"),  # full stops and apostrophes inside a word do not part it
        ("O'Feeney", "ofeeney", "o feeney"),
        ("J.S.Bach", "jsbach", "j s bach"),
        ("A.b.", "ab", "b"),  # so that an initial is no article
        ("C++", "c++", "c"),  # symbols that are no punctuation stay
        ("New+Zealand", "new+zealand", "new zealand"),
        ("37–41", "37 41", "37–41"),  # typographic marks are marks
        ("“Pray”", "pray", "“pray”"),
        ("Hiſtorie, Straße", "historie strasse", "hiſtorie straße"),  # letters in two spellings are one
        ("The The", "the the", ""),  # an answer of articles or marks is kept
        ("!!!", "!!!", ""),
    ],
)
def test_where_answer_match_differs_from_the_published_evaluation(text, ours, published):
    assert (normalize(text), published_rule(text)) == (ours, published)
