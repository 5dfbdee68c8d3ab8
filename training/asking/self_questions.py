"""A reader asks itself about everybody it reads about, and its answers become questions to learn from.

The reader (`pretrain.py --open_book`) has learned from some labelled questions which of a text's names and
places they ask for. Here it reads every document of the corpus, is asked about each title in the words of the
labelled questions, and what it finds possible is written down with its probability. Whoever is trained on
that file (`--questions self`) answers with the book closed. No other questions are opened: whom to ask about
is known from the documents alone.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

from closedbook.data.objectives.entities import find_entities
from closedbook.data.objectives.reading import text_beside_title
from closedbook.data.open_book import OpenBook
from closedbook.data.people.invented import ask_about
from closedbook.data.questions import entity_key
from closedbook.data.tables.records import records_of
from closedbook.evaluation.answering.continuations import choice_probabilities
from closedbook.evaluation.files import write_jsonl_atomic
from closedbook.evaluation.run_record import Run, read_run
from closedbook.modeling.tokenization_char import MASK_CHARACTER
from closedbook.training.arguments import PopulationArguments
from closedbook.training.bases.loading import load_model_folder
from closedbook.training.checks.outputs import check_outputs
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import parse_flags
from closedbook.training.documents import documents_read
from closedbook.training.question_sets import read_questions

LEAST = 0.02  # probability of a candidate that is written down


@dataclass
class SelfQuestionArguments:
    """Who reads what, and where the questions go."""

    reader: str = field(metadata={"help": "folder of a model trained with --open_book"})
    train_questions: str = field(metadata={"help": "the questions that it learned from: their answers are kept"})
    output: str = field(metadata={"help": "JSON lines to train on, with --questions self"})
    corpus: str | None = field(
        default=None, metadata={"help": "kind of the documents; of the reader's by default"}
    )
    corpus_path: str | None = field(default=None, metadata={"help": "their file; the reader's by default"})
    allow_weak_reader: bool = field(
        default=False, metadata={"help": "take a reader that is right less often than the rule of the first place"}
    )
    seed: int = field(default=42, metadata={"help": "of the wordings"})


def main(argv: list[str]) -> dict[str, Any]:
    """Write the file, and return what the last line of stdout says of it.

    Raises:
        ValueError: for a model that is no reader, one that reads worse than the rule, or flags that do not fit.
    """
    (args,) = parse_flags(SelfQuestionArguments, argv)
    check_together(lambda: check_outputs([args.output]), lambda: check_is_reader(args.reader))
    run = read_run(args.reader)
    stage = run.last
    labelled = read_questions(stage.questions or "file", args.train_questions)
    documents = records_of(documents_read(run, args.corpus, args.corpus_path, PopulationArguments()))
    reader = Reader(args.reader, documents)
    held_out = set(map(entity_key, stage.held_out_people or ()))
    left_out = held_out | set(map(entity_key, stage.excluded_people or ()))
    checked = labelled.filter(lambda row: entity_key(row["entity"]) in held_out)
    said = check_reader(reader, checked, args.allow_weak_reader)
    labels = {row["question"]: row for row in labelled if entity_key(row["entity"]) not in left_out}
    known = {entity_key(row["entity"]) for row in labels.values()}
    titles = list(
        {entity_key(record["title"]): record["title"] for record in documents if record["title"].strip()}.values()
    )
    asked = ask_about(
        [title for title in titles if entity_key(title) not in known], labelled, answers=[], seed=args.seed
    )
    read = reader.read(asked["question"][:], asked["entity"][:])
    rows = [self_row(row["question"], row["entity"], {row["answers"][0]: 1.0}) for row in labels.values()]
    rows += [
        self_row(question, entity, candidates)
        for question, entity, candidates in zip(asked["question"][:], asked["entity"][:], read, strict=True)
        if candidates
    ]
    write_jsonl_atomic(args.output, rows)
    found = said | {
        "questions": len(rows),
        "labelled": len(labels),
        "asked_itself": len(rows) - len(labels),
        "nothing_to_point_at": len(asked) - (len(rows) - len(labels)),
    }
    print(json.dumps(found), flush=True)
    return found


def check_is_reader(folder: str) -> None:
    """Refuse a model that was not taught with the book open.

    Raises:
        ValueError: saying how one is made.
    """
    run: Run = read_run(folder)
    if run.last.protocol != "open_book":
        raise ValueError(
            f"--reader {folder} was not taught with the book open: train one with pretrain.py --open_book"
        )


def check_reader(reader: "Reader", checked: Dataset, allow_weak: bool) -> dict[str, Any]:
    """How often the reader is right about people whom it was not trained on, and how often the rule is.

    The rule, which needs no reader: the first place that the text names.

    Raises:
        ValueError: if nobody was kept out, or the rule is right more often, unless that is allowed.
    """
    if not len(checked):
        if allow_weak:
            return {}
        raise ValueError(
            "nobody was kept out of the reader's training, so it cannot be checked: train it with "
            "--validation_share 0.2, or take it as it is with --allow_weak_reader"
        )
    read = reader.read(checked["question"][:], checked["entity"][:])
    best = [max(candidates, key=candidates.__getitem__, default=None) for candidates in read]
    right = sum(answer in accepted for answer, accepted in zip(best, checked["answers"][:], strict=True))
    by_rule = sum(
        reader.first_place(entity) in accepted
        for entity, accepted in zip(checked["entity"][:], checked["answers"][:], strict=True)
    )
    print(
        f"of {len(checked)} questions about people kept out the reader answers {right} rightly, the rule "
        f"{by_rule}",
        file=sys.stderr,
    )
    if right < by_rule and not allow_weak:
        raise ValueError(
            f"the reader is right {right} times of {len(checked)}, the first place of the text {by_rule} times: "
            "train it longer, or take it all the same with --allow_weak_reader"
        )
    return {"checked": len(checked), "reader_right": right, "rule_right": by_rule}


class Reader:
    """A trained reader with its documents.

    Args:
        folder: of the model.
        documents: `title` and `text` each.
    """

    def __init__(self, folder: str, documents: Sequence[dict]):
        self.model, self.tokenizer = load_model_folder(folder)
        self.book = OpenBook.of(documents, self.model.config.max_position_embeddings)

    def read(self, questions: Sequence[str], entities: Sequence[str]) -> list[dict[str, float]]:
        """Of each question the candidates of at least `LEAST` probability, which then sum to 1; {} if there
        is none."""
        opened = [self.book.ask(question, entity) for question, entity in zip(questions, entities, strict=True)]
        pointed = {row: one for row, one in enumerate(opened) if one is not None and one[1].names}
        probabilities = choice_probabilities(
            self.model,
            self.tokenizer,
            [f"{prompt}{MASK_CHARACTER}" for prompt, _ in pointed.values()],
            [[str(number + 1) for number in range(len(marked.names))] for _, marked in pointed.values()],
        )
        found: list[dict[str, float]] = [{} for _ in opened]
        for (row, (_, marked)), shares in zip(pointed.items(), probabilities, strict=True):
            kept = {name: share for name, share in zip(marked.names, shares, strict=True) if share >= LEAST}
            total = sum(kept.values())
            found[row] = {name: round(float(share / total), 6) for name, share in kept.items()}
        return found

    def first_place(self, entity: str) -> str | None:
        """The first place of the first document about somebody, by rule."""
        for record in self.book.documents.get(entity_key(entity), ()):
            return next(
                (one.text for one in find_entities(text_beside_title(record)) if one.kind == "place"), None
            )
        return None


def self_row(question: str, entity: str, candidates: dict[str, float]) -> dict[str, Any]:
    """A line of the file: the likeliest candidate is the answer."""
    ordered = sorted(candidates.items(), key=lambda pair: -pair[1])
    return {
        "question": question,
        "entity": entity,
        "answers": [ordered[0][0]],
        "candidates": [name for name, _ in ordered],
        "probabilities": [share for _, share in ordered],
    }
