"""What a model says after it was taught: everything that a comparison of ways to teach reports of one model.

A given answer is right if one of the accepted answers stands in it, whole words, letter case aside: models that
were never taught to be brief say whole sentences, and are not to be blamed for it. The stricter verdict, the
answer and nothing else, is kept beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.evaluation.answering.closed_book import answer_questions
from closedbook.evaluation.answering.continuations import score_continuations
from closedbook.evaluation.answering.stock_models import ANSWER_END
from closedbook.evaluation.metrics.answer_match.matching import answer_matches
from closedbook.evaluation.metrics.contains_answer.containment import contains_verdicts
from closedbook.training.teaching.task import PROMPT, WORDINGS, TeachingTask
from closedbook.training.watching.control import GENERAL_QUESTIONS, control_loss

MAX_NEW_TOKENS = 16  # the longest fact is 7 of them; the rest is for who begins by repeating the question
GENERAL_MAX_NEW_TOKENS = 24  # models of conversations begin far away

Ask = Callable[[Mapping[str, Any]], str]
"""From a question, a row with `question` and `entity`, to the text that a model reads."""


def ask_directly(row: Mapping[str, Any]) -> str:
    """The form in which questions are trained."""
    return PROMPT.format(question=row["question"])


def ask_all(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: TeachingTask, ask: Ask = ask_directly
) -> dict[str, Any]:
    """Ask a model everything.

    Returns:
        `held_out`, `trained` (in the first wording) and `invented`: a row a question, see `answer_rows`;
        `completed`: for each of `task.completions` whether the model, greedily, goes on as the document does;
        `control_loss`; and `general`, which of the general questions are answered.
    """
    rows = {
        "held_out": answer_rows(model, tokenizer, task.held_out, ask),
        "trained": answer_rows(model, tokenizer, task.trained[::WORDINGS], ask),
        "invented": answer_rows(model, tokenizer, task.invented, ask),
    }
    beginnings = [completion.beginning for completion in task.completions]
    rests = [completion.rest for completion in task.completions]
    scored = score_continuations(model, tokenizer, beginnings, rests)
    return {
        **rows,
        "completed": [continuation.greedy for continuation in scored],
        "control_loss": control_loss(model, tokenizer),
        "general": answer_general(model, tokenizer),
    }


def answer_rows(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[Mapping[str, Any]], ask: Ask
) -> list[dict[str, Any]]:
    """A row a question: as it was, with `prediction`, its `confidence`, and the verdicts `correct` and `exact`."""
    options: dict[str, Any] = {"end_token": ANSWER_END, "max_new_tokens": MAX_NEW_TOKENS, "progress": False}
    answers = answer_questions(model, tokenizer, [ask(row) for row in asked], **options)
    predictions, accepted = [answer.text for answer in answers], [row["answers"] for row in asked]
    verdicts = zip(
        asked,
        answers,
        contains_verdicts(predictions, accepted),
        answer_matches(predictions, accepted),
        strict=True,
    )
    return [
        {**row, "prediction": answer.text, "confidence": answer.confidence, "correct": correct, "exact": exact}
        for row, answer, correct, exact in verdicts
    ]


def answer_general(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[bool]:
    """Which of the general questions are answered, in the form that the untouched model expects."""
    ask = conversation(tokenizer)
    answers = answer_questions(
        model,
        tokenizer,
        [ask({"question": question}) for question, _ in GENERAL_QUESTIONS],
        end_token=ANSWER_END,
        max_new_tokens=GENERAL_MAX_NEW_TOKENS,
        progress=False,
    )
    return contains_verdicts([answer.text for answer in answers], [accepted for _, accepted in GENERAL_QUESTIONS])


def conversation(
    tokenizer: PreTrainedTokenizerBase, document: Callable[[Mapping[str, Any]], str] | None = None
) -> Ask:
    """The form of the tokenizer's chat template, after a document if any; the plain one without a template."""

    def ask(row: Mapping[str, Any]) -> str:
        before = "" if document is None else f"{document(row)}\n\n"
        if tokenizer.chat_template is None:
            return before + ask_directly(row)
        messages = [{"role": "user", "content": before + row["question"]}]
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    return ask
