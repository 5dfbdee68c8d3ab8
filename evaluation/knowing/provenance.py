"""Where an answer can come from: what the training texts say about the entity of each question.

| class         | the training data                                                           | a right answer is |
|---------------|-----------------------------------------------------------------------------|-------------------|
| `stated`      | a pretraining document about the entity, or naming it, holds an accepted answer | knowledge     |
| `entity_only` | documents are about the entity or name it, none of them holds an accepted answer | a good guess |
| `unseen`      | the entity occurs in no pretraining document                                | luck              |
| `fine_tuned`  | a fine-tuning pair asked about the entity                                   | remembered        |

`fine_tuned` takes precedence: of an answer that was trained on directly, nobody can say that it was read. The
explanation of each row says what the pretraining text has besides.

"Holds" is a matter of letters: an answer counts as stated if it stands in the document on word borders, in its own
case, whatever the sentence says about it. Names are compared by `entity_key`, with titles first (a look-up) and
then, where the documents of that title do not hold an answer, in all texts (one pass, see `data/mentions.py`).
Two people of the same name are one entity here, and a person whom the text names otherwise is unseen.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from closedbook.data.mentions import find_mentions, occurs
from closedbook.data.questions import entity_key
from closedbook.evaluation.predictions import confidence_of
from closedbook.evaluation.statistics.intervals import wilson_interval

PROVENANCES = ("stated", "entity_only", "unseen", "fine_tuned")


@dataclass(frozen=True)
class Provenance:
    """Where the answer to one question can come from.

    Attributes:
        name: one of `PROVENANCES`.
        explanation: one sentence with the evidence: the document, or the fine-tuning pair.
    """

    name: str
    explanation: str


def trace_questions(questions: Dataset, documents: Dataset, trained: Dataset | None = None) -> list[Provenance]:
    """Say of every question where its answer can come from.

    Args:
        questions: columns `entity` and `answers` (the accepted ones; may be empty only where nothing was read
            about the entity).
        documents: what the model was pretrained on: columns `title` (of whom or what; may be empty) and `text`; of
            a part of it also `number`, at which place of the whole a document stands, from 0.
        trained: the questions that it was fine-tuned on, with `entity` and `answers`; None for none.

    Returns:
        One `Provenance` a question, in their order.

    Raises:
        ValueError: if there is no document, or a question about an entity that occurs in them has no answer.
    """
    if len(documents) == 0:
        raise ValueError("there are no documents to trace answers to: give the text that the model was trained on")
    records = documents.to_list()  # reading one row of an Arrow table costs more than searching it
    titled: dict[str, list[int]] = {}
    for number, record in enumerate(records):
        titled.setdefault(entity_key(record["title"]), []).append(number)
    pairs: dict[str, str] = {}
    for row in trained.select_columns(["entity", "answers"]) if trained is not None else ():
        pairs.setdefault(entity_key(row["entity"]), (row["answers"] or ["?"])[0])

    rows = [(entity_key(row["entity"]), row) for row in questions.select_columns(["entity", "answers"])]
    stated = [_find_statement(row["answers"], titled.get(key, ()), records) for key, row in rows]
    sought = {key for (key, _), place in zip(rows, stated, strict=True) if place is None}
    mentions = find_mentions(sought, records)
    traces = []
    for number, ((key, row), place) in enumerate(zip(rows, stated, strict=True)):
        seen = [*titled.get(key, ()), *mentions.get(key, ())]
        if place is None:
            place = _find_statement(row["answers"], mentions.get(key, ()), records)
        if seen and not row["answers"]:
            raise ValueError(
                f"question {number} asks about {row['entity']!r}, who occurs in the documents, but has no "
                "accepted answer, so nobody can say whether it was stated: trace questions with answers"
            )
        traces.append(_judge(key, place, seen, records, pairs))
    return traces


def _find_statement(answers: Sequence[str], numbers: Iterable[int], records: list[dict]) -> tuple[int, str] | None:
    """The first of these documents that holds an accepted answer, with that answer."""
    for number in numbers:
        for answer in answers:
            if occurs(answer, records[number]["text"]):
                return number, answer
    return None


def _judge(
    key: str, place: tuple[int, str] | None, seen: list[int], records: list[dict], pairs: dict[str, str]
) -> Provenance:
    if place is not None:
        read = Provenance("stated", f"document {_name(place[0], records)} holds {place[1]!r}")
    elif seen:
        read = Provenance(
            "entity_only",
            f"documents about or naming the entity: {len(set(seen))}, such as {_name(seen[0], records)}; none "
            "holds an accepted answer",
        )
    else:
        read = Provenance("unseen", "no document is about the entity or names it")
    if key not in pairs:
        return read
    return Provenance("fine_tuned", f"a fine-tuning pair answers {pairs[key]!r}; besides, {read.explanation}")


def _name(number: int, records: list[dict]) -> str:
    """A document as an explanation names it: its number counted from 1, and its title."""
    title, number = records[number]["title"], records[number].get("number", number)
    return f"{number + 1} ({title})" if title else str(number + 1)


# ---- summaries of predictions ------------------------------------------------------------------------------


def share(count: int, n: int) -> dict[str, Any]:
    """A count with its share and 95% Wilson interval; share and interval are None where nobody was asked."""
    interval = list(wilson_interval(count, n)) if n else None
    return {"count": count, "n": n, "share": count / n if n else None, "interval": interval}


def is_declined(
    row: Mapping[str, Any], threshold: float | None = 0.0, confidence: str = "sequence_probability"
) -> bool:
    """Whether no answer is given: the model said that it does not know, or is less sure than `threshold`.

    A threshold of 0 holds back only what the model refused by itself; None, no threshold that keeps its promise,
    holds back everything.
    """
    return bool(row.get("refused")) or threshold is None or confidence_of(row, confidence) < threshold


def summarise_answers(
    rows: Sequence[Mapping[str, Any]], threshold: float | None = 0.0, confidence: str = "sequence_probability"
) -> dict[str, Any]:
    """Accuracy, confidence and refusals of some rows of predictions.jsonl.

    Args:
        rows: the predictions.
        threshold: answers with less confidence are not given; None: no answer is.
        confidence: which of the confidences.

    Returns:
        `n`; `accuracy` = right answers among all, whether or not they are given, `refused` = the model said so
        itself, `declined` = refused or below the threshold, `selective_accuracy` = right answers among those
        given: each as `share` gives it (questions without a known answer count in neither accuracy); and
        `mean_confidence` of the answers that are no refusals, None without any.

    Raises:
        ValueError: for a threshold outside [0, 1], or a row without the confidence.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be a confidence from 0 to 1, not {threshold}")
    judged = [row for row in rows if row.get("correct") is not None]
    sure = [confidence_of(row, confidence) for row in rows if not row.get("refused")]
    given = [row for row in judged if not is_declined(row, threshold, confidence)]
    return {
        "n": len(rows),
        "accuracy": share(sum(row["correct"] for row in judged), len(judged)),
        "mean_confidence": math.fsum(sure) / len(sure) if sure else None,
        "refused": share(sum(bool(row.get("refused")) for row in rows), len(rows)),
        "declined": share(sum(is_declined(row, threshold, confidence) for row in rows), len(rows)),
        "selective_accuracy": share(sum(row["correct"] for row in given), len(given)),
    }


