"""A conditional logit over the names of a text: against one written another way, and by what it must not see."""

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from closedbook.data.objectives.entities import find_entities
from closedbook.evaluation.knowing import weighing
from closedbook.evaluation.knowing.weighing import Choice, Weighing, cross_fitted

PLACES = ["Rome", "Oslo", "Lima", "Bonn", "Cairo", "Quito", "Accra"]


def choice(row: int, answer: str | None = None, shares: dict[str, float] | None = None) -> Choice:
    """Somebody who died in one place and was born in the next; which of them comes first changes."""
    born, died = PLACES[row % 7], PLACES[(row + 1 + row // 7 % 6) % 7]
    parts = [f"was born in {born}", f"died in {died}"]
    text = " and ".join(parts if row % 3 else parts[::-1]) + "."
    names = tuple(one for one in find_entities(text) if one.kind == "place")
    return Choice(f"Where was P{row} born?", f"P{row}", text, names, shares or {}, (answer or born,))


def test_the_fit_is_the_one_of_a_plain_softmax():
    """`_fit` in a loop over questions, and its gradient by differences."""
    random = np.random.default_rng(0)
    sizes = [3, 1, 4, 2, 5]
    values = random.normal(size=(sum(sizes), 3))
    starts = np.cumsum([0, *sizes[:-1]])
    chosen = starts + np.array([2, 0, 1, 1, 4])

    def loss(weights):
        parts = np.split(values @ weights, starts[1:])
        nats = sum(-scipy.special.log_softmax(p)[c - s] for p, c, s in zip(parts, chosen, starts, strict=True))
        return nats + 0.5 * weights @ weights

    fitted = weighing._fit(values, starts, chosen, 0.5)
    for axis in np.eye(3):
        assert abs(loss(fitted + 1e-4 * axis) - loss(fitted - 1e-4 * axis)) / 2e-4 < 1e-3
    assert loss(fitted) < loss(np.zeros(3))


def test_what_stands_behind_a_word_of_the_question_is_found():
    """The word is not told: it is in the questions."""
    choices = [choice(row) for row in range(60)]
    found = cross_fitted(choices, [one.entity for one in choices])
    for one, shares in zip(choices, found, strict=True):
        assert max(shares, key=shares.get) == one.answers[0]
        assert set(shares) == {each.text for each in one.candidates}


def test_readers_are_believed_where_they_were_right():
    """Answers that nothing in the text tells: only the readers know them."""
    random = np.random.default_rng(1)
    choices = []
    for row in range(80):
        names = [each.text for each in choice(row).candidates]
        answer = names[random.integers(len(names))]
        choices.append(choice(row, answer, {name: 0.9 if name == answer else 0.1 for name in names}))
    fitted = Weighing.fit(choices)
    assert fitted.weights["readers"] > 1
    wrong = choice(80, shares=dict.fromkeys(PLACES, 0.5))
    sure = choice(80, shares={one.text: 0.9 - 0.8 * k for k, one in enumerate(wrong.candidates)})
    first = wrong.candidates[0].text
    assert fitted.shares(sure)[first] > fitted.shares(wrong)[first]


def test_nobody_is_weighed_by_an_own_answer():
    """Another answer of somebody changes what all others get, and nothing of that person's."""
    choices = [choice(row) for row in range(35)]
    groups = [one.entity for one in choices]
    other = [*choices]
    other[4] = choice(4, answer=next(one.text for one in choices[4].candidates if one.text != PLACES[4]))
    before, after = cross_fitted(choices, groups), cross_fitted(other, groups)
    assert before[4] == after[4]
    assert sum(one != two for one, two in zip(before, after, strict=True)) > 20


def test_an_own_answer_is_no_clue():
    """Everybody has another answer: that it is one tells nothing, though the fit has seen each of them once."""
    choices = [
        Choice(f"Where was P{row} born?", f"P{row}", text, tuple(find_entities(text)), {}, (f"Aa{'b' * row}",))
        for row in range(20)
        for text in [f"in Aa{'b' * row}, Zz{'c' * row}"]
    ]
    assert "an answer" not in Weighing.fit(choices).weights


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=8, max_size=30, unique=True), st.floats(0, 1))
def test_shares_are_a_distribution(rows, share):
    choices = [choice(row, shares={PLACES[row % 7]: share}) for row in rows]
    fitted = Weighing.fit(choices)
    for one in choices:
        shares = fitted.shares(one)
        assert math.isclose(sum(shares.values()), 1) and min(shares.values()) >= 0


def test_what_cannot_be_weighed_is_said():
    with pytest.raises(ValueError, match="none of 1 questions has its answer among the names"):
        Weighing.fit([choice(0, answer="Nowhere")])
    assert Weighing.fit([choice(row) for row in range(9)]).shares(Choice("Where?", "P", "", (), {})) == {}
    with pytest.raises(ValueError, match="4 people are too few"):
        cross_fitted([choice(row) for row in range(4)], list("abcd"))
