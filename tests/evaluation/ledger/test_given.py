"""Facts and questions of a user: read, put beside the documents, grouped by fact; what is wrong is named."""

import pytest
from datasets import Dataset

from closedbook.evaluation.ledger.given import beside_documents, facts_of_questions, read_facts

DOCUMENTS = [{"title": "Ada Lind", "text": "She sang.\nAda Lind was born in Oslo.", "source": "a.md:1"}]


def questions(*rows):
    return Dataset.from_list([dict(zip(("question", "answers", "entity"), row, strict=True)) for row in rows])


def test_questions_with_one_entity_and_answer_are_wordings_of_one_fact():
    asked = questions(
        ("Where was Ada born?", ["Oslo"], "Ada Lind"),
        ("Ada's birthplace?", ["oslo", "Christiania"], "ada lind"),
        ("Who taught Ada?", ["Bo"], "Ada Lind"),
    )
    facts = facts_of_questions(asked)
    assert [fact.questions for fact in facts] == [
        ("Where was Ada born?", "Ada's birthplace?"),
        ("Who taught Ada?",),
    ]
    assert facts[0].answers == ("Oslo", "oslo", "Christiania")


def test_a_given_fact_finds_its_sentence_and_one_about_nothing_is_told():
    asked = questions(("Where was Ada born?", ["Oslo"], "Ada Lind"), ("Who is Xu?", ["Bo"], "Xu Yi"))
    given = beside_documents(facts_of_questions(asked), DOCUMENTS, 3)
    (fact,) = given.facts
    assert (fact.source, fact.beginning, fact.ending) == ("a.md:2", "Ada Lind was born in ", ".")
    assert given.about_nothing == [("Xu Yi", "Who is Xu?")]


def test_a_fact_that_is_stated_nowhere_is_asked_all_the_same(tmp_path):
    file = tmp_path / "facts.tsv"
    file.write_text("Ada Lind\temployer\tMeridian\nAda Lind\twas born in\tOslo\n", encoding="utf-8")
    nowhere, stated = beside_documents(read_facts(file), DOCUMENTS, 2).facts
    assert (nowhere.stated, nowhere.source, len(nowhere.questions)) == (0, "", 2)
    assert stated.questions[0] == "Ada Lind was born in what?" and stated.source == "a.md:2"


@pytest.mark.parametrize(
    ("name", "line", "wrong"),
    [
        ("facts.tsv", "Ada Lind\tOslo", "expected subject<TAB>relation<TAB>object"),
        ("facts.jsonl", '{"subject": "Ada", "relation": "x"}', "object: has to be a text"),
        ("facts.jsonl", '["Ada"]', "expected a JSON object"),
        ("facts.jsonl", '{"subject": "A", "relation": "x", "object": "B", "aliases": "C"}', "aliases has to be a"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, name, line, wrong):
    (tmp_path / name).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name}:1: .*{wrong}"):
        read_facts(tmp_path / name)
