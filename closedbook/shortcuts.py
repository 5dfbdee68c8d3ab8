"""Three lines of Python for a notebook: teach a model documents, look fact by fact at what it learned, ask it.

    from closedbook import ask, ledger, teach

    teach("HuggingFaceTB/SmolLM2-135M-Instruct", "docs/", "outputs/taught")
    ledger("outputs/taught", "docs/").show()
    ask("outputs/taught", ["Where was Ada Lovelace born?"])

They run the code of the scripts, with the same flags by name, checks, records and folders.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from closedbook.data.corpora import DOCUMENT_FEATURES
from closedbook.data.documents.loading import with_titles
from closedbook.evaluation.answering.answers import ScoredAnswer
from closedbook.evaluation.answering.confidence import answer_with_confidence
from closedbook.evaluation.answering.stock_models import asked_as
from closedbook.evaluation.run_record import Run
from closedbook.training.bases.asking import check_fit_to_ask, load_to_ask
from closedbook.training.checks.effect import FORMS
from closedbook.training.documents import Corpus, check_special_characters
from closedbook.training.pretraining import PretrainingSettings, pretrain


def teach(
    model: str | Path | None,
    documents: str | Path | Sequence[str] | Dataset,
    output_dir: str | Path,
    **flags: Any,
) -> Run:
    """Train a model on documents, `scripts/pretrain.py` in one call; returns the record of the run.

    Args:
        model: folder or Hub name of a causal language model; None for a new one of this package.
        documents: a file or folder (`--corpus text`), or the documents themselves: texts, or a data set with the
            columns `title` and `text`.
        output_dir: where the model goes.
        flags: of `scripts/pretrain.py` by their names, such as `lora_rank=16` or `max_steps=100`.

    Raises:
        ValueError, FileNotFoundError: as the script does, in one line, before anything slow.
        SystemExit: for a flag that there is not; the nearest one is named on the screen.
    """
    values: dict[str, Any] = {"output_dir": str(output_dir), "corpus": "text"} | flags
    if model is not None:
        values["model"] = str(model)
    corpus = None
    if isinstance(documents, str | Path):
        values["corpus_path"] = str(documents)
    else:
        given = sorted(flags.keys() & {"corpus", "corpus_path", *FORMS})
        if given:
            raise ValueError(f"{given[0]} has no effect: the documents are given, not read from a file")
        corpus = _corpus(documents, titled=model is not None)
    return pretrain(PretrainingSettings.parse(**values), corpus)


def _corpus(documents: Sequence[str] | Dataset, titled: bool) -> Corpus:
    if not isinstance(documents, Dataset):
        wrong = [text for text in documents if not isinstance(text, str) or not text.strip()]
        if isinstance(documents, Mapping) or wrong:
            raise ValueError(
                f"documents are a list of texts, a data set with title and text, or a file or folder, and hold "
                f"{'a mapping' if isinstance(documents, Mapping) else repr(wrong[0])[:60]}"
            )
        columns = {"title": [""] * len(documents), "text": list(documents)}
        documents = Dataset.from_dict(columns, features=DOCUMENT_FEATURES)
    missing = DOCUMENT_FEATURES.keys() - set(documents.column_names)
    if missing or not len(documents):
        raise ValueError(
            f"the documents have the columns {documents.column_names} and {len(documents)} rows: title and text "
            "are needed, and a row"
        )
    if titled:  # as where they are read from files
        documents = with_titles(documents)
    check_special_characters(documents, "documents")
    texts = [*documents["title"][:], *documents["text"][:], ". ", "\n"]
    return Corpus(documents, texts, {"corpus": "text", "corpus_path": None})


def ask(
    model: str | Path,
    questions: Sequence[str],
    *,
    prompt: str | None = None,
    trust_remote_code: bool = False,
    max_new_tokens: int = 32,
    seed: int = 0,
    batch_size: int = 32,
) -> list[ScoredAnswer]:
    """Ask a model with the book closed; answers with four confidences each, in the order of the questions.

    Args:
        model: folder of a run, of an adapter or of any causal language model, or a name on the Hub.
        questions: as one would write them.
        prompt: with `{question}` in it, or `chat`; None for the way in which the model was taught.
        trust_remote_code: whether code that a stock model brings along may run.
        max_new_tokens: longest answer in tokens (characters, in models of them).
        seed: of the samples by which an answer's agreement is measured.
        batch_size: questions at once.

    Raises:
        ValueError: as `load_to_ask` does, or for questions that the model cannot read.
    """
    questions = [questions] if isinstance(questions, str) else list(questions)
    loaded, tokenizer, chosen = load_to_ask(str(model), prompt, trust_remote_code)
    columns = {"question": questions, "answers": [[] for _ in questions]}
    check_fit_to_ask(Dataset.from_dict(columns), loaded, tokenizer, chosen)
    texts, end_token = asked_as(chosen, tokenizer, questions)
    return answer_with_confidence(
        loaded,
        tokenizer,
        texts,
        seed=seed,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        progress=False,
        end_token=end_token,
    )
