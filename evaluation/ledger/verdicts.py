"""One row a fact: what it is, where it stands, what models make of it before and after, and what that comes to."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from datasets import Features, List, Value

from closedbook.data.questions import entity_key
from closedbook.evaluation.ledger.facts import Fact
from closedbook.evaluation.ledger.measuring import Standing
from closedbook.evaluation.metrics.answer_match.normalisation import normalize

Verdict = Literal["extractable", "memorised_only", "guessable", "not_learned", "not_asked"]
# In the order in which they are shown, each in words.
VERDICTS: dict[Verdict, str] = {
    "extractable": "answers when asked, in more than half of the wordings; nobody without the documents does",
    "memorised_only": "finishes the sentence of the document, and does not answer when asked",
    "guessable": "known or guessed without the documents: by the base model, by one taught other documents, or "
    "by always giving the most frequent object",
    "not_learned": "neither finishes the sentence nor answers",
    "not_asked": "no question with one answer can be made of it",
}
BEFORE, MAJORITY = "before", "majority"  # who may have guessed it, beside models by their names


@dataclass(frozen=True)
class LedgerRow:
    """A row of ledger.parquet and ledger.jsonl; `LEDGER_FEATURES` has the types.

    Attributes:
        fact: sixteen hexadecimal digits that name the fact, the same in every ledger.
        subject, relation, object, aliases, kind, document, source, sentence, stated: as in `facts.Fact`.
        beginning: what was to be finished.
        unasked: why nothing was asked; "" where something was.
        verdict: one of `VERDICTS`.
        guessed_by: who knew or guessed it without the documents: names of models, and "majority".
        forgotten: the base model answered it and the model does not; None without a base model.
        exposures: how often training read a sentence that states it: passes over the documents times `stated`;
            None where the record of the run does not tell.
        alternatives: the objects that its own was ranked among.
        after: what the model makes of it.
        before: what the base model makes of it; None without one.
        others: what models taught other documents make of it, by their names in order.
    """

    fact: str
    subject: str
    relation: str
    object: str
    aliases: list[str]
    kind: str
    document: int | None
    source: str
    sentence: str
    beginning: str
    stated: int
    unasked: str
    verdict: Verdict
    guessed_by: list[str]
    forgotten: bool | None
    exposures: float | None
    alternatives: list[str]
    after: Standing
    before: Standing | None = None
    others: list[Standing] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As a line of ledger.jsonl."""
        return asdict(self)


_TEXT, _SHARE, _COUNT, _YES = Value("string"), Value("float64"), Value("int64"), Value("bool")
_STANDING = {
    "finishes": _YES,
    "written": _TEXT,
    "finish_probability": _SHARE,
    "finish_rank": _COUNT,
    "rank": _COUNT,
    "candidates": _COUNT,
    "replies": List(
        {
            "question": _TEXT,
            "direction": _TEXT,
            "answer": _TEXT,
            "right": _YES,
            "confidence": _SHARE,
            "probability": _SHARE,
            "agreement": _SHARE,
        }
    ),
}
LEDGER_FEATURES = Features(
    {
        **dict.fromkeys(("fact", "subject", "relation", "object"), _TEXT),
        "aliases": List(_TEXT),
        "kind": _TEXT,
        "document": _COUNT,
        **dict.fromkeys(("source", "sentence", "beginning"), _TEXT),
        "stated": _COUNT,
        **dict.fromkeys(("unasked", "verdict"), _TEXT),
        "guessed_by": List(_TEXT),
        "forgotten": _YES,
        "exposures": _SHARE,
        "alternatives": List(_TEXT),
        "after": _STANDING,
        "before": _STANDING,
        "others": List(_STANDING),
    }
)


def ledger_rows(
    facts: Sequence[Fact],
    alternatives: Sequence[Sequence[str]],
    after: Sequence[Standing],
    before: Sequence[Standing] | None = None,
    others: Mapping[str, Sequence[Standing]] | None = None,
    passes: float | None = None,
) -> list[LedgerRow]:
    """Join what was measured of each model to one row a fact.

    Args:
        facts: in their order.
        alternatives: of each.
        after, before: of each, by the model and by the base model.
        others: name -> of each, by a model taught other documents.
        passes: how often training read the documents; None where that is not known.
    """
    others = others or {}
    majority = by_majority(facts)
    rows = []
    for number, fact in enumerate(facts):
        base = before[number] if before is not None else None
        strangers = {BEFORE: base} if base is not None else {}
        strangers |= {name: standings[number] for name, standings in others.items()}
        verdict, guessed_by = judge(after[number], strangers, majority[number])
        rows.append(
            LedgerRow(
                fact=fact.key,
                subject=fact.subject,
                relation=fact.relation,
                object=fact.object,
                aliases=list(fact.aliases),
                kind=fact.kind,
                document=fact.document,
                source=fact.source,
                sentence=fact.sentence,
                beginning=fact.beginning,
                stated=fact.stated,
                unasked=_unasked(fact, after[number]),
                verdict=verdict,
                guessed_by=guessed_by,
                forgotten=None
                if base is None or base.answers is None
                else base.answers and not after[number].answers,
                exposures=None if passes is None else round(passes * fact.stated, 2),
                alternatives=list(alternatives[number]),
                after=after[number],
                before=base,
                others=[standings[number] for standings in others.values()],
            )
        )
    return rows


def judge(after: Standing, strangers: Mapping[str, Standing], by_majority: bool) -> tuple[Verdict, list[str]]:
    """The verdict on one fact, and who knew it without the documents.

    What strangers answer when asked is guessable, whatever the model does. What they finish is guessable where the
    model does no more than that.
    """
    if after.answers is None:
        return "not_asked", []
    asked = [name for name, standing in strangers.items() if standing.answers]
    guessed_by = [*asked, *([MAJORITY] if by_majority else [])]
    if guessed_by:
        return "guessable", guessed_by
    if after.answers:
        return "extractable", []
    if not after.finishes:
        return "not_learned", []
    finished = [name for name, standing in strangers.items() if standing.finishes]
    return ("guessable", finished) if finished else ("memorised_only", [])


def by_majority(facts: Sequence[Fact]) -> list[bool]:
    """Of each fact whether the most frequent object of the *other* subjects' facts of its relation is its own.

    An object that only one other subject has is no habit to guess by.
    """
    objects: dict[str, Counter[str]] = defaultdict(Counter)
    seen = set()
    for fact in facts:
        key = entity_key(fact.subject), fact.relation, normalize(fact.object)
        if key not in seen:
            seen.add(key)
            objects[fact.relation][key[2]] += 1
    found = []
    for fact in facts:
        counts = Counter(objects[fact.relation])
        counts[normalize(fact.object)] -= 1
        best, number = min(counts.items(), key=lambda item: (-item[1], item[0]))
        found.append(fact.relation != "question" and number > 1 and best == normalize(fact.object))
    return found


def _unasked(fact: Fact, after: Standing) -> str:
    if fact.unasked or after.answers is not None:
        return fact.unasked
    return "its questions are too long for the model, or hold characters that are unknown to it"
