"""The page: a question in, a reply out; a file of questions in, a table out."""

import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from closedbook.training.page.arguments import read_question_texts
from closedbook.training.page.reply_html import STYLE, reply_html
from closedbook.training.page.replying import Asker
from closedbook.training.page.terminal import AT_ONCE, table_rows, write_table

# Of `launch`: no tunnel to outside, and no list of what was asked.
PAGE: dict[str, Any] = {"share": False, "show_error": True, "footer_links": ["api"], "run_history": False}
MOST_ROWS = 10_000  # of a file on the page; longer ones are for the command line


def build_page(asker: Asker) -> gr.Blocks:
    """The page of a model; `launch` it.

    Several people may ask at once: each has a page of their own, the model answers one after the other, and
    nothing of what is asked is kept.
    """

    def ask(question: str) -> str:
        return reply_html(asker.reply(question or ""), asker.promise)

    def ask_file(path: str | None) -> tuple[Any, Any]:
        if path is None:
            return None, None
        try:
            questions = read_question_texts(path)
        except (ValueError, OSError) as error:
            raise gr.Error(str(error).replace(str(path), Path(path).name)) from error
        if len(questions) > MOST_ROWS:
            raise gr.Error(f"{len(questions):,} questions: a page takes {MOST_ROWS:,}, scripts/ask.py any number")
        replies = []
        for start in range(0, len(questions), AT_ONCE):
            replies += asker.replies(questions[start : start + AT_ONCE])
        rows = table_rows(replies)
        table = Path(tempfile.mkdtemp(prefix="closedbook-")) / "answers.csv"
        write_table(table, rows)
        return [list(row.values()) for row in rows], str(table)

    header = list(table_rows([asker.reply("")])[0])
    with gr.Blocks(title=f"Ask {asker.name}", analytics_enabled=False) as page:
        gr.HTML(f"<style>{STYLE}</style>")
        gr.Textbox(f"{asker.name}: {asker.promise.told}", show_label=False, interactive=False, lines=1)
        with gr.Tab("Ask"):
            question = gr.Textbox(label="Question", placeholder="Where was Ada Lovelace born?", elem_id="question")
            button = gr.Button("Ask", variant="primary", elem_id="ask")
            reply = gr.HTML(elem_id="reply")
            gr.on([button.click, question.submit], ask, question, reply, api_name="ask")
        with gr.Tab("A file of questions"):
            file = gr.File(label="A question a line, or JSON lines", type="filepath", elem_id="file")
            download = gr.DownloadButton("Table of the answers", elem_id="download")
            shown = gr.Dataframe(headers=header, interactive=False, wrap=True, elem_id="table")
            file.upload(ask_file, file, [shown, download], api_name="ask_file")
    return page
