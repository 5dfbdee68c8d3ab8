"""Documents written again by a model, in several ways: many wordings of a fact are what lets it be asked for.

After Allen-Zhu and Li 2023 (Physics of Language Models 3.1), Maini et al. 2024 (rephrasing the web) and Yang et
al. 2024 (EntiGraph). A small writer makes things up; so every sentence that names something which the document
does not name is dropped, and every text of which nothing is kept stands in the file with its reason.

What was written is kept in one file, a line each, and never written twice: a run that was stopped goes on where
the file ends, and another run with the same writer and documents reads it.
"""

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.mentions import occurs
from closedbook.data.objectives.entities import find_entities
from closedbook.evaluation.answering.decoding_ways import Decoding
from closedbook.evaluation.answering.prompts import complete_prompts
from closedbook.evaluation.answering.stock_models import load_stock_model
from closedbook.evaluation.files import read_json_objects, write_jsonl_atomic
from closedbook.evaluation.ledger.sentences import sentences
from closedbook.training.arguments import RewriteArguments
from closedbook.training.checks.effect import given
from closedbook.training.checks.outputs import check_outputs
from closedbook.training.documents import Corpus
from closedbook.training.finished_runs import digest
from closedbook.training.hardware import own_device

KINDS = {
    "paraphrase": "Write the following text again in other words. Keep every name, date and number as it is.",
    "simple": "Write the following text again in short and simple sentences, each with the full name in it.",
    "backwards": "Write the following text again: begin with what it says last, and end with what it says "
    "first. Keep every name, date and number as it is.",
    "questions": "Write short questions that the following text answers, each with its answer, in lines that "
    'begin with "Question:" and "Answer:".',
}
QUESTIONS = "questions"
SAMPLED = Decoding("sample", temperature=0.7, top_p=0.95)  # from the second of a kind on
MAX_NEW_TOKENS = 256
DOCUMENTS_A_WRITE = 32
_END = "\n\n\n"  # of a text without an end-of-text token
_FIELDS = ("key", "kind", "number", "title", "source", "written", "kept", "why")
_OPENING = re.compile(r"[A-Z][a-z]+(?:ed|ing|ly)|Born|Built|Cast|Known|Made|Written")
_PAIR = re.compile(
    r"^\W*(?:\d+\W+)?q(?:uestion)?[ \t]*\d*[ \t]*[:.)]\W*(.+?)[ \t*]*\n+"
    r"\W*(?:\d+\W+)?a(?:nswer)?[ \t]*\d*[ \t]*[:.)]\W*(.+?)[ \t*]*$",
    re.IGNORECASE | re.MULTILINE,
)


def check_rewriting(args: RewriteArguments, corpus_path: str | None) -> None:
    """Refuse a writer without a file, flags without a writer, and ways of writing that there are not.

    Args:
        args: to be checked.
        corpus_path: file or folder of the documents.

    Raises:
        ValueError: naming the flag.
    """
    if args.rewrite_with is None:
        for name in sorted(given(args)):
            raise ValueError(f"--{name} has no effect: it needs --rewrite_with, the model that writes")
        return
    if args.rewrite_path is None:
        raise ValueError("--rewrite_with needs --rewrite_path: the .jsonl file that keeps what is written")
    if args.rewrites < 1:
        raise ValueError(f"--rewrites must be at least 1, got {args.rewrites}")
    unknown = [kind for kind in args.rewrite_kinds if kind not in KINDS]
    if unknown or not args.rewrite_kinds:
        raise ValueError(f"--rewrite_kinds {' '.join(unknown)}: known are {', '.join(KINDS)}")
    path = Path(args.rewrite_path)
    if corpus_path and Path(corpus_path).is_dir() and path.resolve().is_relative_to(Path(corpus_path).resolve()):
        raise ValueError(
            f"--rewrite_path {path} lies in --corpus_path {corpus_path}, whose files are read: write elsewhere"
        )
    if path.exists():
        read_rewritten(path)
    else:
        check_outputs([path], [])


