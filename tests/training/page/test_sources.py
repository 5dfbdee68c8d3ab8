"""What the documents say of the subject of a question."""

import pytest

from closedbook.training.page.sources import NEVER_READ, NEVER_STATED, SHOWN, STATED, Documents, Source

READ = Documents(
    [
        {"title": "Ada Lind", "text": "Ada Lind was a miller.\nShe was born in Oslo.", "source": "notes/ada.md:3"},
        {"title": "Ada", "text": "Ada is a language. One. Two. Three. Four."},
        {"title": "", "text": "It was Bo Marsh who built the bridge of Rome."},
    ]
)


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("Where was Ada Lind born?", "Ada Lind"),  # the longest title, not the shorter one in it
        ("where was ada lind born?", "Ada Lind"),
        ("Where was Bo Marsh born?", "Bo Marsh"),  # by the wording
        ("Which bridge did Bo Marsh build?", "Bo Marsh"),  # by its capitals
        ("What is this?", ""),
        ("Tell me of Adam Lindt", "Adam Lindt"),  # no title on word borders
    ],
)
def test_a_question_is_about_a_title_or_about_what_its_words_name(question, subject):
    assert READ.subject_of(question) == subject


def test_the_sentence_that_holds_the_answer_is_named_with_its_line():
    origin = READ.origin("Where was Ada Lind born?", "Oslo")
    assert (origin.told, origin.sources) == (STATED, (Source("notes/ada.md:4", "She was born in Oslo."),))


def test_a_subject_without_the_answer_shows_what_is_said_of_it():
    origin = READ.origin("Where was Ada born?", "Rome")
    assert origin.told == NEVER_STATED and len(origin.sources) == SHOWN


def test_somebody_who_is_only_mentioned_was_read_about_and_a_stranger_was_not():
    assert READ.origin("Where was Bo Marsh born?", "Rome").told == STATED
    for stranger in ("Where was Cy Ross born?", "What is this?", ""):
        assert READ.origin(stranger, "Rome").told == NEVER_READ
    assert READ.origin("Where was Ada Lind born?", "").told == NEVER_STATED  # no answer stands nowhere
