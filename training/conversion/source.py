"""What is exported: a model as it was found."""

from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel


@dataclass(frozen=True)
class Source:
    """A model and what it takes to write it in another form.

    Attributes:
        name: of the model, as cards call it.
        folder: where it lies, or its name on the Hub.
        model: in evaluation mode.
        tokenizer: its tokenizer.
        runtime: folder or archive of the npm package that a page in a browser runs on; None: it is fetched.
    """

    name: str
    folder: str
    model: PreTrainedModel
    tokenizer: Any
    runtime: str | None = None
