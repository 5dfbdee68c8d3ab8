"""The documents of a run: those that flags name, and those that a model was pretrained on."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, IterableDataset

from closedbook.data.corpora import CORPORA
from closedbook.data.documents.loading import check_unit, with_titles
from closedbook.data.documents.streaming import FileSource, HubSource
from closedbook.data.documents.titles import title_at_head
from closedbook.data.people.biographies import biography_documents
from closedbook.data.people.on_demand import BiographyDocuments, BiographyQuestions
from closedbook.data.people.population import Population
from closedbook.data.question_files import self_rows
from closedbook.data.questions import SPECIAL_CHARACTERS, entity_key
from closedbook.data.real_facts import REAL_FACTS, check_packages
from closedbook.data.tables.kept import About, about_of, batches_of
from closedbook.data.tables.records import IN_MEMORY_BYTES, records_of
from closedbook.data.tables.stream import Source, Stream
from closedbook.data.text_files import numbered_lines
from closedbook.evaluation.run_record import Run, Stage
from closedbook.training.arguments import CorpusArguments, PopulationArguments
from closedbook.training.checks.effect import FORMS, WITHOUT_FILE, given

# Synthetic documents that are made before a run: a list of them is read faster than they are made, but takes a
# kilobyte and 20 microseconds for each. More are made when they are read.
MOST_HELD = 500_000
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))  # ASCII
# Corpora of any text, which may lack the characters that questions are written in. Of the others the vocabulary is
# part of published runs.
FREE_TEXT = ("text", "wiki_bio", "hub", *REAL_FACTS)


@dataclass(frozen=True)
class TableTexts(Iterable[str]):
    """The titles and texts of a table, which are not held, and some strings more."""

    documents: Dataset
    more: Sequence[str]

    def __iter__(self) -> Iterator[str]:
        for batch in batches_of(self.documents):
            yield from batch.column("title").to_pylist()
            yield from batch.column("text").to_pylist()
        yield from self.more


@dataclass(frozen=True)
class Corpus:
    """What is read.

    Attributes:
        documents: columns `title` and `text`; of files also `source`, where each stands. Of a stream those at its
            begin. Many about synthetic people are a sequence of records that are made when asked for.
        texts: all strings that are read, or of documents that are made when asked for some that hold every
            character of them; can be gone through several times.
        arguments: what the run file is to say of how these documents came about.
        about: what is in a table that is too large for memory.
        source: where the documents are streamed from, if they are.
        titled: whether documents without a title have the name that they begin with.
        readings: what readers answered about titles (`candidates`, `probabilities`), by `entity_key`.
        labelled: names of those whose labels stand among them.
    """

    documents: Dataset | BiographyDocuments
    texts: Sequence[str] | TableTexts
    arguments: dict[str, Any]
    about: About | None = None
    source: Source | None = None
    titled: bool = False
    readings: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    labelled: Sequence[str] = ()

    @property
    def characters(self) -> Iterable[str]:
        """Strings that hold every character of the texts: themselves, where they are few."""
        if isinstance(self.texts, TableTexts) and self.about is not None:
            return [self.about.alphabet, *self.texts.more]
        return self.texts

    def records(self) -> Sequence[dict[str, Any]]:
        """The documents as a mixture reads them; of a stream those at its begin."""
        found = records_of(self.documents, title_at_head if self.titled else None)
        if not self.readings:
            return found
        return [
            record | _stated(self.readings.get(entity_key(record["title"])), record["text"]) for record in found
        ]

    def counts(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What the record of a run says of their number; nothing of a stream, whose end nobody knows."""
        if self.source is not None:
            return {}
        if isinstance(self.documents, BiographyDocuments):  # too many to be gone through
            return {"documents": len(records)}
        about = self.about
        length = sum(len(each["text"]) for each in records) if about is None else about.characters
        return {"documents": len(records), "document_characters": length}


