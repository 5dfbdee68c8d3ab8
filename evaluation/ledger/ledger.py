"""The ledger of a model: facts found, every model asked in turn, rows joined, and all of it written or shown."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.files import open_atomic, write_json_atomic, write_jsonl_atomic
from closedbook.evaluation.ledger.facts import Fact, find_facts
from closedbook.evaluation.ledger.given import beside_documents, facts_of_questions
from closedbook.evaluation.ledger.measuring import (
    RULES,
    AskedModel,
    Rule,
    Standing,
    alternatives_of,
    is_right,
    measure,
)
from closedbook.evaluation.ledger.picture import draw_ledger, ledger_figure
from closedbook.evaluation.ledger.summary import describe_ledger, summarise_ledger
from closedbook.evaluation.ledger.verdicts import BEFORE, LEDGER_FEATURES, MAJORITY, LedgerRow, ledger_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEDGER_FILES = ("ledger.parquet", "ledger.jsonl", "ledger.json", "ledger.png")
LoadModel = Callable[[], AskedModel]
Measure = Callable[..., list[Standing]]  # takes what `measure` does


@dataclass(frozen=True)
class Ledger:
    """What a model makes of the facts of documents.

    Attributes:
        records: one a fact, typed.
        summary: the content of ledger.json.
    """

    records: list[LedgerRow]
    summary: dict[str, Any]

    @property
    def rows(self) -> Dataset:
        """One row a fact, with the columns of `LedgerRow`."""
        return Dataset.from_list([record.to_json() for record in self.records], features=LEDGER_FEATURES)

    def show(self) -> "Figure":
        """Print the summary, and give the picture, which a notebook shows."""
        print(describe_ledger(self.summary))
        return ledger_figure(self.records)

    def save(self, folder: str | Path) -> None:
        """Write `LEDGER_FILES` into a folder; each appears whole, the summary last."""
        folder = Path(folder)
        with open_atomic(folder / "ledger.parquet", "wb") as file:
            self.rows.to_parquet(file)
        write_jsonl_atomic(folder / "ledger.jsonl", (record.to_json() for record in self.records))
        draw_ledger(self.records, folder / "ledger.png")
        write_json_atomic(folder / "ledger.json", self.summary)


def make_ledger(
    after: LoadModel,
    documents: Sequence[Mapping[str, Any]] | Dataset,
    *,
    facts: Sequence[Fact] = (),
    questions: Dataset | None = None,
    before: LoadModel | None = None,
    others: Sequence[LoadModel] = (),
    control: Dataset | None = None,
    passes: float | None = None,
    wordings: int = 3,
    num_alternatives: int = 9,
    rule: Rule | None = None,
    num_samples: int = 0,
    seed: int = 0,
    batch_size: int = 32,
    max_new_tokens: int = 32,
    progress: bool = False,
    measured: Measure = measure,
) -> Ledger:
    """Ask one model after the other about every fact; only one of them is in memory at a time.

    Args:
        after: loads the model that the ledger is of.
        documents: with `title`, `text` and optionally `source`.
        facts, questions: given ones; where either is given, none are looked for by rule.
        before: loads the model as it was before it read the documents.
        others: load models that were taught other documents.
        control: questions with answers that have nothing to do with the documents, for what was forgotten.
        passes: how often training read the documents.
        wordings: of a question, at most.
        num_alternatives: objects of other facts that each object is ranked among, at most.
        rule: by which an answer is right; None for "match" where a mask token ends questions, else "contains":
            models that are asked with a prompt answer in sentences.
        num_samples, seed, batch_size, max_new_tokens, progress: as for `measure`.
        measured: measures as `measure` does, in its own way: in parts, say, by several processes.

    Raises:
        ValueError: if there is no fact to ask about, or there are control questions and no base model.
    """
    if control is not None and before is None:
        raise ValueError("control questions say what was forgotten: give the base model, too (--before)")
    documents = list(documents)
    found, without, about_nothing = _facts(documents, facts, questions, wordings)
    alternatives = alternatives_of(found, num_alternatives, seed)
    standings, answered, names, sources = [], [], [], []
    for load in (after, *([before] if before else []), *others):
        asked = load()
        rule = rule or ("match" if asked.prompt is None else "contains")
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "max_new_tokens": max_new_tokens,
            "progress": progress,
        }
        standings.append(
            measured(asked, found, alternatives, rule=rule, num_samples=num_samples, seed=seed, **options)
        )
        names.append(asked.name)
        sources.append(asked.source or asked.name)
        if control is not None and len(answered) < 2:
            answered.append(_control(asked, control, rule, **options))
    first_other = 1 + (before is not None)
    names[first_other:] = _told_apart(names[first_other:], sources[first_other:])
    rows = ledger_rows(
        found,
        alternatives,
        standings[0],
        standings[1] if before else None,
        dict(zip(names[first_other:], standings[first_other:], strict=True)),
        passes,
    )
    summary = {
        "model": names[0],
        "before": names[1] if before else None,
        "others": names[first_other:],
        "rule": RULES[rule or "match"],
        "seed": seed,
        "wordings": wordings,
        "alternatives": num_alternatives,
        "documents": len(documents),
        "documents_without_facts": {"count": len(without), "list": [list(each) for each in without]},
        "about_nothing": {"count": len(about_nothing), "list": [list(each) for each in about_nothing]},
        "passes": passes,
        **summarise_ledger(rows, list(zip(answered[1], answered[0], strict=True)) if answered else None),
    }
    return Ledger(rows, summary)


def _told_apart(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Names of other models, each of them another one, and none that a verdict has for somebody else.

    Folders of one name are called by their paths; what even then is the same is numbered.
    """
    taken = Counter(names)
    called = [source if taken[name] > 1 else name for name, source in zip(names, sources, strict=True)]
    return [
        f"{name} ({1 + called[:place].count(name)})"
        if called.count(name) > 1 or name in (BEFORE, MAJORITY)
        else name
        for place, name in enumerate(called)
    ]


