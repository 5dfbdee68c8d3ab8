"""One arm of a laboratory figure: who the people are, what is told about them, and what is asked."""

from dataclasses import asdict, dataclass
from typing import Any

from datasets import Dataset, concatenate_datasets

from closedbook.data.objectives.table import check_objectives
from closedbook.data.people.biographies import (
    Diversity,
    biography_documents,
    biography_questions,
    reversed_questions,
)
from closedbook.data.people.population import Population
from closedbook.data.questions import split_by_entity

SPLIT_SEED = 0  # the same people are asked whatever the arm
SINCE_0_3 = {"name_first": True, "train_share": 0.5}  # settings that arms of earlier versions do not name
QUESTIONS = ("forward", "both", "none")
ORDERS = ("fixed", "shuffled")


@dataclass(frozen=True)
class Arm:
    """What one model reads and is asked.

    Attributes:
        num_people, population_seed, num_cities, city_skew: see `Population`.
        attributes, unit, full_name, versions: see `biography_documents`.
        wordings, order: see `Diversity`; the order of facts is "fixed" or "shuffled".
        exposures: how often a fact is read.
        mentions: the corpus states a fact about person i in `mentions[i % len(mentions)]` documents, and
            `exposures` is how often the whole corpus is read; empty for everybody alike.
        objectives: joined by "+", each with the same share of the characters to be predicted.
        hidden_size: width of the model.
        questions: "forward" (person to value), "both" (value to person too) or "none" (bits are counted instead).
        seed: of the run.
        name_first: see `Diversity`.
        train_share: of the people, whose questions are taught; the others are asked.
    """

    num_people: int
    population_seed: int
    num_cities: int
    city_skew: float
    attributes: tuple[str, ...]
    unit: str
    full_name: str
    versions: int
    wordings: int
    order: str
    exposures: int
    mentions: tuple[int, ...]
    objectives: str
    hidden_size: int
    questions: str
    seed: int
    name_first: bool = True
    train_share: float = 0.5

    def __post_init__(self) -> None:
        for name, known in (("order", ORDERS), ("questions", QUESTIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        check_objectives(self.objectives.split("+"))
        if not 0 < self.train_share < 1:
            raise ValueError(f"train_share must be between 0 and 1, not {self.train_share}")
        if self.exposures < 1 or min(self.mentions, default=1) < 1:
            raise ValueError(f"exposures and mentions must be at least 1, not {self.exposures}, {self.mentions}")

    def described(self) -> dict[str, Any]:
        """All settings, JSON-ready; later ones only where they differ, so that finished arms keep their names."""
        return {name: value for name, value in asdict(self).items() if SINCE_0_3.get(name, ...) != value}

    def population(self) -> Population:
        return Population(self.num_people, self.population_seed, self.num_cities, self.city_skew)

    def documents(self, population: Population) -> Dataset:
        """What is read, each document as often as the others."""
        versions = max(self.mentions, default=self.versions)
        documents = biography_documents(
            population,
            versions=versions,
            seed=self.population_seed,
            attributes=self.attributes,
            full_name=self.full_name,
            unit=self.unit,
            diversity=Diversity(self.wordings, self.order == "shuffled", name_first=self.name_first),
        )
        if not self.mentions:
            return documents
        each = versions * (len(self.attributes) if self.unit == "sentence" else 1)  # documents a person
        return documents.select(
            row for row in range(len(documents)) if row % each < self.mentions_of(row // each) * each // versions
        )

    def mentions_of(self, person: int) -> int | None:
        """How often the corpus states a fact about the person with this index; None where all are alike."""
        return self.mentions[person % len(self.mentions)] if self.mentions else None

    def asked(self, population: Population) -> dict[str, Dataset]:
        """Questions of the training people and of the test people, with a column `direction`."""
        parts = {"forward": biography_questions(population, attributes=self.attributes)}
        if self.questions == "both":
            parts["reverse"] = reversed_questions(population, attributes=self.attributes)
        rows = [part.add_column("direction", [name] * len(part)) for name, part in parts.items()]
        shares = {"train": self.train_share, "test": 1 - self.train_share}
        return split_by_entity(concatenate_datasets(rows), shares, SPLIT_SEED)

    def num_examples(self, num_documents: int) -> int:
        """Documents read in the whole run, repetitions included."""
        return self.exposures * num_documents // (1 if self.mentions else self.versions)
