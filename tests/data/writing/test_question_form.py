"""How a question is put: what has no place for it, or cannot put it, is refused before anything is read."""

import pytest

from closedbook.data.writing.question_form import CHAT, DEFAULT_PROMPT, QuestionForm
from closedbook.modeling.tokenization_char import build_char_tokenizer

TURN = "{% for message in messages %}<{{ message.content }}>{% endfor %}"


def tokenizer(template=None):
    made = build_char_tokenizer(["abc<>? "])
    made.chat_template = template
    return made


def test_an_answer_follows_after_a_space_unless_one_stands_there():
    plain, spaced = QuestionForm(DEFAULT_PROMPT, tokenizer()), QuestionForm("{question} ", tokenizer())
    assert plain.read("a?") == "Question: a?\nAnswer:"
    assert (plain.predicted("b"), spaced.predicted("b")) == (" b", "b")
    chat = QuestionForm(CHAT, tokenizer(TURN))
    assert (chat.read("a?"), chat.predicted("b")) == ("<a?>", "b")


@pytest.mark.parametrize(
    ("prompt", "template", "told"),
    [
        ("Answer:", None, "has no {question}"),
        ("", None, "has no {question}"),
        (CHAT, None, "has no chat template"),
        (CHAT, "{{ raise_exception('a system turn first') }}", "takes no question alone .a system turn first"),
    ],
)
def test_what_cannot_put_a_question_is_refused(prompt, template, told):
    with pytest.raises(ValueError, match=told):
        QuestionForm(prompt, tokenizer(template))
