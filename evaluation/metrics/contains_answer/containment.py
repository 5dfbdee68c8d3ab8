"""The arithmetic of containment, for who needs no `evaluate` module and not the seconds of its import."""

from collections.abc import Sequence

from .normalisation import answer_words, with_accepted_answers

BORDERS = ("words", "anywhere")


def contains_words(words: Sequence[str], answer: Sequence[str]) -> bool:
    """Whether the words of `answer` stand in `words` one after the other; no words are found in no words only."""
    if len(answer) == 0:
        return len(words) == 0
    starts = range(len(words) - len(answer) + 1)
    return any(words[start : start + len(answer)] == answer for start in starts)


def contains_verdicts(
    predictions: Sequence[str], references: Sequence[str | Sequence[str]], borders: str = "words"
) -> list[bool]:
    """One verdict a question: does one of its accepted answers occur in the prediction?

    Whatever `answer_match` takes for correct, "words" does too. "anywhere" is the rule of a course exercise, kept
    to compare with what is reported by it: the answer's characters occur somewhere, letter case aside ("art" in
    "party"). An answer without a character is found in nothing.

    Args:
        predictions: One a question.
        references: The accepted answers of each question, or its only one.
        borders: One of `BORDERS`.

    Raises:
        ValueError: If the two lists differ in length, a question has no accepted answer, or `borders` is unknown.
    """
    if borders not in BORDERS:
        raise ValueError(f"unknown borders {borders!r}; choose one of {', '.join(BORDERS)}.")
    verdicts = []
    for prediction, answers in with_accepted_answers(predictions, references):
        if borders == "words":
            words = answer_words(prediction)
            verdicts.append(any(contains_words(words, answer_words(answer)) for answer in answers))
        else:
            text = prediction.lower()
            verdicts.append(any(answer.strip() and answer.lower() in text for answer in answers))
    return [bool(verdict) for verdict in verdicts]
