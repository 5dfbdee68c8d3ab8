"""The majority baseline comes from training answers alone, and scores what the task's files say it must."""

import os
import random
from pathlib import Path

import pytest
from datasets import Dataset

from closedbook.data.questions import load_question_file
from closedbook.evaluation.knowing.baselines import evaluate_majority, majority_answer


def questions(*answers: list[str]) -> Dataset:
    names = [f"Person {i}" for i in range(len(answers))]
    asked = [f"Where was {name} born?" for name in names]
    return Dataset.from_dict({"question": asked, "answers": list(answers), "entity": names})


def test_the_most_common_canonical_answer_wins_and_aliases_do_not_count():
    training = questions(["Rome"], ["Oslo", "Rome"], ["Rome"], ["Bonn", "Rome"])
    assert majority_answer(training) == ("Rome", 0.5)


def test_of_equally_common_answers_the_alphabetically_first_wins_in_any_order():
    answers = [["Oslo"], ["Bonn"], ["Rome"], ["Bonn"], ["Oslo"]]
    for seed in range(5):
        random.Random(seed).shuffle(answers)
        assert majority_answer(questions(*answers)) == ("Bonn", 0.4)


def test_an_alias_of_a_held_out_question_counts_as_correct():
    score = evaluate_majority(
        questions(["Rome"], ["Rome"]), questions(["Roma", "Rome"], ["Oslo"], ["rome"], ["Rome"])
    )
    assert (score.answer, score.share, score.correct, score.n) == ("Rome", 1.0, 2, 4)
    assert score.accuracy == 0.5


def test_the_held_out_answers_do_not_influence_which_answer_is_given():
    score = evaluate_majority(questions(["Rome"]), questions(["Oslo"], ["Oslo"]))
    assert (score.answer, score.correct) == ("Rome", 0)


@pytest.mark.parametrize(
    ("training", "held_out", "message"),
    [
        (questions(), questions(["Rome"]), "training questions, but there are none"),
        (questions(["Rome"]), questions(), "no held-out questions"),
        (questions(["Rome"], []), questions(["Rome"]), "training question 1 has no answer"),
        (questions(["Rome"]), questions(["Rome"], []), "question 1 has no accepted answer"),
    ],
)
def test_questions_without_answers_are_refused(training, held_out, message):
    with pytest.raises(ValueError, match=message):
        evaluate_majority(training, held_out)


@pytest.mark.skipif(
    "CLOSEDBOOK_CS224N" not in os.environ, reason="CLOSEDBOOK_CS224N does not name the course's folder"
)
def test_always_london_scores_exactly_five_percent_on_the_courses_development_questions():
    folder = Path(os.environ["CLOSEDBOOK_CS224N"])
    # Nine training questions stand in the file with two places; the baseline counts every line.
    score = evaluate_majority(
        load_question_file(folder / "birth_places_train.tsv", on_conflict="keep"),
        load_question_file(folder / "birth_dev.tsv"),
    )
    assert (score.answer, score.correct, score.n) == ("London", 25, 500)
    assert score.accuracy == 0.05