def summarise_provenance(
    rows: Sequence[Mapping[str, Any]], threshold: float | None = 0.0, confidence: str = "sequence_probability"
) -> dict[str, dict[str, Any]]:
    """`summarise_answers` for each class of provenance, in the order of `PROVENANCES`, those that occur.

    Raises:
        ValueError: for a row without provenance or with an unknown one, or a threshold outside [0, 1].
    """
    for number, row in enumerate(rows):
        if row.get("provenance") not in PROVENANCES:
            raise ValueError(
                f"prediction {number} ({row.get('question')!r}) has provenance {row.get('provenance')!r}, not one "
                f"of {', '.join(PROVENANCES)}: write predictions with scripts/knowing.py"
            )
    groups = {name: [row for row in rows if row["provenance"] == name] for name in PROVENANCES}
    return {name: summarise_answers(group, threshold, confidence) for name, group in groups.items() if group}


def summarise_invented(
    rows: Sequence[Mapping[str, Any]],
    threshold: float | None,
    confidence: str = "sequence_probability",
    *,
    confident: float = 0.5,
) -> dict[str, Any]:
    """How often people who do not exist get an answer; every one of these answers is made up.

    Args:
        rows: predictions for questions about invented people.
        threshold: of abstention, chosen elsewhere; None where none keeps its promise: nothing is then answered.
        confidence: which of the confidences.
        confident: what counts as a confident answer. The default is the confidence above which a model claims to
            be right rather than wrong.

    Returns:
        `n`, `confident_at`, `threshold`; `answered` = not refused by the model itself, `answered_confidently` =
        and at least `confident`: the headline; `answered_after_abstention` = and at least `threshold`,
        `answered_confidently_after_abstention` = and at least both: what abstention leaves of it; each as
        `share`.

    Raises:
        ValueError: for a threshold or `confident` outside [0, 1], or a row without the confidence.
    """
    for name, value in (("threshold", threshold), ("confident", confident)):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(f"{name} must be a confidence from 0 to 1, not {value}")
    answered = [row for row in rows if not is_declined(row)]
    kept = [row for row in answered if not is_declined(row, threshold, confidence)]
    sure, sure_and_kept = (
        [row for row in part if confidence_of(row, confidence) >= confident] for part in (answered, kept)
    )
    return {
        "n": len(rows),
        "confident_at": confident,
        "threshold": threshold,
        "answered": share(len(answered), len(rows)),
        "answered_confidently": share(len(sure), len(rows)),
        "answered_after_abstention": share(len(kept), len(rows)),
        "answered_confidently_after_abstention": share(len(sure_and_kept), len(rows)),
    }
