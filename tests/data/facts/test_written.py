"""Facts as a table and as documents: what the one says stands word for word in the other."""

from closedbook.data.facts.written import (
    FACT_FEATURES,
    Fact,
    Relation,
    Subject,
    fact_table,
    joined,
    write_documents,
)

RELATIONS = {
    "capital": Relation(
        "The capital of {subject} is {object}.",
        ("What is the capital of {subject}?", "Which city?"),
        "Whose capital is {object}?",
        "The capitals of {subject} are {object}.",
    ),
    "sea": Relation("{subject} lies on the {object}.", ("Which sea?",), "What lies on the {object}?"),
}
SUBJECTS = (
    Subject("X", (Fact("X", "capital", ("A", "B"), ("b",)), Fact("X", "sea", ("North Sea",))), "It rains."),
    Subject("Y", (Fact("Y", "capital", ("C",)), Fact("Y", "sea", ("North Sea",)))),
)


def test_a_fact_is_a_row_with_its_sentence_its_questions_and_all_right_answers():
    table = fact_table(SUBJECTS, RELATIONS)
    assert table.features == FACT_FEATURES
    assert table[0] == {
        "subject": "X",
        "relation": "capital",
        "object": "A and B",
        "answers": ["A and B", "A", "B", "b"],
        "sentence": "The capitals of X are A and B.",
        "reversed_question": "Whose capital is A and B?",
        "questions": ["What is the capital of X?", "Which city?"],
    }
    assert table["reversed_question"][:] == ["Whose capital is A and B?", "", "Whose capital is C?", ""]


def test_every_sentence_stands_in_the_document_of_its_subject():
    documents = write_documents(SUBJECTS, RELATIONS)
    assert documents["text"][0] == "The capitals of X are A and B. X lies on the North Sea. It rains."
    texts = dict(zip(documents["title"], documents["text"], strict=True))
    assert all(fact["sentence"] in texts[fact["subject"]] for fact in fact_table(SUBJECTS, RELATIONS))


def test_names_are_listed_as_in_a_sentence():
    assert [joined(list("ABC"[:count])) for count in (1, 2, 3)] == ["A", "A and B", "A, B and C"]