def _facts(
    documents: list[Mapping[str, Any]], facts: Sequence[Fact], questions: Dataset | None, wordings: int
) -> tuple[list[Fact], list[tuple[str, str]], list[tuple[str, str]]]:
    """Facts to ask about, documents without any, and what is about nothing in the documents."""
    if not facts and questions is None:
        by_rule = find_facts(documents, wordings)
        if not by_rule.facts:
            raise ValueError(
                f"no fact was found by rule in {len(documents):,} documents: {by_rule.without[0][0]}: "
                f"{by_rule.without[0][1]}. Give titles to the documents, or facts or questions of your own "
                "(--facts, --questions)"
                if documents
                else "there are no documents"
            )
        return by_rule.facts, by_rule.without, []
    asked = [*facts, *(facts_of_questions(questions) if questions is not None else [])]
    given = beside_documents(asked, documents, wordings)
    if not given.facts:
        raise ValueError(
            f"none of the {len(asked):,} facts or questions given is about something that the {len(documents):,} "
            f"documents name, such as {given.about_nothing[0][0]!r}: give the documents that they are about"
        )
    covered = {fact.document for fact in given.facts}
    without = [
        (document["title"] or f"document {number + 1}", "nothing that was given is stated in it")
        for number, document in enumerate(documents)
        if number not in covered
    ]
    return given.facts, without, given.about_nothing


def _control(asked: AskedModel, control: Dataset, rule: Rule, **options: Any) -> list[bool]:
    answers = answer_questions(
        asked.model, asked.tokenizer, asked.asked(control["question"][:]), end_token=asked.end, **options
    )
    return [
        is_right(answer.text, accepted, rule)
        for answer, accepted in zip(answers, control["answers"][:], strict=True)
    ]
