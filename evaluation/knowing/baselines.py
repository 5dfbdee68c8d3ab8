"""What can be scored without a model: the bar that knowledge has to clear."""

from collections import Counter
from dataclasses import dataclass

from datasets import Dataset

from closedbook.data.question_columns import question_blocks
from closedbook.evaluation.metrics.exact_match.matching import exact_match_scores


@dataclass(frozen=True)
class MajorityScore:
    """The score of one constant answer.

    Attributes:
        answer: The most common answer among the training questions.
        share: Its share of the training questions, in [0, 1].
        correct: Number of held-out questions it answers correctly.
        n: Number of held-out questions.
    """

    answer: str
    share: float
    correct: int
    n: int

    @property
    def accuracy(self) -> float:
        """Share of held-out questions answered correctly, in [0, 1]."""
        return self.correct / self.n


def majority_answer(training: Dataset) -> tuple[str, float]:
    """The most common canonical answer of the training questions, and its share of them.

    Of equally common answers the alphabetically first is taken, so that the baseline does not depend on the
    order of the questions.

    Args:
        training: Questions with a column `answers`, whose first entries are the canonical answers.

    Raises:
        ValueError: If there are no training questions, or one of them has no answer.
    """
    if len(training) == 0:
        raise ValueError("the majority answer needs training questions, but there are none.")
    counts = Counter()
    answer_lists = (answers for block in question_blocks(training, ["answers"]) for answers in block["answers"])
    for row, answers in enumerate(answer_lists):
        if not answers:
            raise ValueError(f"training question {row} has no answer; leave such questions out.")
        counts[answers[0]] += 1
    answer, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return answer, count / counts.total()


def evaluate_majority(training: Dataset, held_out: Dataset) -> MajorityScore:
    """Score the majority answer of the training questions as the answer to every held-out question.

    Raises:
        ValueError: If either set is empty, or one of its questions has no answer.
    """
    if len(held_out) == 0:
        raise ValueError("there are no held-out questions to score.")
    answer, share = majority_answer(training)
    correct = 0
    for block in question_blocks(held_out, ["answers"]):
        correct += sum(exact_match_scores([answer] * len(block["answers"]), block["answers"]))
    return MajorityScore(answer=answer, share=share, correct=correct, n=len(held_out))
