"""Models as they are asked: in the prompt that they were taught with, or in one's own."""

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.questions import check_fit
from closedbook.data.writing.fit import check_fit_in_tokens
from closedbook.data.writing.question_form import DEFAULT_PROMPT, QuestionForm, check_form
from closedbook.data.writing.token_writer import TokenWriter
from closedbook.modeling.tokenization_char import CharTokenizer
from closedbook.training.bases.loading import context_length, is_of_this_package, load_model_folder
from closedbook.training.run_folder import read_base_run


def load_to_ask(
    name: str, prompt: str | None = None, trust_remote_code: bool = False, default: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, str | None]:
    """A model, its tokenizer, and the prompt to ask it with; None where a mask token parts question and answer.

    Args:
        name: a folder of this package's runs or of any model, an adapter, or a name on the Hub.
        prompt: with `{question}` in it, or `chat`; None for the way in which the model was taught.
        trust_remote_code: whether code that a stock model brings along may run.
        default: the prompt for a model that was never taught a way to be asked; None refuses it.

    Raises:
        ValueError: as `load_model_folder` and `check_form` do; or for a model that was never taught a way to be
            asked, where none is given.
    """
    model, tokenizer = load_model_folder(name, trust_remote_code)
    chosen = prompt if prompt is not None else read_base_run(name).last.prompt
    if chosen is None and not is_of_this_package(model.config):
        chosen = default
    if chosen is None:
        if tokenizer.mask_token is None:
            raise ValueError(f"{name} knows no mask token: ask it with --prompt {DEFAULT_PROMPT!r}")
        return model, tokenizer, None
    chosen = chosen.replace("\\n", "\n")
    check_form(chosen, tokenizer)
    return model, tokenizer, chosen


def check_fit_to_ask(
    questions: Dataset, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str | None
) -> None:
    """Refuse questions that the model cannot read, or after which it has no room for a token, before any is asked.

    Raises:
        ValueError: naming up to five of them.
    """
    block_size = context_length(model)
    if prompt is None and isinstance(tokenizer, CharTokenizer):
        assert block_size is not None, "models of this package have a block"
        check_fit(questions, block_size=block_size, vocabulary=tokenizer.get_vocab(), answer_room=1)
        return
    form = None if prompt is None else QuestionForm(prompt, tokenizer)
    check_fit_in_tokens(questions, TokenWriter(tokenizer, form), block_size=block_size, answer_room=1)
