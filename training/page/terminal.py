"""Ask a model in a terminal, or every question of a file."""

import csv
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from closedbook.evaluation.environment import check_recordable
from closedbook.evaluation.files import write_jsonl_atomic, write_text_atomic
from closedbook.training.checks.together import check_together
from closedbook.training.command_line import parse_flags
from closedbook.training.page.arguments import (
    HOST,
    AskArguments,
    checks,
    read_documents,
    read_question_texts,
)
from closedbook.training.page.replying import Asker, Reply, read_promise

WIDTH = 30  # characters of a bar
AT_ONCE = 32  # questions of a file that are asked together


def main(argv: list[str]) -> None:
    """Ask as the flags say.

    Raises:
        ValueError: for flags that contradict each other, files that cannot be read or written, or a model that
            cannot be asked; before anything is asked.
    """
    (args,) = parse_flags(AskArguments, argv)
    check_recordable(args.output and Path(args.output).parent)
    check_together(*checks(args))
    if args.space is not None:
        from closedbook.training.page.space import write_space

        write_space(args)
        print(f"wrote {args.space}: run it with python app.py in there, or upload it as a Space")
        return
    asker = load_asker(args)
    if args.page:
        from closedbook.training.page.gradio_page import PAGE, build_page

        build_page(asker).launch(server_name=HOST, server_port=args.port, **PAGE)
    elif args.question is not None:
        print(describe_reply(asker.reply(args.question), asker))
        if not asker.promise.made:
            print(f"  {asker.promise.told}")
    elif args.question_file is not None:
        replies = ask_all(asker, read_question_texts(args.question_file))
        write_table(args.output, table_rows(replies))
        given = sum(reply.given for reply in replies)
        print(f"{len(replies)} questions, {given} answered: {args.output}")
    else:
        _converse(asker)


def load_asker(args: AskArguments) -> Asker:
    """The model that the flags name, with what it read."""
    return Asker(
        args.model,
        read_promise(args.model, args.threshold),
        read_documents(args.documents) if args.documents else None,
        args.prompt,
        args.trust_remote_code,
        args.max_new_tokens,
    )


def _converse(asker: Asker) -> None:
    print(f"{asker.name}: {asker.promise.told}\nType a question; an empty line ends.")
    while True:
        try:
            question = input("\n? ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if not question.strip():
            return
        print(describe_reply(asker.reply(question), asker))


def describe_reply(reply: Reply, asker: Asker) -> str:
    """A reply in a few lines: what is said, how sure, what else it might be, and where it stands."""
    if reply.problem:
        return reply.problem
    lines = [reply.shown if reply.given else f"{reply.shown} (it would say: {reply.answer})"]
    threshold = asker.promise.threshold
    lines.append(f"  {bar(reply.confidence, threshold)} {reply.confidence:.0%} sure ({asker.promise.confidence})")
    if reply.familiarity is not None:
        lines.append(f"  has read about {reply.subject} with a probability of {reply.familiarity:.0%}")
    if others := [
        f"{text or '(nothing)'} {share:.1%}" for text, share in reply.candidates if text != reply.answer
    ]:
        lines.append("  or " + ", ".join(others))
    if asker.promise.threshold is None:
        lines.append(f"  {asker.promise.told}")
    about = f" ({reply.origin.subject})" if reply.origin.subject else ""
    lines.append(f"  {reply.origin.told}{about}")
    lines += [f"  {source.place}: {source.sentence}" for source in reply.origin.sources]
    return "\n".join(lines)


def bar(confidence: float, threshold: float | None) -> str:
    """A bar of `WIDTH` characters as long as the confidence, with the threshold in it."""
    full = round(confidence * WIDTH)
    cells = ["#" if place < full else "." for place in range(WIDTH)]
    if threshold:
        cells[min(WIDTH - 1, round(threshold * WIDTH))] = "|"
    return "[" + "".join(cells) + "]"


def ask_all(asker: Asker, questions: Sequence[str]) -> list[Reply]:
    """Every question, in batches, with a progress bar."""
    replies: list[Reply] = []
    with tqdm(total=len(questions), unit="question", file=sys.stderr) as progress:
        for start in range(0, len(questions), AT_ONCE):
            part = questions[start : start + AT_ONCE]
            replies += asker.replies(part)
            progress.update(len(part))
    return replies


def table_rows(replies: Iterable[Reply]) -> list[dict[str, Any]]:
    """A row a question."""
    return [
        {
            "question": reply.question,
            "reply": reply.shown,
            "answer": reply.answer,
            "given": reply.given,
            "confidence": round(reply.confidence, 6),
            "subject": reply.subject,
            "familiarity": None if reply.familiarity is None else round(reply.familiarity, 6),
            "origin": reply.origin.told,
            "source": "; ".join(f"{source.place}: {source.sentence}" for source in reply.origin.sources),
        }
        for reply in replies
    ]


def write_table(path: str | Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV or JSON lines, whole or not at all."""
    if Path(path).suffix == ".jsonl":
        write_jsonl_atomic(path, rows)
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({name: _as_text(value) for name, value in row.items()} for row in rows)
    write_text_atomic(path, text.getvalue())


def _as_text(value: Any) -> Any:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value
