"""Which of a text's names answers a question, by a reader's word and by how the names stand.

A small reader has a probability for every name of a text. Whoever looks at the same text sees more: which
place comes first, how far behind a word of the question ("born") a name stands, between which words, how
often it is the answer to other questions. `Weighing` weighs all of this by a conditional logit (McFadden
1974: one choice among the candidates of each question), fitted on questions whose answers the reader did not
learn from: a second stage over the first one's held-out predictions is stacking (Wolpert 1992). Nothing in it
is made for one kind of question: words of the question, words before a name and characters after it are taken
from the questions that it is fitted on.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import scipy.optimize

from closedbook.data.objectives.entities import Entity

PENALTY = 3.0  # of a squared weight, in nats: 1 and 10 were no better on the reference task's training people
LEAST_SEEN = 5  # candidates that have a clue, for it to have a weight
FOLDS = 5
_LEAST_SHARE = 1e-3  # below it the readers' probabilities are noise
_BEFORE = re.compile(r"([^\W\d_]+|\S)\s*$")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Choice:
    """A question and what could answer it.

    Attributes:
        question: as it is asked.
        entity: whom it is about; the words of this name are no words of the question.
        text: that it is asked about.
        candidates: names of the text, each where it stands first, in their order.
        shares: the readers' probability of each name; what is missing has none.
        answers: what is right; empty where nobody knows.
    """

    question: str
    entity: str
    text: str
    candidates: tuple[Entity, ...]
    shares: Mapping[str, float]
    answers: tuple[str, ...] = ()

    @property
    def right(self) -> int | None:
        """Which candidate is an answer; None if none is."""
        return next((row for row, one in enumerate(self.candidates) if one.text in self.answers), None)


@dataclass(frozen=True)
class Weighing:
    """A fitted conditional logit.

    Attributes:
        weights: of each clue, of its value in standard deviations from the mean; both are in `scales`.
        scales: mean and standard deviation of each clue.
        answers: how often each answer was right in the questions that it was fitted on.
    """

    weights: Mapping[str, float]
    scales: Mapping[str, tuple[float, float]]
    answers: Mapping[str, int]

    @classmethod
    def fit(cls, choices: Sequence[Choice], penalty: float = PENALTY) -> "Weighing":
        """Of questions whose answers are known; those with no right candidate say nothing and are left out.

        Raises:
            ValueError: if none is left.
        """
        used = [(one, right) for one in choices if (right := one.right) is not None]
        if not used:
            raise ValueError(f"none of {len(choices)} questions has its answer among the names of its text")
        given = [one.candidates[right].text for one, right in used]
        answers = Counter(given)
        rows: list[dict[str, float]] = []
        for (one, _), own in zip(used, given, strict=True):  # an answer is not counted for its own question
            rows += _clues(one, {**answers, own: answers[own] - 1})
        seen = Counter(name for row in rows for name, value in row.items() if value)
        names = sorted(name for name, count in seen.items() if count >= LEAST_SEEN)
        values = np.array([[row.get(name, 0.0) for name in names] for row in rows]).reshape(len(rows), len(names))
        mean, spread = values.mean(0), values.std(0)
        kept = spread > 0
        names = [name for name, keep in zip(names, kept, strict=True) if keep]
        mean, spread, values = mean[kept], spread[kept], values[:, kept]
        starts = np.cumsum([0, *(len(one.candidates) for one, _ in used[:-1])])
        chosen = starts + np.array([right for _, right in used])
        fitted = _fit((values - mean) / spread, starts, chosen, penalty)
        scales = {name: (float(m), float(s)) for name, m, s in zip(names, mean, spread, strict=True)}
        return cls(dict(zip(names, map(float, fitted), strict=True)), scales, answers)

    def shares(self, choice: Choice) -> dict[str, float]:
        """The probability of each candidate, which sum to 1; {} if there is none."""
        scores = []
        for row in _clues(choice, self.answers):
            scores.append(
                sum(
                    weight * (row.get(name, 0.0) - self.scales[name][0]) / self.scales[name][1]
                    for name, weight in self.weights.items()
                )
            )
        if not scores:
            return {}
        likely = np.exp(np.array(scores) - max(scores))
        return dict(zip((one.text for one in choice.candidates), map(float, likely / likely.sum()), strict=True))


def cross_fitted(choices: Sequence[Choice], groups: Sequence[str], folds: int = FOLDS) -> list[dict[str, float]]:
    """The shares of each question by a weighing that was fitted without its group (whom it is about).

    Raises:
        ValueError: if there are fewer groups than folds.
    """
    names = sorted(set(groups))
    if len(names) < folds:
        raise ValueError(f"{len(names)} people are too few to weigh by: at least {folds} have to be kept out")
    Random(0).shuffle(names)
    fold_of = {name: row % folds for row, name in enumerate(names)}
    fitted = [
        Weighing.fit([one for one, group in zip(choices, groups, strict=True) if fold_of[group] != fold])
        for fold in range(folds)
    ]
    return [fitted[fold_of[group]].shares(one) for one, group in zip(choices, groups, strict=True)]


def _fit(values: np.ndarray, starts: np.ndarray, chosen: np.ndarray, penalty: float) -> np.ndarray:
    """Weights of least penalised loss; `starts` and `chosen` are rows of `values`, (candidates, clues)."""
    of = np.repeat(np.arange(len(starts)), np.diff([*starts, len(values)]))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = values @ weights
        top = np.maximum.reduceat(scores, starts)
        likely = np.exp(scores - top[of])
        total = np.add.reduceat(likely, starts)
        nats = float((top + np.log(total) - scores[chosen]).sum())
        gradient = values.T @ (likely / total[of]) - values[chosen].sum(0)
        return nats + penalty * float(weights @ weights), gradient + 2 * penalty * weights

    return scipy.optimize.minimize(loss, np.zeros(values.shape[1]), jac=True, method="L-BFGS-B").x


def _clues(choice: Choice, answers: Mapping[str, int]) -> list[dict[str, float]]:
    """What there is to see of each candidate, by name; what is not named is 0."""
    inside = set(_WORD.findall(choice.entity.lower()))
    words = [word for word in dict.fromkeys(_WORD.findall(choice.question.lower())) if word not in inside]
    lower = choice.text.lower()
    stand = {word: [m.end() for m in re.finditer(rf"\b{re.escape(word)}\b", lower)] for word in words}
    found, places = [], 0
    for row, one in enumerate(choice.candidates):
        places += one.kind == "place"
        known = answers.get(one.text, 0)
        clues = {
            "readers": math.log(max(choice.shares.get(one.text, 0.0), _LEAST_SHARE)),
            "rank": math.log1p(row),
            "first": float(row == 0),
            one.kind: 1.0,
            f"{one.kind} {min(places, 3)}": 1.0,
            "sentence": math.log1p(choice.text.count(". ", 0, one.start)),
            "times": math.log(max(1, choice.text.count(one.text))),
            "length": len(one.text),
            "an answer": float(known > 0),
            "answers": math.log1p(known),
            f"before {choice.text[one.end : one.end + 2].strip()[:1]}": 1.0,
        }
        if before := _BEFORE.search(choice.text, max(0, one.start - 30), one.start):
            clues[f"behind {before[1]}"] = 1.0
        for word in words:
            ends = [end for end in stand[word] if end <= one.start]
            clues[f"far from {word}" if ends else f"not behind {word}"] = (
                math.log1p(one.start - ends[-1]) if ends else 1.0
            )
            if ends:
                clues[f"near {word} {min((one.start - ends[-1]) // 20, 4)}"] = 1.0
        found.append(clues)
    return found
