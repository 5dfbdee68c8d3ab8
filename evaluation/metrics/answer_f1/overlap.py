"""The arithmetic of answer F1, for who needs no `evaluate` module and not the seconds of its import."""

from collections import Counter
from collections.abc import Sequence

from .normalisation import answer_words, with_accepted_answers


def word_f1(words: Sequence[str], answer: Sequence[str]) -> float:
    """Harmonic mean of the shares of `words` and of `answer` that the other one has too.

    A word counts as often as it stands in both. Two texts without words are the same and score 1.
    """
    if not words and not answer:
        return 1.0
    shared = (Counter(words) & Counter(answer)).total()
    return 2 * shared / (len(words) + len(answer))


def answer_f1_scores(predictions: Sequence[str], references: Sequence[str | Sequence[str]]) -> list[float]:
    """One score a question, in [0, 1]: the best over its accepted answers; 1 for all that `answer_match` accepts.

    Raises:
        ValueError: If the two lists differ in length, or a question has no accepted answer.
    """
    scores = []
    for prediction, answers in with_accepted_answers(predictions, references):
        words = answer_words(prediction)
        scores.append(max(word_f1(words, answer_words(answer)) for answer in answers))
    return scores
