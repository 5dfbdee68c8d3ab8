"""The arithmetic of answer match, for who needs no `evaluate` module and not the seconds of its import."""

from collections.abc import Collection, Sequence

from .normalisation import IGNORED, says_the_same, with_accepted_answers


def answer_matches(
    predictions: Sequence[str],
    references: Sequence[str | Sequence[str]],
    ignore: Collection[str] = IGNORED,
) -> list[bool]:
    """One verdict a question: does the prediction say the same as one of its accepted answers?

    Not by TriviaQA's own rule, which is `normalization="triviaqa"` of the metric `exact_match`: of 2,325 different
    aliases of 150 of its questions the two read 71 otherwise (65 for a full stop or an apostrophe), and they judge
    135 of the 39,110 pairs of aliases of one question differently.

    Raises:
        ValueError: If the two lists differ in length, a question has no accepted answer, or `ignore` is unknown.
    """
    return [
        says_the_same(prediction, answers, ignore)
        for prediction, answers in with_accepted_answers(predictions, references)
    ]
