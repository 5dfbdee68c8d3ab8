"""What `ask.py` is told, and what is checked before a model is loaded."""

import importlib.util
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from closedbook.data.documents.loading import load_documents, with_titles
from closedbook.data.hub_rows import json_at
from closedbook.data.text_files import numbered_lines
from closedbook.evaluation.answering.stock_models import check_prompt
from closedbook.training.bases.loading import check_is_model
from closedbook.training.checks.outputs import check_outputs, check_writable
from closedbook.training.page.replying import read_promise


@dataclass
class AskArguments:
    """Whom to ask, what it read, and where the questions come from."""

    model: str = field(
        metadata={"help": "folder of a run, an adapter or any causal language model, or a Hub name"}
    )
    documents: str | None = field(
        default=None, metadata={"help": "file or folder of what it read, to say where an answer comes from"}
    )
    question: str | None = field(default=None, metadata={"help": "ask this one and end"})
    question_file: str | None = field(
        default=None, metadata={"help": "ask all of a file (a question a line, or JSON lines); needs --output"}
    )
    output: str | None = field(default=None, metadata={"help": "table of the answers, .csv or .jsonl"})
    page: bool = field(default=False, metadata={"help": "a page in the browser (with the extra closedbook[app])"})
    port: int | None = field(default=None, metadata={"help": "of the page; default: the first free one from 7860"})
    space: str | None = field(
        default=None, metadata={"help": "write a folder that runs the page as a Space on the Hub, model included"}
    )
    threshold: float | None = field(
        default=None,
        metadata={"help": "answer from this confidence on; default: what knowing.py proved for the model"},
    )
    prompt: str | None = field(
        default=None, metadata={"help": "ask so, with {question} in it, or chat; default: as the model was taught"}
    )
    trust_remote_code: bool = field(default=False, metadata={"help": "run code that the model brings along"})
    max_new_tokens: int | None = field(
        default=None,
        metadata={
            "help": "longest answer, in tokens (characters, in models of ours); default: as was proven, or 32"
        },
    )


TABLES = (".csv", ".jsonl")
WAYS = ("question", "question_file", "page", "space")  # at most one; none is the terminal


def checks(args: AskArguments) -> list[Callable[[], object]]:
    """All that can be said before a model is loaded."""

    def check_way() -> None:
        chosen = [f"--{way}" for way in WAYS if getattr(args, way)]
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} are different ways to ask: choose one")

    def check_table() -> None:
        if (args.question_file is None) != (args.output is None):
            raise ValueError("--question_file and --output go together: the questions, and where the table goes")
        if args.output is not None and Path(args.output).suffix not in TABLES:
            raise ValueError(f"--output {args.output}: a table ends in {' or '.join(TABLES)}")
        check_outputs([args.output], [("question_file", args.question_file), ("documents", args.documents)])

    def check_port() -> None:
        if args.port is None:
            return
        if not args.page:
            raise ValueError("--port has no effect: there is no --page")
        if not 1 <= args.port <= 65535:
            raise ValueError(f"--port is from 1 to 65535, not {args.port}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, args.port))
            except OSError as error:
                raise ValueError(f"--port {args.port} is taken: choose another, or leave it out") from error

    def check_space() -> None:
        if args.space is None:
            return
        folder = Path(args.space)
        check_writable(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"--space {folder} already holds files: name a new folder")
        if not Path(args.model).is_dir():
            raise ValueError(f"--space copies the model, and {args.model} is no folder: download it first")

    def check_length() -> None:
        if args.max_new_tokens is not None and args.max_new_tokens < 1:
            raise ValueError(f"--max_new_tokens must be at least 1, not {args.max_new_tokens}")

    return [
        check_way,
        check_table,
        check_port,
        check_space,
        check_length,
        lambda: check_app() if args.page or args.space else None,
        lambda: check_is_model(args.model),
        lambda: None if args.prompt is None else check_prompt(args.prompt),
        lambda: read_promise(args.model, args.threshold),
        lambda: read_documents(args.documents) if args.documents else None,
        lambda: read_question_texts(args.question_file) if args.question_file else None,
    ]


HOST = "127.0.0.1"  # this machine alone; a Space listens where its host tells it to


def check_app() -> None:
    """Refuse a page where its library is not installed.

    Raises:
        ValueError: saying what to install.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ValueError("the page needs the package gradio: pip install 'closedbook[app]'")


def read_documents(path: str | Path) -> list[dict]:
    """Documents with titles, as the ledger reads them."""
    return with_titles(load_documents(path)).to_list()


def read_question_texts(path: str | Path) -> list[str]:
    """The questions of a file: one a line, as far as its first tab; or those of JSON lines.

    Raises:
        ValueError: for a file without a question, or that cannot be read; with file and line.
    """
    questions = []
    for number, line in numbered_lines(path):
        question: object = line.partition("\t")[0]
        if Path(path).suffix.lower() == ".jsonl":
            row = json_at(line, f"{path}:{number}")
            if not isinstance(row, dict) or "question" not in row:
                raise ValueError(f'{path}:{number} is no JSON object with a "question"')
            question = row["question"]
        if not isinstance(question, str):
            raise ValueError(f"{path}:{number}: the question is no text")
        if question.strip():
            questions.append(question.strip())
    if not questions:
        raise ValueError(f"{path} holds no question: write one a line")
    return questions
