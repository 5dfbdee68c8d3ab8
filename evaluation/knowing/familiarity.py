"""Familiarity: how probable a model finds the *name* of whom or what it is asked about, before any question.

Confidence in an answer says little about whether the model ever read of its subject: who is asked where somebody
was born says a place, and some places are likely for anybody. The name itself tells better. What a model has read
it spells without surprise, what it has not it has to guess letter by letter, the later the more. So two numbers
are taken of a name: the mean log-probability of its tokens after the first one, and that of the second half of
them alone (a first name is shared by many, a surname by few). For a model that was taught from another one,
`base` takes
away what that one had known: both numbers are then differences.

What they mean differs from model to model, so a scale is fitted: on names of documents that were read, against
strangers of several kinds (`data/people/strangers.py`), nobody of whom is reported on or proves anything. It
gives the probability that the model has read of a subject, were half of all subjects strangers. On the reference
task this takes a model that was asked for titles while it read (the objective `titles`): LOG.md has the figures.

`combined` is familiarity times the probability of the answer: that the subject is known, and that the answer is
the one. Nothing in it is fitted on people who have to prove a promise, so the promise is as exact for it as for
any other confidence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import scipy  # whose parts are imported when they are used
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from closedbook.data.writing.question_form import own_prefix
from closedbook.evaluation.answering.answers import ScoredAnswer
from closedbook.evaluation.answering.continuations import token_log_probabilities

FAMILIARITY, COMBINED = "familiarity", "combined"
_RIDGE = 1e-3  # so that the scale of a model that tells all names apart stays finite
LEAST = 10  # names of each side that a scale is fitted on


@dataclass(frozen=True)
class FamiliarityScale:
    """The probability that a subject was read about: sigmoid(weights . features + bias), at even odds.

    Attributes:
        weights: of the two features of `subject_features`, neither below 0: more probable is never stranger.
        bias: what is added.
    """

    weights: tuple[float, float]
    bias: float

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Probabilities of features of shape `(subjects, 2)`, float64."""
        return scipy.special.expit(features @ np.array(self.weights) + self.bias)

    def as_record(self) -> dict[str, Any]:
        """Ready for JSON; `read_scale` reads it."""
        return asdict(self) | {"weights": list(self.weights)}


def read_scale(record: Mapping[str, Any]) -> FamiliarityScale:
    """The scale that `as_record` wrote.

    Raises:
        KeyError, TypeError, ValueError: for anything else.
    """
    first, second = map(float, record["weights"])
    return FamiliarityScale((first, second), float(record["bias"]))


def subject_features(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    subjects: Sequence[str],
    *,
    end: str = "",
    base: PreTrainedModel | None = None,
    batch_size: int = 128,
) -> np.ndarray:
    """Two mean log-probabilities of every subject, in nats a token: of all its tokens, and of their second half.

    The first token has nothing to be predicted from and is left out; of a subject of one token alone, it is read
    after the token that begins or ends texts.

    Args:
        subjects: not empty. What is longer than the model's block is cut.
        end: what ends a title in training, the mask of models of this package, so that a name that goes on
            differs from one that does not; "" for others.
        base: the model that this one was taught from, with the same tokenizer.
        batch_size: names read at once; changes speed only.

    Returns:
        `(subjects, 2)`, float64.

    Raises:
        ValueError: for an empty subject, or one that is a single token where no token begins or ends texts.
    """
    pairs = [_split(tokenizer, subject, end, _limit(model)) for subject in subjects]
    features = _means(token_log_probabilities(model, tokenizer, pairs, batch_size))
    if base is not None:
        features = features - _means(token_log_probabilities(base, tokenizer, pairs, batch_size))
    return features


def _limit(model: PreTrainedModel) -> int | None:
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def _split(
    tokenizer: PreTrainedTokenizerBase, subject: str, end: str, limit: int | None
) -> tuple[list[int], list[int]]:
    ids = tokenizer.encode(subject + end, add_special_tokens=False)
    if not subject.strip() or not ids:
        raise ValueError(f"a subject must be a name, not {subject!r}")
    before = own_prefix(tokenizer)
    if len(ids) > 1:
        before, ids = [*before, ids[0]], ids[1:]
    elif not before:
        edge = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if edge is None:
            raise ValueError(f"{subject!r} is one token, and the tokenizer has none to begin a text with")
        before = [edge]
    return before, ids if limit is None else ids[: limit - len(before)]


def _means(found: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([[scores.mean(), scores[len(scores) // 2 :].mean()] for scores in found]).reshape(-1, 2)


def fit_familiarity(known: np.ndarray, strangers: np.ndarray) -> FamiliarityScale:
    """The scale that tells what was read from strangers, both of which weigh the same whatever their number.

    Logistic regression with weights of at least 0 and a slight pull towards 0, in units of the features' own
    spread; the problem is convex, so where the search starts does not matter.

    Args:
        known, strangers: features, `(subjects, 2)` each.

    Raises:
        ValueError: with fewer than `LEAST` of either, or with a number that is not finite.
    """
    for name, features in (("known", known), ("strange", strangers)):
        if len(features) < LEAST:
            raise ValueError(f"there are {len(features)} {name} names to fit familiarity on: it takes {LEAST}")
    features = np.concatenate([known, strangers])
    if not np.isfinite(features).all():
        raise ValueError("the log-probability of a name is not finite")
    target = np.r_[np.ones(len(known)), np.zeros(len(strangers))]
    share = np.r_[np.full(len(known), 0.5 / len(known)), np.full(len(strangers), 0.5 / len(strangers))]
    middle = share @ features
    spread = np.sqrt(np.maximum(share @ (features - middle) ** 2, 1e-24))
    rows = (features - middle) / spread

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parameters[:2], parameters[2]
        logits = rows @ weights + bias
        residual = share * (scipy.special.expit(logits) - target)
        value = share @ (np.logaddexp(0, logits) - target * logits) + _RIDGE * weights @ weights / 2
        return float(value), np.r_[residual @ rows + _RIDGE * weights, residual.sum()]

    bounds = [(0, None), (0, None), (None, None)]
    options = {"ftol": 1e-14, "gtol": 1e-10, "maxiter": 1000}
    fitted = scipy.optimize.minimize(
        loss, np.zeros(3), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    weights = fitted.x[:2] / spread
    return FamiliarityScale((float(weights[0]), float(weights[1])), float(fitted.x[2] - middle @ weights))


def with_familiarity(found: ScoredAnswer, known: float) -> ScoredAnswer:
    """An answer with two confidences more."""
    combined = known * min(1.0, found.answer.confidence)
    return replace(found, confidences=found.confidences | {FAMILIARITY: known, COMBINED: combined})
