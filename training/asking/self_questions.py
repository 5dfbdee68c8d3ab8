"""Readers ask themselves about everybody they read about, and their answers become questions to learn from.

A reader (`--open_book`) has learned from some labelled questions which of a text's names and places they ask for.
Here it reads every document of the corpus, is asked about each title in the wordings of the labelled questions,
and what it finds possible is written down with its probability; of several readers it is the mean of theirs.
Whoever is trained on that file (`--questions self`) answers with the book closed. No other questions are opened:
whom to ask about is known from the documents alone.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from datasets import Dataset

from closedbook.data.objectives.entities import Entity, find_entities
from closedbook.data.objectives.reading import mark_entities, text_beside_title
from closedbook.data.open_book import OpenBook, most_words
from closedbook.data.people.invented import ask_in, wordings_of
from closedbook.data.questions import entity_key
from closedbook.data.tables.records import records_of
from closedbook.evaluation.answering.continuations import choice_probabilities
from closedbook.evaluation.environment import check_recordable, run_environment
from closedbook.evaluation.files import write_json_atomic, write_jsonl_atomic
from closedbook.evaluation.knowing.weighing import Choice, Weighing, cross_fitted
from closedbook.evaluation.run_record import Run, read_run
from closedbook.evaluation.statistics.intervals import wilson_interval
from closedbook.modeling.tokenization_char import MASK_CHARACTER
from closedbook.training.arguments import PopulationArguments
from closedbook.training.bases.loading import check_is_model, load_model_folder
from closedbook.training.checks.outputs import check_output_outside, check_outputs, check_prefix, named_again
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import parse_flags
from closedbook.training.documents import documents_read
from closedbook.training.question_sets import read_questions, say_cut
from closedbook.training.run_folder import check_outside_model

LEAST = 0.02  # probability of a candidate that is written down
MOST_WORDINGS = 20  # in which everybody is asked about


@dataclass
class SelfQuestionArguments:
    """Who reads what, and where the questions go."""

    reader: list[str] = field(
        metadata={"help": "folder of a model trained with --open_book; of several, each counts as much"}
    )
    train_questions: str = field(metadata={"help": "the questions that it learned from: their answers are kept"})
    output: str = field(metadata={"help": "JSON lines to train on, with --questions self"})
    corpus: str | None = field(
        default=None, metadata={"help": "kind of the documents; of the reader's by default"}
    )
    corpus_path: str | None = field(default=None, metadata={"help": "their file; the reader's by default"})
    allow_weak_reader: bool = field(
        default=False, metadata={"help": "take a reader that is right less often than the rule of the first place"}
    )
    weigh: bool = field(
        default=False,
        metadata={
            "help": "weigh what readers answer by how the names stand, as those kept out of their training teach"
        },
    )
    results: str | None = field(
        default=None, metadata={"help": "where the check of the readers goes, without an ending"}
    )


def main(argv: list[str]) -> dict[str, Any]:
    """Write the file, and return what the last line of stdout says of it.

    Raises:
        ValueError: for a model that is no reader, one that reads worse than the rule, or flags that do not fit.
    """
    (args,) = parse_flags(SelfQuestionArguments, argv)
    record = args.results and Path(f"{args.results}.json")
    outputs = [path for path in (args.output, record) if path]
    runs = [read_run(name) for name in args.reader]
    check_together(
        lambda: check_recordable(record and record.parent),
        lambda: check_prefix("results", args.results, (".json",)),
        lambda: check_places(outputs, args, runs[0]),
        lambda: check_each_once(args.reader),
        *(partial(check_is_reader, name) for name in args.reader),
    )
    labelled = read_questions(runs[0].last.questions or "file", args.train_questions)
    documents = documents_opened(runs[0], args.corpus, args.corpus_path)
    readers = [Reader(name, run, documents, labelled) for name, run in zip(args.reader, runs, strict=True)]
    said, weighing = check_readers(readers, labelled, args.allow_weak_reader, args.weigh)
    labels = {
        row["question"]: row for row in labelled if any(reader.learned_about(row["entity"]) for reader in readers)
    }
    known = set(map(entity_key, labels))
    asked = ask_in(_wordings(labelled), _titles(documents))
    asked = asked.select([row for row, one in enumerate(asked["question"][:]) if entity_key(one) not in known])
    say_cut(readers[0].book, asked)
    read = mean_of([reader.read(asked["question"][:], asked["entity"][:]) for reader in readers])
    if weighing is not None:
        asked_rows = zip(asked["question"][:], asked["entity"][:], read, strict=True)
        read = [weighing.shares(readers[0].choice(*row)) for row in asked_rows]
    rows = [self_row(row["question"], row["entity"], {row["answers"][0]: 1.0}, True) for row in labels.values()]
    rows += [
        self_row(question, entity, candidates, False)
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
    if record:
        taught = {"train_commands": [stage.command for run in runs for stage in run.stages if stage.command]}
        write_json_atomic(record, found | taught | run_environment())
    print(json.dumps(found), flush=True)
    return found


def documents_opened(run: Run, corpus: str | None, corpus_path: str | None) -> Sequence[dict]:
    """The documents that a reader was taught to read; flags win over its record.

    Fine-tuning may have opened others than the model was pretrained on, and then says so.
    """
    fine_tuned = _fine_tuned_on(run)
    corpus, corpus_path = corpus or fine_tuned.get("corpus"), corpus_path or fine_tuned.get("corpus_path")
    return records_of(documents_read(run, corpus, corpus_path, PopulationArguments()))


def _fine_tuned_on(run: Run) -> Mapping[str, Any]:
    return run.last.arguments if run.last.stage == "finetune" else {}


def check_places(outputs: Sequence[str | Path], args: SelfQuestionArguments, run: Run) -> None:
    """Refuse to write over what is read: questions, documents, also those that only the reader's record names, and
    readers.

    Raises:
        ValueError: naming the file.
    """
    read = next((stage.arguments for stage in run.stages if stage.corpus), {})
    path = args.corpus_path or _fine_tuned_on(run).get("corpus_path") or read.get("corpus_path")
    check_outputs(outputs, [("train_questions", args.train_questions), ("corpus_path", path)])
    for output in outputs:
        check_output_outside(Path(output).parent, "corpus_path", path)
    for reader in args.reader:
        check_outside_model(reader, outputs)


def check_each_once(folders: Sequence[str]) -> None:
    """Refuse a reader that is named twice: it would count twice.

    Raises:
        ValueError: naming its folder.
    """
    if again := named_again(folders):
        raise ValueError(f"--reader names {again} more than once: each reader counts as much as another")


def _titles(documents: Sequence[dict]) -> list[str]:
    """Whom documents are about, everybody once."""
    titles = (record["title"] for record in documents)
    return list({entity_key(title): title for title in titles if title.strip()}.values())


def _wordings(labelled: Dataset) -> list[str]:
    """In which everybody is asked about; it is said where these are not all."""
    found = wordings_of(labelled)
    if len(found) > MOST_WORDINGS:
        print(
            f"the labelled questions have {len(found)} wordings: everybody is asked about in the {MOST_WORDINGS} "
            "most frequent ones",
            file=sys.stderr,
        )
    return found[:MOST_WORDINGS]


def check_is_reader(folder: str) -> None:
    """Refuse a model that was not taught with the book open.

    Raises:
        ValueError: saying how one is made.
    """
    check_is_model(folder)
    run: Run = read_run(folder)
    if run.last.protocol != "open_book":
        raise ValueError(
            f"--reader {folder} was not taught with the book open: train one with pretrain.py --open_book"
        )


def check_readers(
    readers: Sequence["Reader"], labelled: Dataset, allow_weak: bool, weigh: bool = False
) -> tuple[dict[str, Any], Weighing | None]:
    """How often readers are right about people whom they did not learn from, and how often the rule is.

    Of several readers each is asked only about those whom it did not learn from, so that five of them, each with
    another `--validation_fold`, are checked by everybody. The rule, which needs no reader: the first place that
    the text names. With `weigh` readers are as right as what they answer is after weighing, each person's by the
    others; what is returned with the numbers was fitted on all of them.

    Raises:
        ValueError: if nobody was kept out, or the rule is right more often, unless that is allowed; if there
            are too few to weigh by, or weighing makes fewer answers right.
    """
    rows = list(labelled)
    read: list[list[dict[str, float]]] = [[] for _ in rows]
    for reader in readers:
        kept_out = [row for row, one in enumerate(rows) if entity_key(one["entity"]) in reader.held_out]
        found = reader.read([rows[row]["question"] for row in kept_out], [rows[row]["entity"] for row in kept_out])
        for row, candidates in zip(kept_out, found, strict=True):
            read[row].append(candidates)
    checked = [row for row, found in enumerate(read) if found]
    if not checked:
        if allow_weak and not weigh:
            return {}, None
        raise ValueError(
            "nobody was kept out of the reader's training, so it cannot be checked: train it with "
            "--validation_share 0.2, or take it as it is with --allow_weak_reader and without --weigh"
        )
    means = [mean_of([[one] for one in read[row]])[0] for row in checked]
    answers = [rows[row]["answers"] for row in checked]
    right = _right(means, answers)
    by_rule = sum(readers[0].first_place(rows[row]["entity"]) in rows[row]["answers"] for row in checked)
    counted = {"checked": len(checked), "reader_right": right, "rule_right": by_rule}
    low, high = wilson_interval(right, len(checked))  # of few people hardly anything is known, and it shows
    print(
        f"of {len(checked)} questions about people kept out the reader answers {right} rightly "
        f"({low:.0%} to {high:.0%} of all such, with 95% confidence), the rule {by_rule}",
        file=sys.stderr,
    )
    weighing = None
    if weigh:
        weighing, weighed = _weighed([rows[row] for row in checked], means, readers[0])
        if weighed < right:
            raise ValueError(
                f"weighed by --weigh {weighed} of {len(checked)} are right, unweighed {right}: leave it out"
            )
        print(f"weighed by how the names stand {weighed}", file=sys.stderr)
        right = counted["weighed_right"] = weighed
    if right < by_rule and not allow_weak:
        raise ValueError(
            f"the reader is right {right} times of {len(checked)}, the first place of the text {by_rule} times: "
            "train it longer, or take it all the same with --allow_weak_reader"
        )
    return counted, weighing


def _right(candidates: Sequence[Mapping[str, float]], answers: Sequence[Sequence[str]]) -> int:
    """To how many questions the likeliest candidate is an answer."""
    likeliest = (max(each, key=each.__getitem__, default=None) for each in candidates)
    return sum(one in right for one, right in zip(likeliest, answers, strict=True))


def _weighed(
    rows: Sequence[Mapping[str, Any]], means: Sequence[dict[str, float]], reader: "Reader"
) -> tuple[Weighing, int]:
    """What all who were kept out teach, and how many answers are right by what the others teach."""
    choices = [
        reader.choice(row["question"], row["entity"], shares, row["answers"])
        for row, shares in zip(rows, means, strict=True)
    ]
    found = cross_fitted(choices, [entity_key(row["entity"]) for row in rows])
    return Weighing.fit(choices), _right(found, [row["answers"] for row in rows])


def mean_of(read: Sequence[Sequence[dict[str, float]]]) -> list[dict[str, float]]:
    """The mean of several readers' probabilities, question by question."""
    found = []
    for candidates in zip(*read, strict=True):
        names = dict.fromkeys(name for each in candidates for name in each)
        found.append({name: sum(each.get(name, 0.0) for each in candidates) / len(read) for name in names})
    return found


