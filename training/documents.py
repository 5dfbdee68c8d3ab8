"""The documents of a run: those that flags name, and those that a model was pretrained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from datasets import Dataset

from closedbook.data.corpora import CORPORA
from closedbook.data.documents.loading import check_unit, with_titles
from closedbook.data.people.biographies import biography_documents, biography_questions
from closedbook.data.people.population import Population
from closedbook.data.questions import SPECIAL_CHARACTERS
from closedbook.data.real_facts import REAL_FACTS, check_packages
from closedbook.data.text_files import numbered_lines
from closedbook.evaluation.run_record import Run, Stage
from closedbook.training.arguments import CorpusArguments, PopulationArguments
from closedbook.training.checks.effect import FORMS, WITHOUT_FILE, given

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))  # ASCII
# Corpora of any text, which may lack the characters that questions are written in. Of the others the vocabulary is
# part of published runs.
FREE_TEXT = ("text", "wiki_bio", "hub", *REAL_FACTS)


@dataclass(frozen=True)
class Corpus:
    """What is read.

    Attributes:
        documents: columns `title` and `text`; of files also `source`, where each stands.
        texts: strings that hold every character which the model must know.
        arguments: what the run file is to say of how these documents came about.
    """

    documents: Dataset
    texts: Sequence[str]
    arguments: dict[str, Any]


def read_corpus(args: CorpusArguments, people: PopulationArguments, titled: bool = False) -> Corpus:
    """The documents that the flags name.

    Args:
        args: which.
        people: the synthetic ones, for a corpus of them.
        titled: whether documents without a title get the name that they begin with.

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
        texts = [*documents["text"], *questions["question"], extra_characters(args)]
        return Corpus(documents, texts, _recorded(args) | asdict(people))
    check_corpus(args)
    load: Any = CORPORA[args.corpus]
    path = str(args.corpus_path or args.corpus)
    chosen = given(args) & FORMS.keys()
    options = {name: getattr(args, name) for name in sorted(chosen) if args.corpus in FORMS[name]}
    documents = load() if args.corpus in WITHOUT_FILE else load(path, **options)
    if titled:
        documents = with_titles(documents)
    check_special_characters(documents, path)
    # some objectives put the title in front of a text that does not hold it
    texts = [*documents["title"], *documents["text"], ". ", "\n", extra_characters(args)]
    return Corpus(documents, texts, _recorded(args))


def extra_characters(args: CorpusArguments) -> str:
    """The characters that the vocabulary gets beside those of the documents.

    Raises:
        ValueError: where one of them is a special token.
    """
    chosen = args.extra_characters
    if chosen is None:
        chosen = "ascii" if args.corpus in FREE_TEXT else "none"
    if special := sorted(set(chosen) & set(SPECIAL_CHARACTERS)):
        raise ValueError(
            f"--extra_characters holds {special[0]!r} (U+{ord(special[0]):04X}), which is a special token: "
            "leave it out"
        )
    if "\0" in chosen:
        raise ValueError("--extra_characters holds a NUL (U+0000), which no text has: leave it out")
    return {"ascii": PRINTABLE, "none": ""}.get(chosen, chosen)


def _recorded(args: CorpusArguments) -> dict[str, Any]:
    """The arguments of a run file; what was taken by default is said where it is something."""
    recorded = asdict(args)
    for name in FORMS.keys() - given(args):
        del recorded[name]
    if args.extra_characters is None:
        recorded |= {"extra_characters": "ascii" if args.corpus in FREE_TEXT else None}
        if recorded["extra_characters"] is None:
            del recorded["extra_characters"]
    return recorded


def check_special_characters(documents: Dataset, path: str) -> None:
    """Refuse documents in which a model would read structure (the padding or the mask token), or that hold NULs.

    Raises:
        ValueError: naming the character and its place, a line of a text file or a document.
    """
    has_source = "source" in documents.column_names
    sources = documents["source"] if has_source else [""] * len(documents)
    columns = zip(documents["title"], documents["text"], sources, strict=True)
    for number, (title, text, source) in enumerate(columns, start=1):
        found = next(
            (character for character in (*SPECIAL_CHARACTERS, "\0") if character in title or character in text),
            None,
        )
        if found is None:
            continue
        place = f"{path}: document {number}"
        if source:
            place = str((Path(path) if Path(path).is_dir() else Path(path).parent) / source)
            place = f"the document that begins at {place}" if "\n" in text else place
        elif Path(path).is_file() and Path(path).suffix in ("", ".txt"):
            lines = (line_number for line_number, line in numbered_lines(path) if found in line)
            place = f"{path}:{next(lines, number)}"
        if found == "\0":
            raise ValueError(f"{place} holds a NUL (U+0000), which no text has: repair it")
        raise ValueError(
            f"{place} holds {found!r} (U+{ord(found):04X}), which the model reads as its "
            f"{'padding' if found == SPECIAL_CHARACTERS[0] else 'mask'} token: replace it by another character"
        )


def check_corpus(args: CorpusArguments) -> None:
    """Refuse an unknown corpus, or one without its file, before anything is read.

    Raises:
        ValueError: naming what is known, or the flag that is missing.
    """
    if args.corpus not in ("biographies", *CORPORA):
        raise ValueError(f"unknown corpus {args.corpus!r}; known: biographies, {', '.join(CORPORA)}")
    if args.corpus not in WITHOUT_FILE and args.corpus_path is None:
        raise ValueError(f"--corpus {args.corpus} needs --corpus_path")
    check_unit(args.document_unit)
    if args.corpus in REAL_FACTS:
        check_packages(args.corpus)


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
            "with --corpus (such as biographies, wiki, text or hub) and --corpus_path"
        )
    if corpus != recorded["corpus"]:
        recorded = {}
    known = {item.name for item in fields(CorpusArguments)} & recorded.keys()
    options = {name: recorded[name] for name in known} | {"corpus": corpus, "corpus_path": corpus_path}
    if recorded.keys() >= {item.name for item in fields(PopulationArguments)}:
        people = PopulationArguments(**{item.name: recorded[item.name] for item in fields(PopulationArguments)})
    in_words = any(stage.prompt is not None for stage in run.stages)
    return read_corpus(CorpusArguments(**options), people, titled=in_words).documents
