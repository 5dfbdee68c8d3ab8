"""Which questions a run trains on and which it is asked, from files or about the synthetic people."""

from pathlib import Path

from datasets import Dataset

from closedbook.data.biographies import Population, biography_questions
from closedbook.data.questions import QUESTION_SETS, split_by_entity
from closedbook.scripts.arguments import PopulationArguments, QuestionArguments

PEOPLE_SPLITS = {"train": 0.6, "test": 0.4}  # shares of the synthetic people
SPLIT_SEED = 0  # the split belongs to the population, not to a run: every seed is asked the same people


def ask_about_people(people: PopulationArguments, split: str) -> Dataset:
    """Questions about the synthetic people of one split; nobody is in two.

    Raises:
        ValueError: for an unknown split.
    """
    if split not in PEOPLE_SPLITS:
        raise ValueError(f"unknown split {split!r} of the biographies; known: {', '.join(PEOPLE_SPLITS)}")
    population = Population(people.num_people, seed=people.population_seed)
    questions = biography_questions(population, attributes=people.attributes or None)
    return split_by_entity(questions, PEOPLE_SPLITS, SPLIT_SEED)[split]


def read_questions(kind: str, path: str | Path | None, with_answers: bool = True) -> Dataset:
    """Questions from a file of a known kind.

    Raises:
        ValueError: for an unknown kind or no path.
    """
    if kind not in QUESTION_SETS:
        raise ValueError(f"unknown questions {kind!r}; known: biographies, {', '.join(QUESTION_SETS)}")
    if path is None:
        raise ValueError(f"questions of kind {kind!r} need a file")
    return QUESTION_SETS[kind](path, with_answers=with_answers)


def training_questions(args: QuestionArguments, people: PopulationArguments) -> Dataset:
    """What a run may learn from."""
    if args.questions == "biographies":
        return ask_about_people(people, "train")
    return read_questions(args.questions, args.train_questions)