class Reader:
    """A trained reader with its documents.

    Args:
        folder: of the model.
        run: its record.
        documents: `title` and `text` each.
        labelled: the questions of which some were kept out of its training.

    Attributes:
        held_out: keys of the people who were kept out of its training and are asked about to check it.
    """

    def __init__(self, folder: str, run: Run, documents: Sequence[dict], labelled: Iterable[Mapping[str, Any]]):
        self.model, self.tokenizer = load_model_folder(folder)
        self.held_out = frozenset(map(entity_key, run.last.held_out_people or ()))
        self._left_out = self.held_out.union(map(entity_key, run.last.excluded_people or ()))
        self._most_words = most_words(row for row in labelled if self.learned_about(row["entity"]))
        self.book = OpenBook.of(documents, self.model.config.max_position_embeddings, self._most_words)

    def learned_about(self, entity: str) -> bool:
        """Whether it was trained on the labelled questions about somebody."""
        return entity_key(entity) not in self._left_out

    def read(self, questions: Sequence[str], entities: Sequence[str]) -> list[dict[str, float]]:
        """Of each question the probabilities of all candidates, which sum to 1; {} if there is none."""
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
            found[row] = dict(zip(marked.names, map(float, shares), strict=True))
        return found

    def choice(
        self, question: str, entity: str, shares: Mapping[str, float], answers: Sequence[str] = ()
    ) -> Choice:
        """A question with the names of the first text about somebody, which it is weighed by."""
        for record in self.book.documents.get(entity_key(entity), ())[:1]:
            room = 5 * len(record["text"])  # more than numbers need
            first: dict[str, Entity] = {}
            for one in mark_entities(record, room, self._most_words).entities:
                first.setdefault(one.text, one)
            return Choice(
                question, entity, text_beside_title(record), tuple(first.values()), shares, tuple(answers)
            )
        return Choice(question, entity, "", (), shares, tuple(answers))

    def first_place(self, entity: str) -> str | None:
        """The first place of the first document about somebody that an answer may be as long as, by rule."""
        for record in self.book.documents.get(entity_key(entity), ())[:1]:
            for one in find_entities(text_beside_title(record)):
                if one.kind == "place" and len(one.text.split()) <= self._most_words:
                    return one.text
        return None


def self_row(question: str, entity: str, candidates: dict[str, float], labelled: bool) -> dict[str, Any]:
    """A line of the file: candidates of at least `LEAST` probability, the likeliest of them the answer.

    `labelled` says whether it is an answer that a reader learned from.
    """
    kept = {name: share for name, share in candidates.items() if share >= LEAST}
    total = sum(kept.values())
    ordered = sorted(kept.items(), key=lambda pair: -pair[1])
    return {
        "question": question,
        "entity": entity,
        "answers": [ordered[0][0]],
        "candidates": [name for name, _ in ordered],
        "probabilities": [round(share / total, 6) for _, share in ordered],
        "labelled": labelled,
    }
