"""P(True): a model is shown its own answer and asked whether it is true (Kadavath et al. 2022, arXiv:2207.05221).

A peer of our confidences, for models that understand such a question: those that are asked with a prompt. It costs
two passes over a text a question, and what it is worth depends on the model: small ones say "True" to anything.
"""

from collections.abc import Sequence

import numpy as np
import scipy  # whose parts are imported when they are used
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.writing.question_form import QuestionForm, encode_prompt
from closedbook.evaluation.answering.batches import check_characters
from closedbook.evaluation.answering.continuations import score_continuations

P_TRUE = "p_true"
_VERDICTS = ("True", "False")
_ASKED = "Question: {question}\nProposed answer: {answer}\nIs the proposed answer true? Say True or False."


def p_true(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    answers: Sequence[str],
    prompt: str,
    batch_size: int = 64,
) -> list[float]:
    """The probability of "True", as a share of that of "True" and of "False", for every question and its answer.

    Args:
        questions: as they were written, without a prompt.
        answers: what the model said to each, as it was read; may be empty.
        prompt: in which the model is asked, with `{question}` in it, or `chat`.
        batch_size: texts read at once; changes speed only.

    Raises:
        ValueError: if a text does not fit the model's block.
    """
    form = QuestionForm(prompt, tokenizer)
    texts = [
        form.read(_ASKED.format_map({"question": question, "answer": answer}))
        for question, answer in zip(questions, answers, strict=True)
    ]
    scores = []
    for verdict in _VERDICTS:
        said = [form.predicted(verdict)] * len(texts)
        found = score_continuations(model, tokenizer, texts, said, batch_size, special_tokens=True)
        scores.append([one.log_probability for one in found])
    true, false = np.array(scores)
    return scipy.special.expit(true - false).tolist()


def tokens_to_assess(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], max_new_tokens: int, prompt: str
) -> int:
    """Tokens of the longest text that `p_true` may have to read, for answers of up to `max_new_tokens`.

    Answers count twice: in other company a text may take other tokens than those in which it was written.

    Raises:
        ValueError: if the tokenizer does not know a character of it.
    """
    form = QuestionForm(prompt, tokenizer)
    verdict = form.predicted(_VERDICTS[1])
    texts = [
        form.read(_ASKED.format_map({"question": question, "answer": ""})) + verdict for question in questions
    ]
    check_characters(tokenizer, texts)
    return 2 * max_new_tokens + max((len(encode_prompt(tokenizer, text)) for text in texts), default=0)
