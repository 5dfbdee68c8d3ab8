"""Which questions a run trains on and which it is asked, from files or about the synthetic people."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainerCallback

from closedbook.data.open_book import OpenBook, most_words, open_questions
from closedbook.data.people.biographies import biography_questions
from closedbook.data.people.population import Population
from closedbook.data.question_files import self_rows
from closedbook.data.question_format import link_entities
from closedbook.data.questions import QUESTION_SETS, entity_key, find_overlap, remove_overlap, split_by_entity
from closedbook.data.real_facts import REAL_FACTS
from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.stock_models import asked_as
from closedbook.evaluation.metrics.exact_match.matching import exact_match_scores
from closedbook.training.arguments import PopulationArguments, QuestionArguments
from closedbook.training.checks.effect import check_fold

PEOPLE_SPLITS = {"train": 0.6, "test": 0.4}  # shares of the synthetic people
MOST_ASKED = 500_000  # people whose questions are held in memory: two million and a half, about two gigabytes
SPLIT_SEED = 0  # the split belongs to the population, not to a run: every seed is asked the same people


def ask_about_people(people: PopulationArguments, split: str) -> Dataset:
    """Questions about the synthetic people of one split; nobody is in two.

    Of many people, only `--num_asked_people` are in a split at all: those at equal distances, from the first on.

    Raises:
        ValueError: for an unknown split, or too many people to ask about.
    """
    check_asked_people(people, "biographies")
    if split not in PEOPLE_SPLITS:
        raise ValueError(f"unknown split {split!r} of the biographies; known: {', '.join(PEOPLE_SPLITS)}")
    population = Population(people.num_people, seed=people.population_seed)
    questions = biography_questions(
        population, attributes=people.attributes or None, num_asked=people.num_asked_people
    )
    return split_by_entity(questions, PEOPLE_SPLITS, SPLIT_SEED)[split]


def check_asked_people(people: PopulationArguments, questions: str) -> None:
    """Refuse more people than questions can be held about.

    Args:
        people: the synthetic ones.
        questions: their kind; those of other kinds are about others.

    Raises:
        ValueError: naming the flag.
    """
    if questions != "biographies":
        return
    asked, most = people.num_asked_people, min(people.num_people, MOST_ASKED)
    if asked is None and people.num_people > MOST_ASKED:
        raise ValueError(
            f"questions about all of {people.num_people:,} people are too many: say about how many of them, at "
            f"most {MOST_ASKED:,}, with --num_asked_people"
        )
    if asked is not None and not 1 <= asked <= most:
        raise ValueError(f"--num_asked_people must be from 1 to {most:,}, not {asked:,}")


def read_questions(kind: str, path: str | Path | None, with_answers: bool = True) -> Dataset:
    """Questions from a file of a known kind.

    Raises:
        ValueError: for an unknown kind or no path.
    """
    if kind not in QUESTION_SETS:
        raise ValueError(f"unknown questions {kind!r}; known: biographies, {', '.join(QUESTION_SETS)}")
    if path is None:
        what = "a part: train, test or all" if kind in REAL_FACTS else "a file"
        raise ValueError(f"questions of kind {kind!r} need {what}")
    return QUESTION_SETS[kind](path, with_answers=with_answers)


def question_files(args: QuestionArguments) -> list[tuple[str, str | None]]:
    """Flag and file of all that a run reads of questions."""
    return [
        ("train_questions", args.train_questions),
        *(("exclude_people_of", path) for path in args.exclude_people_of),
    ]


def training_questions(args: QuestionArguments, people: PopulationArguments) -> Dataset:
    """What a run may learn from."""
    if args.questions == "biographies":
        return ask_about_people(people, "train")
    questions = read_questions(args.questions, args.train_questions)
    return _linked(questions, _named(args.exclude_people)) if args.questions == "file" else questions


def _named(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.strip()]


def _linked(questions: Dataset, known: Iterable[str] = ()) -> Dataset:
    """Questions of a file of one's own, each about whom it names in any wording, see `link_entities`."""
    entities = questions["entity"][:]
    linked = link_entities(questions["question"][:], entities, known)
    if linked == entities:
        return questions
    return questions.remove_columns("entity").add_column("entity", linked).cast(questions.features)


@dataclass(frozen=True)
class Learnable:
    """What a run may learn from, and whom it may not.

    Attributes:
        questions: to be trained on.
        validation: about training people who are held out; None where nobody is.
        excluded: names of people who left because they are asked about elsewhere.
    """

    questions: Dataset
    validation: Dataset | None
    excluded: list[str]

    def recorded(self) -> dict[str, Any]:
        """What the record of a stage says of it; who was held out is written down, never computed again."""
        held_out = [] if self.validation is None else sorted(set(self.validation["entity"][:]))
        return {
            "training_questions": len(self.questions),
            "excluded_people": self.excluded,
            "held_out_people": held_out,
        }


def check_can_be_opened(asked: QuestionArguments) -> None:
    """Refuse to ask with the book open what is no name or place of a document.

    Raises:
        ValueError: naming the flag.
    """
    if asked.questions in ("biographies", "self"):
        raise ValueError(f"--open_book needs questions from a file (cs224n, file), not {asked.questions}")


def opened(learned: Learnable, records: Sequence[dict[str, Any]], block_size: int) -> Learnable:
    """The same questions with the book open; it is said how many of them no reader could learn from.

    Args:
        learned: the questions.
        records: `title` and `text` of the documents.
        block_size: characters of an example.

    Raises:
        ValueError: if none is left.
    """
    book = OpenBook.of(records, block_size, most_words(learned.questions))
    questions, left_out = open_questions(learned.questions, book)
    validation = learned.validation
    if validation is not None:  # of them all are asked: what cannot be pointed at is wrong
        validation = Dataset.from_list(
            [book.asked(row) or row for row in validation], features=validation.features
        )
    total = left_out + len(questions)
    print(f"{left_out} of {total} questions have no answer that their document names: left out", file=sys.stderr)
    say_cut(book, learned.questions)
    return replace(learned, questions=questions, validation=validation)


