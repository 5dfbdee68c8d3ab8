"""F1 agrees with a second implementation, gives answer match its due, and loads by its folder."""

import re
from pathlib import Path

import evaluate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.metrics.answer_f1 import answer_f1 as module
from closedbook.evaluation.metrics.answer_f1.answer_f1 import answer_f1_scores
from closedbook.evaluation.metrics.answer_match.answer_match import answer_matches
from closedbook.evaluation.metrics.contains_answer.contains_answer import answer_words

FOLDER = Path(module.__file__).parent
WORDS = st.lists(
    st.sampled_from(["new", "York", "york,", "the", "of", "U.S.", "us", "7", "東京", "東"]), max_size=6
)
TEXTS = WORDS.map(" ".join)


@pytest.fixture(scope="module")
def metric(tmp_path_factory) -> evaluate.Metric:
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path_factory.mktemp("metrics")))


def counted_by_hand(prediction: str, answer: str) -> float:
    """Precision and recall, with the shared words struck off one by one."""
    guessed, wanted = answer_words(prediction), answer_words(answer)
    if not guessed or not wanted:
        return float(guessed == wanted)
    left, shared = list(wanted), 0
    for word in guessed:
        if word in left:
            left.remove(word)
            shared += 1
    if shared == 0:
        return 0.0
    precision, recall = shared / len(guessed), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_a_score_is_the_best_over_the_answers_counted_by_hand(prediction, answers):
    expected = max(counted_by_hand(prediction, answer) for answer in answers)
    score = answer_f1_scores([prediction], [answers])[0]
    assert score == pytest.approx(expected)
    assert 0 <= score <= 1


@given(TEXTS, TEXTS)
def test_what_answer_match_accepts_scores_one(prediction, answer):
    if answer_matches([prediction], [[answer]])[0]:
        assert answer_f1_scores([prediction], [[answer]]) == [1.0]


@given(TEXTS, TEXTS)
def test_prediction_and_answer_may_change_places(prediction, answer):
    assert answer_f1_scores([prediction], [answer]) == answer_f1_scores([answer], [prediction])


def test_nothing_said_scores_nothing_unless_nothing_was_to_be_said():
    assert answer_f1_scores(["", "Rome", ""], [["Rome"], [""], ["", "Rome"]]) == [0.0, 0.0, 1.0]


def test_the_folder_loads_offline_and_its_examples_are_true(metric):
    assert isinstance(metric, evaluate.Metric)
    references = [["Thames", "the Isis"], ["Rome"]]
    result = metric.compute(predictions=["the river Thames", "Rome"], references=references)
    assert result == {"answer_f1": pytest.approx((2 / 3 + 1) / 2), "n": 2}
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"# {result}" in card
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \| (\d\.\d\d) \|$", card, re.MULTILINE)
    assert len(rows) == 5
    for prediction, answer, score in rows:
        assert f"{answer_f1_scores([prediction], [answer])[0]:.2f}" == score


def test_unusable_input_is_refused():
    with pytest.raises(ValueError, match="2 predictions for 1 questions"):
        answer_f1_scores(["a", "b"], [["a"]])
    with pytest.raises(ValueError, match="question 0 has no accepted answer"):
        answer_f1_scores(["a"], [[]])