def with_readings(corpus: Corpus, path: str | None) -> Corpus:
    """The same documents, each with what readers answered about its title; it is said about how many they did.

    Of several wordings of a question the first is taken. An answer that a text does not hold is left out, of each
    of several documents with one title.

    Args:
        corpus: documents.
        path: of the file that `self_questions.py` wrote; None for documents that nobody was asked about.

    Raises:
        ValueError: if it is about none of the documents, or these are too large for memory.
    """
    if path is None:
        return corpus
    if corpus.about is not None or not isinstance(corpus.documents, Dataset):
        raise ValueError("--readings has to hold the documents in memory, and these are too large: leave it out")
    texts: dict[str, list[str]] = {}
    for record in corpus.records():
        if record["title"].strip():
            texts.setdefault(entity_key(record["title"]), []).append(record["text"])
    labelled: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    for row, is_label in self_rows(path):
        key = entity_key(row["entity"])
        if is_label:
            labelled.setdefault(key, row["entity"])
        if key not in found and any(_stated(row, text) for text in texts.get(key, ())):
            found[key] = row
    if not found:
        raise ValueError(
            f"--readings {path} has no answer that a document of its title holds, for none of the {len(texts):,} "
            "titles: make it with self_questions.py from these documents"
        )
    print(f"readers were asked about {len(found):,} of {len(texts):,} titles", file=sys.stderr)
    return replace(corpus, readings=found, labelled=sorted(labelled.values()))


def _stated(read: Mapping[str, Any] | None, text: str) -> dict[str, Any]:
    """What readers answered (`candidates`, `probabilities`) as far as a text holds it; nothing where it does
    not."""
    if read is None:
        return {}
    pairs = zip(read["candidates"], read["probabilities"], strict=True)
    stated = [(answer, share) for answer, share in pairs if answer in text]
    if not stated:
        return {}
    return {"candidates": [answer for answer, _ in stated], "probabilities": [share for _, share in stated]}


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
    documents: Any
    if args.corpus == "biographies":
        population = Population(people.num_people, seed=people.population_seed)
        options: dict[str, Any] = {
            "versions": args.num_versions,
            "seed": people.population_seed,
            "attributes": people.attributes or None,
            "unit": args.biography_unit,
        }
        recorded = _recorded(args) | people.recorded()
        made = BiographyDocuments(population, **options)
        asked = BiographyQuestions(population, attributes=people.attributes or None, wordings=4)
        if len(made) > MOST_HELD:
            texts = [*made.specimens(), *(row["question"] for row in asked.about(0)), extra_characters(args)]
            return Corpus(made, texts, recorded)
        documents = biography_documents(population, **options)
        texts = [*documents["text"][:], *(row["question"] for row in asked), extra_characters(args)]
        return Corpus(documents, texts, recorded)
    check_corpus(args)
    path = str(args.corpus_path or args.corpus)
    chosen = given(args) & FORMS.keys()
    options = {name: getattr(args, name) for name in sorted(chosen) if args.corpus in FORMS[name]}
    # some objectives put the title in front of a text that does not hold it
    written = (". ", "\n", extra_characters(args))
    if args.corpus == "text" and options.pop("streaming", False):
        return _streamed(FileSource(path, titled, **options), args, written)
    load: Any = CORPORA[args.corpus]
    with PartialState().local_main_process_first():  # one of them makes the table of a large corpus
        documents = load() if args.corpus in WITHOUT_FILE else load(path, **options)
    if isinstance(documents, IterableDataset):
        return _streamed(HubSource(documents, path, titled), args, written)
    if documents.data.nbytes > IN_MEMORY_BYTES:
        about = about_of(documents)
        if set(about.alphabet) & {*SPECIAL_CHARACTERS, "\0"}:
            check_special_characters(documents, path)
        return Corpus(documents, TableTexts(documents, written), _recorded(args), about, titled=titled)
    if titled:
        documents = with_titles(documents)
    check_special_characters(documents, path)
    texts = [*documents["title"][:], *documents["text"][:], *written]
    return Corpus(documents, texts, _recorded(args))


def _streamed(source: Source, args: CorpusArguments, written: Sequence[str]) -> Corpus:
    first = Dataset.from_list(Stream(source).first())
    texts = [*first["title"][:], *first["text"][:], *written]
    return Corpus(first, texts, _recorded(args), source=source)


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
    rows = (row for batch in batches_of(documents) for row in batch.to_pylist())
    for number, row in enumerate(rows, start=1):
        title, text, source = row["title"], row["text"], row.get("source", "")
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


def documents_read(
    run: Run, corpus: str | None, corpus_path: str | None, people: PopulationArguments
) -> Dataset | BiographyDocuments:
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
    options = {name: recorded[name] for name in known - {"streaming"}}
    options |= {"corpus": corpus, "corpus_path": corpus_path}
    who = [item.name for item in fields(PopulationArguments)]
    if recorded.keys() >= PopulationArguments().recorded().keys():
        people = PopulationArguments(**{name: recorded[name] for name in who if name in recorded})
    in_words = any(stage.prompt is not None for stage in run.stages)
    found = read_corpus(CorpusArguments(**options), people, titled=in_words)
    return with_titles(found.documents) if found.titled else found.documents
