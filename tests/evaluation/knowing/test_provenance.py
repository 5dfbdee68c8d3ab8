"""Where answers can come from, and what is counted for each source."""

import pytest
from datasets import Dataset

from closedbook.data.question_format import QUESTION_FEATURES
from closedbook.evaluation.knowing.provenance import (
    summarise_answers,
    summarise_invented,
    summarise_provenance,
    trace_questions,
)
from closedbook.evaluation.predictions import confidence_of
from closedbook.evaluation.statistics.intervals import wilson_interval

DOCUMENTS = Dataset.from_dict(
    {
        "title": ["Ada Lind", "Bo Rask", "", "Bo Rask"],
        "text": [
            "Ada Lind was born in Oslo.",
            "Bo Rask is a Romeo.",
            "CY  ROSS was born in Lima; Di Stone was not. Anna Dole taught him.",
            "Bo Rask died in Rome.",
        ],
    }
)


def asked(*pairs: tuple[str, list[str]]) -> Dataset:
    rows = [{"question": f"Where was {name} born?", "answers": list(a), "entity": name} for name, a in pairs]
    return Dataset.from_list(rows, features=QUESTION_FEATURES)


def trace(name: str, *answers: str, trained: Dataset | None = None):
    (provenance,) = trace_questions(asked((name, list(answers))), DOCUMENTS, trained)
    return provenance


def test_an_answer_in_a_document_of_that_title_is_stated():
    assert trace("ada lind", "Oslo").name == "stated"
    assert trace("Ada Lind", "Christiania", "Oslo").explanation == "document 1 (Ada Lind) holds 'Oslo'"


def test_every_document_of_the_title_is_read():
    assert trace("Bo Rask", "Rome").explanation == "document 4 (Bo Rask) holds 'Rome'"


def test_an_answer_in_a_document_that_names_the_entity_is_stated():
    assert trace("Cy Ross", "Lima").explanation == "document 3 holds 'Lima'"


def test_an_answer_counts_on_word_borders_and_in_its_own_case_only():
    assert trace("Bo Rask", "Rom").name == "entity_only"
    assert trace("Ada Lind", "oslo").name == "entity_only"


def test_an_answer_stated_about_somebody_else_is_not_stated():
    provenance = trace("Ada Lind", "Lima")
    assert provenance.name == "entity_only"
    expected = "documents about or naming the entity: 1, such as 1 (Ada Lind); none holds an accepted answer"
    assert provenance.explanation == expected


def test_a_name_inside_another_name_was_never_seen():
    assert trace("Ann Lind", "Oslo").name == "unseen"
    assert trace("Anna Do", "Oslo").name == "unseen"
    assert trace("Anna Dole", "Oslo").name == "entity_only"


def test_a_fine_tuning_pair_takes_precedence_and_tells_what_was_read():
    trained = asked(("ADA LIND", ["Bergen"]))
    provenance = trace("Ada Lind", "Oslo", trained=trained)
    assert provenance.name == "fine_tuned"
    assert (
        provenance.explanation
        == "a fine-tuning pair answers 'Bergen'; besides, document 1 (Ada Lind) holds 'Oslo'"
    )
    assert trace("Bo Rask", "Rome", trained=trained).name == "stated"


def test_people_nobody_wrote_about_need_no_answer_but_others_do():
    assert trace("Eve Nord").name == "unseen"
    with pytest.raises(ValueError, match="'Ada Lind', who occurs in the documents"):
        trace("Ada Lind")


def test_no_documents_is_an_error():
    with pytest.raises(ValueError, match="no documents"):
        trace_questions(asked(("Ada", ["Oslo"])), DOCUMENTS.select([]))


def row(correct, confidence, *, provenance="stated", refused=False, **confidences):
    fields = {"question": "q?", "correct": correct, "confidence": confidence, "provenance": provenance}
    return fields | {"refused": refused, "confidences": confidences}


ROWS = [
    row(True, 0.9),
    row(False, 0.8),
    row(False, 0.4, refused=True),
    row(None, 0.6),
    row(False, 0.3, provenance="unseen"),
]


def test_each_class_is_summarised_with_its_wilson_intervals():
    summary = summarise_provenance(ROWS, 0.7)
    assert list(summary) == ["stated", "unseen"]
    stated = summary["stated"]
    assert stated["n"] == 4
    assert stated["accuracy"] == {"count": 1, "n": 3, "share": 1 / 3, "interval": [*wilson_interval(1, 3)]}
    assert stated["mean_confidence"] == pytest.approx((0.9 + 0.8 + 0.6) / 3)  # without the refusal
    assert stated["refused"]["count"] == 1
    assert stated["declined"]["count"] == 2  # the refusal, and the answer of 0.6
    assert (stated["selective_accuracy"]["count"], stated["selective_accuracy"]["n"]) == (1, 2)
    assert summary["unseen"]["selective_accuracy"] == {"count": 0, "n": 0, "share": None, "interval": None}


def test_files_without_the_optional_fields_are_read():
    summary = summarise_answers([{"correct": True, "confidence": 0.5}])
    assert (summary["accuracy"]["count"], summary["refused"]["count"], summary["declined"]["count"]) == (1, 0, 0)


def test_a_named_confidence_is_taken_from_its_field():
    sure = row(True, 0.1, agreement=1.0)
    assert confidence_of(sure, "agreement") == 1.0
    assert summarise_answers([sure], 0.5, "agreement")["declined"]["count"] == 0
    assert summarise_answers([sure], 0.5)["declined"]["count"] == 1
    with pytest.raises(ValueError, match="has no confidence 'margin', only sequence_probability, agreement"):
        confidence_of(sure, "margin")


@pytest.mark.parametrize("value", [None, 1.5, -0.1, float("nan"), "high", True])
def test_a_confidence_that_is_no_probability_is_refused(value):
    with pytest.raises(ValueError, match="confidence"):
        confidence_of(row(True, value))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_the_unit_interval_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold"):
        summarise_answers(ROWS, threshold)


def test_a_row_without_provenance_is_named():
    with pytest.raises(ValueError, match=r"prediction 1 .*provenance None"):
        summarise_provenance([ROWS[0], {"question": "q?", "correct": True, "confidence": 0.5}])


def test_answers_about_invented_people_are_counted_before_and_after_abstention():
    rows = [row(False, c) for c in (0.95, 0.6, 0.2)] + [row(False, 0.99, refused=True)]
    counted = summarise_invented(rows, 0.7)
    assert counted["answered"]["count"] == 3
    assert counted["answered_confidently"] == {
        "count": 2,
        "n": 4,
        "share": 0.5,
        "interval": [*wilson_interval(2, 4)],
    }
    assert counted["answered_after_abstention"]["count"] == 1
    assert summarise_invented(rows, 0.3)["answered_after_abstention"]["count"] == 2
    assert summarise_invented(rows, 0.3, confident=0.9)["answered_confidently_after_abstention"]["count"] == 1


def test_where_no_threshold_keeps_its_promise_nothing_is_answered():
    counted = summarise_invented([row(False, 0.95)], None)
    assert counted["answered"]["count"] == 1
    assert counted["answered_after_abstention"]["count"] == 0
