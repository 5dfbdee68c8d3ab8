"""Exact match agrees with scikit-learn and the benchmarks' rules, and loads by path without a network."""

import string
from pathlib import Path

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score

from closedbook.evaluation.metrics.exact_match import exact_match as module
from closedbook.evaluation.metrics.exact_match.exact_match import (
    NORMALIZATIONS,
    ExactMatch,
    exact_match_scores,
    is_match,
    normalize_answer,
)

FOLDER = Path(module.__file__).parent
SAMPLE = {
    "predictions": ["Köln", "Rome", " Paris", "paris"],
    "references": [["Cologne", "Köln"], ["Oslo"], ["Paris"], ["Paris"]],
}


@pytest.fixture(scope="module")
def metric(tmp_path_factory) -> evaluate.Metric:
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metrics")))


def test_the_folder_loads_offline_as_an_evaluate_metric(metric):
    assert isinstance(metric, evaluate.Metric)
    assert metric.compute(**SAMPLE) == {"exact_match": 0.25, "correct": 1, "n": 4}


def test_the_class_also_works_without_loading_by_path():
    assert ExactMatch().compute(**SAMPLE)["exact_match"] == 0.25


def test_one_accepted_answer_a_question_may_be_a_plain_string(metric):
    score = metric.compute(predictions=["Rome", "Oslo"], references=["Rome", "Bergen"])
    assert score == {"exact_match": 0.5, "correct": 1, "n": 2}


def test_questions_may_have_different_numbers_of_aliases(metric):
    references = [["USA", "United States", "America"], ["Oslo"]]
    assert metric.compute(predictions=["America", "Oslo"], references=references)["correct"] == 2


def test_batches_added_one_by_one_score_like_all_at_once(metric):
    for prediction, reference in zip(SAMPLE["predictions"], SAMPLE["references"], strict=True):
        metric.add(prediction=prediction, reference=reference)
    assert metric.compute() == {"exact_match": 0.25, "correct": 1, "n": 4}


def test_a_question_without_accepted_answers_is_an_error(metric):
    with pytest.raises(ValueError, match="question 1 has no accepted answer"):
        metric.compute(predictions=["Oslo", "Rome"], references=[["Oslo"], []])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=30))
def test_scores_without_aliases_are_scikit_learns_accuracy(pairs):
    predictions, references = zip(*pairs, strict=True)
    scores = exact_match_scores(predictions, references)
    assert sum(scores) / len(scores) == pytest.approx(accuracy_score(references, predictions))


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        ("none", "The  U.S. of_‘A’\t"),
        ("squad", "us ofa"),
        ("triviaqa", "u s of"),
    ],
)
def test_each_normalization_follows_its_benchmark(normalization, expected):
    text = "The  U.S. of_A\t" if normalization == "squad" else "The  U.S. of_‘A’\t"
    assert normalize_answer(text, normalization) == expected


def test_squad_keeps_typographic_quotation_marks_and_triviaqa_does_not():
    assert normalize_answer("O’Hara", "squad") == "o’hara"
    assert normalize_answer("O’Hara", "triviaqa") == "o hara"


def test_articles_go_only_as_whole_words():
    assert normalize_answer("A theory of the Andes", "squad") == "theory of andes"


@given(st.text(), st.sampled_from(NORMALIZATIONS))
def test_normalized_text_has_single_spaces_and_no_ascii_punctuation(text, normalization):
    normalized = normalize_answer(text, normalization)
    if normalization == "none":
        assert normalized == text
    else:
        assert normalized == " ".join(normalized.split())
        assert not set(normalized) & set(string.punctuation)
    assert is_match(text, [text], normalization)


@pytest.mark.parametrize("normalization", ["squad", "triviaqa"])
def test_normalization_reaches_the_metric(metric, normalization):
    score = metric.compute(predictions=["the beatles!"], references=[["Beatles"]], normalization=normalization)
    assert score["correct"] == 1


def test_an_unknown_normalization_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="'lower'; choose one of none, squad, triviaqa"):
        normalize_answer("x", "lower")


def test_lists_of_different_length_are_an_error():
    with pytest.raises(ValueError, match="2 predictions for 1 questions"):
        exact_match_scores(["a", "b"], [["a"]])


def test_the_card_names_every_normalization_and_its_example_is_true(metric):
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for normalization in NORMALIZATIONS:
        row = next(line for line in card.splitlines() if line.startswith(f'| `"{normalization}"`'))
        assert row.split("|")[2].strip() == f"`{normalize_answer('The U.S.', normalization)}`"
    example = metric.compute(predictions=["Köln", "Rome"], references=[["Cologne", "Köln"], ["Paris"]])
    assert f"# {example}" in card