def read_rewritten(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a file of rewritten documents.

    Raises:
        ValueError: if it is damaged, or another kind of file; the message names the line.
    """
    records = read_json_objects(path)
    for number, record in enumerate(records, start=1):
        if record.keys() != set(_FIELDS):
            raise ValueError(f"{path}, line {number} is not of rewritten documents: name another file")
    return records


def with_rewritten(args: RewriteArguments, corpus: Corpus, seed: int, trust_remote_code: bool = False) -> Corpus:
    """The corpus with what a model makes of its documents behind them; as it was without `--rewrite_with`.

    Args:
        args: who writes what, and the file that keeps it.
        corpus: of which every document is written again.
        seed: of the samples.
        trust_remote_code: whether code that the writer brings along may run.

    Raises:
        ValueError: for a writer that is no causal language model, or if nothing it wrote could be kept.
    """
    if args.rewrite_with is None:
        return corpus
    if not isinstance(corpus.documents, Dataset):
        raise ValueError(
            f"--rewrite_with: {len(corpus.documents):,} documents are too many to be written again: fewer with "
            "--num_people or --num_versions"
        )
    with PartialState().main_process_first():  # the others read what it has written
        records = write_again(args, corpus.documents.to_list(), seed, trust_remote_code)
    kept = [record for record in records if record["kept"]]
    dropped = Counter(record["why"] for record in records if not record["kept"])
    if PartialState().is_main_process:
        told = "".join(f"; {count} dropped: {why}" for why, count in dropped.most_common())
        print(
            f"written by {Path(args.rewrite_with).name}: {len(kept)} of {len(records)} kept in "
            f"{args.rewrite_path}{told}",
            file=sys.stderr,
        )
    if not kept:
        raise ValueError(
            f"--rewrite_with {args.rewrite_with}: nothing that it wrote could be kept, see {args.rewrite_path}: "
            "take a larger model, or one that was taught to follow instructions"
        )
    added = [{"title": record["title"], "text": record["kept"], "source": record["source"]} for record in kept]
    features = corpus.documents.features
    columns = {name: [record.get(name, "") for record in added] for name in features}
    documents = concatenate_datasets([corpus.documents, Dataset.from_dict(columns, features=features)])
    return replace(corpus, documents=documents, texts=[*corpus.texts, *columns["text"]])


def write_again(
    args: RewriteArguments, documents: Sequence[Mapping[str, Any]], seed: int, trust_remote_code: bool = False
) -> list[dict[str, Any]]:
    """One record for every document, kind and number, in this order, all of them in the file when it returns.

    Records of the file that this run has no use for stay in it.
    """
    assert args.rewrite_with is not None and args.rewrite_path is not None
    path, name = Path(args.rewrite_path), Path(args.rewrite_with).name
    known = {record["key"]: record for record in read_rewritten(path)} if path.exists() else {}
    wanted = [
        (document, kind, number, digest([name, seed, kind, number, document["title"], document["text"]], 16))
        for document in documents
        for kind in args.rewrite_kinds
        for number in range(args.rewrites)
    ]
    left = [each for each in wanted if each[-1] not in known]
    if left:
        model, tokenizer = load_stock_model(args.rewrite_with, trust_remote_code=trust_remote_code)
        model.to(own_device(PartialState()))
        step = DOCUMENTS_A_WRITE * args.rewrites * len(args.rewrite_kinds)
        for first in range(0, len(left), step):
            for document, kind, number, key, text in _written(model, tokenizer, left[first : first + step], seed):
                kept, why = judge(document, kind, text)
                values = (key, kind, number, document["title"], document.get("source") or "", text, kept, why)
                known[key] = dict(zip(_FIELDS, values, strict=True))
            write_jsonl_atomic(path, known.values())
    return [known[key] for *_, key in wanted]


def _written(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, wanted: Sequence[tuple], seed: int
) -> list[tuple]:
    """Each of `wanted` with what the model wrote."""
    found = []
    for number in sorted({number for _, _, number, _ in wanted}):
        part = [each for each in wanted if each[2] == number]
        completions = complete_prompts(
            model,
            tokenizer,
            [instruction(tokenizer, document, kind) for document, kind, _, _ in part],
            SAMPLED if number else Decoding(),
            max_new_tokens=MAX_NEW_TOKENS,
            end=_END,
            seed=seed + number,
            progress=sys.stderr.isatty(),
        )
        found += [(*each, said.text.strip()) for each, said in zip(part, completions, strict=True)]
    return found


def instruction(tokenizer: PreTrainedTokenizerBase, document: Mapping[str, Any], kind: str) -> str:
    """What the writer reads: as a turn of a conversation, where its tokenizer has a form for one."""
    title = f"{document['title']}\n\n" if document["title"] else ""
    asked = f"{KINDS[kind]}\n\n{title}{document['text']}"
    if not tokenizer.chat_template:
        return f"{asked}\n\n"
    turns = [{"role": "user", "content": asked}]
    text: Any = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    return text


def judge(document: Mapping[str, Any], kind: str, written: str) -> tuple[str, str]:
    """What of a text is kept, and else why nothing is: `(kept, why)`, one of them empty."""
    told = f"{document['title']}. {document['text']}"
    if kind == QUESTIONS:
        pairs = [(question, answer.rstrip(".")) for question, answer in _PAIR.findall(written)]
        right = [(q, a) for q, a in pairs if occurs(a, document["text"]) and not _unnamed(q, told)]
        kept = "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in dict.fromkeys(right))
        return kept, "" if kept else "no question with an answer that stands in the document"
    lines = written.splitlines()
    if len(lines) > 1 and lines[0].rstrip().endswith(":"):  # "Here is the text in other words:"
        lines = lines[1:]
    text = "\n".join(lines).strip()
    if not text or text == document["text"].strip():
        return "", "nothing, or the document itself"
    text = " ".join(sentence.text for sentence in sentences(text) if not _unnamed(sentence.text, told))
    if not text:
        return "", "every sentence names something that the document does not name"
    if not any(occurs(entity.text, text) for entity in _facts(document)):
        return "", "nothing of what the document says is named"
    # "She was born ..." without the sentence before it would be about nobody
    is_about = not document["title"] or occurs(document["title"], text)
    return text if is_about else f"{document['title']}. {text}", ""


def _unnamed(text: str, told: str) -> list[str]:
    """What a text names and the document does not; a verb or an adverb with which a sentence opens is no name."""

    def is_known(word: str) -> bool:
        return occurs(word, told) or occurs(word.lower(), told) or bool(_OPENING.fullmatch(word))

    return [
        entity.text
        for entity in find_entities(text)
        if not occurs(entity.text, told) and not all(map(is_known, re.findall(r"\w+", entity.text)))
    ]


def _facts(document: Mapping[str, Any]) -> list[Any]:
    """What the document names beside its title; all that it names, where there is nothing beside."""
    found = find_entities(document["text"])
    beside = [entity for entity in found if not occurs(entity.text, document["title"])]
    return beside or list(found)
