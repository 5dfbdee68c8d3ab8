"""Facts by rule: what is found, where it stands, what is asked of it, and what is said of the rest."""

import pytest

from closedbook.evaluation.ledger.facts import KIND_ONLY, SEVERAL, find_facts
from closedbook.evaluation.ledger.sentences import sentences

# sentence after "Ada Lind." -> relation, object, the beginning that is to be finished
STATED = [
    ("Ada Lind was born on 3 May 1960 in Oslo.", "birth_date", "3 May 1960", "Ada Lind was born on "),
    ("Ada Lind was born on 3 May 1960 in Oslo.", "birth_place", "Oslo", "Ada Lind was born on 3 May 1960 in "),
    ("Born in Oslo, Lind became a painter.", "birth_place", "Oslo", "Ada Lind. Born in "),
    ("She was born in Columbus, Ohio.", "birth_place", "Columbus", "Ada Lind. She was born in "),
    ("Ada Lind (3 May 1960 Rome - 2 June 1999 Lima) sang.", "death_place", "Lima", None),
    ("Ada Lind (3 May 1960 Rome - 2 June 1999 Lima) sang.", "birth_date", "3 May 1960", "Ada Lind ("),
    ("Ada Lind studied law at the University\nof Rome.", "school", "University of Rome", None),
    ("Ada Lind works as a bookbinder in Rome.", "profession", "bookbinder", "Ada Lind works as a "),
    ("The capital of Ada Lind is Oslo.", "capital", "Oslo", "The capital of Ada Lind is "),
    ("Her patron was Bo Marsh.", "patron", "Bo Marsh", "Ada Lind. Her patron was "),
    ("- Home town: Oslo", "home town", "Oslo", "Ada Lind. Home town: "),
    ("Ada Lind was founded in 1901 by Bo Marsh.", "founder", "Bo Marsh", None),
]


def found(text, title="Ada Lind", source="a.md:1"):
    return find_facts([{"title": title, "text": text, "source": source}])


@pytest.mark.parametrize(("text", "relation", "object", "begun"), STATED)
def test_a_sentence_states_a_fact(text, relation, object, begun):
    facts = {fact.relation: fact for fact in found(text).facts}
    assert facts[relation].object == object
    assert begun is None or facts[relation].beginning == begun
    assert facts[relation].questions and all("Ada Lind" in question for question in facts[relation].questions)


@pytest.mark.parametrize(
    "text",
    [
        "Ada Lind was born poor and lives in Oslo.",  # another statement between verb and place
        "Ada Lind was born to a sailor who died in Oslo.",
    ],
)
def test_a_place_of_another_statement_is_no_birth_place(text):
    assert "birth_place" not in {fact.relation for fact in found(text).facts}


def test_each_fact_has_the_line_of_its_file():
    text = "# Ada Lind\n\nShe sang.\nAda Lind was\nborn in Oslo.\n\nShe died in Rome.\n"
    sources = {fact.object: fact.source for fact in found(text, source="people/a.md:1").facts}
    assert sources == {"Oslo": "people/a.md:5", "Rome": "people/a.md:7"}
    of_lines = found("x\nAda Lind was born in Oslo.", source="a.jsonl:7").facts
    assert [fact.source for fact in of_lines] == ["a.jsonl:7"]  # an escaped line break is none of the file


def test_a_fact_stated_twice_is_one_fact():
    (fact,) = found("Ada Lind was born in Oslo. She saw Oslo burn.").facts
    assert (fact.relation, fact.stated) == ("birth_place", 2)


def test_what_cannot_be_asked_says_why():
    facts = found("Ada Lind died in Oslo. She died in Rome. She met Bo Marsh.").facts
    reasons = {fact.object: fact.unasked for fact in facts}
    assert reasons == {"Oslo": SEVERAL, "Rome": SEVERAL, "Bo Marsh": KIND_ONLY.format("name")}
    assert not any(fact.questions for fact in facts)


def test_documents_without_a_fact_are_named():
    documents = [{"title": "Ada Lind", "text": "nothing here"}, {"title": "", "text": "no name begins this"}]
    assert [name for name, _ in find_facts(documents).without] == ["Ada Lind", "document 2"]


def test_who_is_asked_for_backward_may_be_anybody_of_whom_it_is_true():
    documents = [{"title": name, "text": f"{name} was born in Oslo."} for name in ("Ada Lind", "Bo Marsh")]
    for fact in find_facts(documents).facts:
        assert set(fact.subjects) == {"Ada Lind", "Bo Marsh"}
        assert fact.reverse == ("Who was born in Oslo?",)


def test_sentences_do_not_run_across_blocks_or_end_at_initials():
    text = (
        "# A b\n\nDr. J. Walker met\nAda. She left.\n- one: 1\n- Two\n\n```\nCode. Here.\n```\n| Row. Of |\nLast"
    )
    assert [" ".join(sentence.text.split()) for sentence in sentences(text)] == [
        *("Dr. J. Walker met Ada.", "She left.", "one: 1", "Two", "Last")
    ]
    assert all(text[s.start :].startswith(s.text) for s in sentences(text))
    assert all(s.line == text[: s.start].count("\n") for s in sentences(text))