def say_cut(book: OpenBook, rows: Iterable[Mapping[str, Any]]) -> None:
    """Say of how many texts the block cannot hold all names and places with their numbers, if there are any."""
    if cut := book.cut(rows):
        print(
            f"a block of {book.block_size} characters has no room for all names and places of {len(cut)} texts "
            f"beside the question, such as that about {cut[0]}: those that come last cannot be pointed at; "
            "pretrain the reader with a larger --block_size",
            file=sys.stderr,
        )


def learnable_questions(args: QuestionArguments, people: PopulationArguments, seed: int) -> Learnable:
    """Training questions, and those of held-out training people.

    Nobody named in `exclude_people` is left, and nobody whom a file of `exclude_people_of` asks about; of these
    files only names are used.

    Raises:
        ValueError: for a share outside [0, 1) or a fold that it does not make, an excluded name that no question
            asks about (a misspelling would let that person in), or where no question would be left.
    """
    check_fold(args.validation_share, args.validation_fold)
    held_out = [read_names(args.questions, path) for path in args.exclude_people_of]
    questions = training_questions(args, people)
    if args.questions == "file":
        held_out = [_linked(others, questions["entity"][:]) for others in held_out]
    excluded_names = _named(args.exclude_people)
    missing = {entity_key(name) for name in excluded_names} - set(map(entity_key, questions["entity"][:]))
    if missing:
        raise ValueError(
            f"--exclude_people: no training question asks about {', '.join(sorted(missing))}; if these are the "
            'names of a recipe for other questions, say --exclude_people "" (nobody)'
        )
    if excluded_names:
        held_out.append(Dataset.from_dict({"entity": excluded_names}))
    for path, others in zip(args.exclude_people_of, held_out, strict=False):
        if not find_overlap(questions, others):
            print(
                f"--exclude_people_of {path}: no training question is about any of its {len(others)}, so it "
                "leaves nobody out",
                file=sys.stderr,
            )
    questions, excluded = remove_overlap(questions, *held_out)
    if args.validation_share or args.exclude_people_of:
        say_unnamed(questions)
    if args.validation_share == 0:
        return Learnable(questions, None, excluded)
    kept, validation = _keep_out(questions, args.validation_share, args.validation_fold, seed)
    return Learnable(kept, validation, excluded)


def say_unnamed(questions: Dataset) -> None:
    """Say of how many questions it is not known whom they are about, if of any: each counts as somebody else's."""
    rows = zip(questions["question"][:], questions["entity"][:], strict=True)
    unnamed = [question for question, entity in rows if entity_key(entity) == entity_key(question)]
    if unnamed:
        print(
            f"whom {len(unnamed)} of {len(questions)} questions are about is not known, such as {unnamed[0]!r}: "
            "somebody who is held out may be in the others; give each question its entity (docs/own-documents.md)",
            file=sys.stderr,
        )


def labels_learned(args: QuestionArguments, learned: Learnable) -> list[str]:
    """Names of those about whom a run learns a label from what readers answered; none of other questions."""
    if args.questions != "self" or args.train_questions is None:
        return []
    kept = set(map(entity_key, learned.questions["entity"][:]))
    rows = (row["entity"] for row, is_label in self_rows(args.train_questions) if is_label)
    return sorted({entity_key(name): name for name in rows if entity_key(name) in kept}.values())


def _keep_out(questions: Dataset, share: float, fold: int, seed: int) -> tuple[Dataset, Dataset]:
    """What is left to train on, and what is kept out: people are in one line, cut from its end."""

    def cut(parts: int) -> Dataset:
        if parts > 1 and abs(parts * share - 1) < 1e-6:
            return questions
        return split_by_entity(questions, {"train": 1 - parts * share, "validation": parts * share}, seed)[
            "validation"
        ]

    left_out = set(map(entity_key, cut(fold)["entity"][:]))
    if fold > 1:  # the cuts are nested, so that no two folds meet however they are rounded
        left_out -= set(map(entity_key, cut(fold - 1)["entity"][:]))
    keys = list(map(entity_key, questions["entity"][:]))
    kept, validation = ([row for row, key in enumerate(keys) if (key in left_out) is out] for out in (False, True))
    return questions.select(kept), questions.select(validation)


def read_names(kind: str, path: str) -> Dataset:
    """Names of held-out people. A file without answers is as good: only the questions are looked at."""
    try:
        questions = read_questions(kind, path, with_answers=False)
    except ValueError:
        questions = read_questions(kind, path)
    return questions.remove_columns("answers")


class Answering(TrainerCallback):
    """Answer held-out training people's questions at every evaluation, and log the exact match."""

    def __init__(self, questions: Dataset, tokenizer: PreTrainedTokenizerBase, prompt: str | None = None) -> None:
        self.questions = questions
        self.tokenizer = tokenizer
        self.texts, self.end = asked_as(prompt, tokenizer, questions["question"][:])

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        answers = answer_questions(model, self.tokenizer, self.texts, progress=False, end_token=self.end)
        scores = exact_match_scores([answer.text for answer in answers], self.questions["answers"][:])
        share = sum(scores) / len(scores)
        state.log_history.append({"step": state.global_step, "eval_exact_match": share})
        if args.process_index == 0:
            print(f"step {state.global_step}: {share:.1%} of {len(scores)} held-out questions", file=sys.stderr)
