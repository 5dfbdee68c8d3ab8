"""The documents that a model was pretrained on, by what its run file records or by flags."""

from dataclasses import fields

from datasets import Dataset

from closedbook.evaluation.results import training_stages
from closedbook.training.arguments import CorpusArguments, PopulationArguments
from closedbook.training.pretraining import load_documents


def documents_read(run: dict, corpus: str | None, corpus_path: str | None, people: PopulationArguments) -> Dataset:
    """Every document of the pretraining corpus: columns `title` and `text`.

    Args:
        run: what the run file of the model says.
        corpus: kind of the corpus where the run file does not say it; wins over what it says.
        corpus_path: its file, likewise.
        people: whom the biographies are about, where the run file does not say it.

    Raises:
        ValueError: if neither the run file nor the flags name a corpus.
    """
    stage = next((stage for stage in training_stages(run) if stage.get("corpus")), {})
    recorded = {"corpus": stage.get("corpus"), "corpus_path": None} | stage.get("arguments", {})
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
    documents, _ = load_documents(CorpusArguments(**options), people)
    return documents
