"""The documents of a run: those that flags name, and those that a model was pretrained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from datasets import Dataset

from closedbook.data.corpora import CORPORA
from closedbook.data.people.biographies import biography_documents, biography_questions
from closedbook.data.people.population import Population
from closedbook.evaluation.run_record import Run, Stage
from closedbook.training.arguments import CorpusArguments, PopulationArguments


@dataclass(frozen=True)
class Corpus:
    """What is read.

    Attributes:
        documents: columns `title` and `text`.
        texts: strings that hold every character which the model must know.
        arguments: what the run file is to say of how these documents came about.
    """

    documents: Dataset
    texts: Sequence[str]
    arguments: dict[str, Any]


def read_corpus(args: CorpusArguments, people: PopulationArguments) -> Corpus:
    """The documents that the flags name.

    The reference vocabulary counts the line feed of its corpus file; synthetic people are also asked about
    in characters ("?") that no biography holds.

    Raises:
        ValueError: for an unknown corpus, or one without its file; the loaders' own errors pass through.
    """
    if args.corpus == "biographies":
        population = Population(people.num_people, seed=people.population_seed)
        attributes = people.attributes or None
        documents = biography_documents(
            population,
            versions=args.num_versions,
            seed=people.population_seed,
            attributes=attributes,
            unit=args.biography_unit,
        )
        questions = biography_questions(population, attributes=attributes, wordings=4)
        return Corpus(documents, [*documents["text"], *questions["question"]], asdict(args) | asdict(people))
    check_corpus(args)
    load: Any = CORPORA[args.corpus]
    documents = load(args.corpus_path)  # which `check_corpus` has seen
    # some objectives put the title in front of a text that does not hold it
    return Corpus(documents, [*documents["title"], *documents["text"], ". ", "\n"], asdict(args))


def check_corpus(args: CorpusArguments) -> None:
    """Refuse an unknown corpus, or one without its file, before anything is read.

    Raises:
        ValueError: naming what is known, or the flag that is missing.
    """
    if args.corpus not in ("biographies", *CORPORA):
        raise ValueError(f"unknown corpus {args.corpus!r}; known: biographies, {', '.join(CORPORA)}")
    if args.corpus != "biographies" and args.corpus_path is None:
        raise ValueError(f"--corpus {args.corpus} needs --corpus_path")


def documents_read(run: Run, corpus: str | None, corpus_path: str | None, people: PopulationArguments) -> Dataset:
    """Every document of the pretraining corpus: columns `title` and `text`.

    Args:
        run: the record of the model.
        corpus: kind of the corpus where the run file does not say it; wins over what it says.
        corpus_path: its file, likewise.
        people: whom the biographies are about, where the run file does not say it.

    Raises:
        ValueError: if neither the run file nor the flags name a corpus.
    """
    stage = next((stage for stage in run.stages if stage.corpus), Stage())
    recorded = {"corpus": stage.corpus, "corpus_path": None} | stage.arguments
    corpus, corpus_path = corpus or recorded["corpus"], corpus_path or recorded["corpus_path"]
    if corpus is None:
        raise ValueError(
            "the run file of the model names no pretraining corpus: give the text that the model read, "
            "with --corpus (biographies, wiki, text or hub) and --corpus_path"
        )
    if corpus != recorded["corpus"]:
        recorded = {}
    known = {item.name for item in fields(CorpusArguments)} & recorded.keys()
    options = {name: recorded[name] for name in known} | {"corpus": corpus, "corpus_path": corpus_path}
    if recorded.keys() >= {item.name for item in fields(PopulationArguments)}:
        people = PopulationArguments(**{item.name: recorded[item.name] for item in fields(PopulationArguments)})
    return read_corpus(CorpusArguments(**options), people).documents
