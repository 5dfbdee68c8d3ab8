"""Whom a question is about."""

import pytest

from closedbook.evaluation.knowing.subjects import MOST_WORDINGS, find_subject, question_wordings


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("Where was Charles de la Tour born?", "Charles de la Tour"),
        ("Where did Ludwig van Beethoven live in Bonn?", "Ludwig van Beethoven"),
        ("Is St. Mary's College near Oxford?", "St. Mary's College"),
        ("When was Anna O'Neil-Smith, Jr. born?", "Anna O'Neil-Smith, Jr."),
        ("Wo liegt München?", "München"),
        ("what is it?", "what is it"),
        ("山は?", "山は"),
        ("Ada?", "Ada"),
        ("?", "?"),
        (" ...", " ..."),
    ],
)
def test_without_a_wording_it_is_the_longest_name_or_all(question, subject):
    assert find_subject(question) == subject


def test_a_wording_that_is_known_leaves_the_subject_whatever_its_letters():
    wordings = [("Where was ", " born?"), ("Where was ", "?"), ("", "")]
    assert find_subject("Where was bell hooks born?", wordings) == "bell hooks"
    assert find_subject("Where was bell hooks raised?", wordings) == "bell hooks raised"
    assert find_subject("Where was   born?", [("Where was ", " born?")]) == "Where was   born"  # nobody
    assert find_subject("Where was born?", [("Where was ", " born?")]) == "Where was born"  # the two overlap


def test_wordings_are_what_stands_around_subjects():
    asked = [("Who is Ada?", "Ada"), ("Where is Bo", "Bo"), ("Who is Cy?", "Cy"), ("no subject", "Di"), ("x", "")]
    assert question_wordings(asked) == [("Who is ", "?"), ("Where is ", "")]
    assert len(question_wordings((f"{number} Ada", "Ada") for number in range(2 * MOST_WORDINGS))) == MOST_WORDINGS
