"""Objectives in plain words: for models that have read text before, and know no mark of this package.

Every form is made from the example that the objective gives, so that what is drawn and what is kept apart is the
same for all tokenizers. The mark between pieces becomes punctuation, a gap a line of underscores, and what is
asked for follows a word that says so. Denoising objectives thereby become what Abonizio et al. (2025) and the
authors of masked fine-tuning (2025, arXiv:2510.09885) found to teach facts to models that read from left to right:
a copy with gaps is read, and what is missing is written.
"""

from collections.abc import Callable

from closedbook.data.objectives.example import Example
from closedbook.modeling.tokenization_char import MASK_CHARACTER

GAP = "____"
CUE_QUESTION = "cue_question"  # put as questions are, by the prompt
Written = tuple[str, str]  # what is read, and what is to be predicted after it


def _plain(example: Example) -> Written:
    """`text`"""
    return example.text[: example.loss_start], example.text[example.loss_start :]


def _title(example: Example) -> Written:
    """`title`, which ends where the text ends."""
    return "", example.text.removesuffix(MASK_CHARACTER)


def _backwards(example: Example) -> Written:
    """`Backwards: text`, without the marks around names: the words themselves say in which direction they run."""
    return "Backwards: ", example.text.replace(MASK_CHARACTER, "")


def _one_gap(example: Example) -> Written:
    """`prefix ____ suffix` and `Missing: span`; as in the objective, the text around the gap is predicted, too."""
    read, rest = example.text[: example.loss_start], example.text[example.loss_start :]
    prefix, suffix, span = rest.split(MASK_CHARACTER)
    return read, f"{prefix}{GAP}{suffix}\nMissing: {span.strip()}"


def _gaps(example: Example) -> Written:
    """`prefix ____ middle ____ suffix` is read, `Missing: span; span` predicted."""
    context, _, asked = example.text.partition(MASK_CHARACTER * 2)
    spans = [span.strip() for span in asked.split(MASK_CHARACTER)[:-1]]
    return f"{context.replace(MASK_CHARACTER, GAP)}\nMissing:", " " + "; ".join(spans)


def _masked_copy(example: Example) -> Written:
    """`A copy with ____ gaps` is read, and then the text itself predicted."""
    copy, _, text = example.text.partition(MASK_CHARACTER * 2)
    return f"{copy.replace(MASK_CHARACTER, GAP)}\nText:", f" {text.removesuffix(MASK_CHARACTER)}"


def _asked_for(example: Example) -> Written:
    """`title words: entity`, or `title: entity, entity`; an example that fell back is one with a gap."""
    if example.loss_start == 0:
        return _one_gap(example)
    prompt, *pieces = example.text.removesuffix(MASK_CHARACTER).split(MASK_CHARACTER)
    return f"{prompt.rstrip(' :')}:", " " + ", ".join(pieces)


TEXT_FORMS: dict[str, Callable[[Example], Written]] = {
    "left_to_right": _plain,
    "reversed_order": _backwards,
    "span_corruption": _one_gap,
    "title_windows": _one_gap,
    "t5_multi_span": _gaps,
    "salient_spans": _gaps,
    "masked_reconstruction": _masked_copy,
    **dict.fromkeys(("entity_recall", "entity_list", "entity_sequence", "entity_cue"), _asked_for),
    CUE_QUESTION: _asked_for,
    **dict.fromkeys(("place_list", "place_sequence", "place_cue", "entity_company", "place_company"), _asked_for),
    "titles": _title,
}


def check_text_forms(objectives: list[str]) -> None:
    """Refuse objectives that have no form in plain words.

    Raises:
        ValueError: naming the first of them, and those that have one.
    """
    for name in objectives:
        if name not in TEXT_FORMS and name != "question_answering":
            raise ValueError(
                f"objective {name} is told by marks, which a pretrained model has never read: use one of "
                f"{', '.join(TEXT_FORMS)}, question_answering"
            )
