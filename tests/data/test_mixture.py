"""Example i of a mixture depends on (seed, i) alone, shares are exact, and no record is left out."""

import pickle
from collections import Counter
from random import Random

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from closedbook.data.mixture import KEPT, MIXTURE_BLOCK, Component, Mixture
from closedbook.data.objectives import reassemble_span_corruption


def documents(number: int, letter: str = "d") -> list[dict]:
    """Documents short enough to be read whole by `left_to_right`, each with a text of its own."""
    return [{"title": f"{letter}{i}", "text": f"{letter}{i:04d} {'lorem ipsum ' * 3}"} for i in range(number)]


def questions(number: int) -> list[dict]:
    return [{"question": f"q{i:04d}?", "answers": [f"a{i}"], "entity": f"e{i}"} for i in range(number)]


def three_parts(seed: int = 0, num_examples: int = 2500) -> Mixture:
    components = [
        Component("wiki", documents(30), "span_corruption", 5),
        Component("books", documents(7, "b"), "left_to_right", 2.5),
        Component("birth places", questions(11), "question_answering", 2.5),
    ]
    return Mixture(components, seed, 64, num_examples)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(min_value=0, max_value=2499), min_size=1, max_size=30), st.integers(0, 3))
def test_an_example_does_not_depend_on_what_was_asked_before(indices, seed):
    mixture = three_parts(seed)
    assert [mixture[i] for i in indices] == [three_parts(seed)[i] for i in indices]


def test_any_order_of_access_gives_the_same_stream():
    mixture = three_parts()
    expected = [mixture[i] for i in range(len(mixture))]
    order = list(range(len(mixture)))
    Random(0).shuffle(order)
    shuffled = three_parts()
    assert {i: shuffled[i] for i in order} == dict(enumerate(expected))


def test_forgetting_orders_changes_nothing():
    number = 3
    mixture = Mixture([Component("wiki", documents(number), "span_corruption")], 0, 64, number * KEPT * 3)
    expected = [mixture[i] for i in range(len(mixture))]
    assert [mixture[i] for i in reversed(range(len(mixture)))] == expected[::-1]
    assert len(mixture._orders) <= KEPT


def test_a_pickled_copy_gives_the_same_stream():
    mixture = three_parts()
    mixture[1700]
    copy = pickle.loads(pickle.dumps(mixture))
    assert [copy[i] for i in range(0, 2500, 7)] == [mixture[i] for i in range(0, 2500, 7)]


@pytest.mark.parametrize("workers", [0, 2])
def test_data_workers_give_the_same_stream(workers):
    mixture = three_parts(num_examples=120)
    loader = DataLoader(mixture, batch_size=8, num_workers=workers, collate_fn=list)
    assert [example for batch in loader for example in batch] == [mixture[i] for i in range(120)]


def test_a_longer_stream_begins_like_a_shorter_one():
    long, short = three_parts(num_examples=2500), three_parts(num_examples=40)
    assert [long[i] for i in range(40)] == [short[i] for i in range(40)]


def test_another_seed_gives_another_stream():
    first, second = three_parts(0), three_parts(1)
    same = sum(first[i] == second[i] for i in range(500))
    assert same < 100


@pytest.mark.parametrize("records", [documents(9), Dataset.from_list(documents(9))], ids=["list", "Dataset"])
def test_one_component_shows_every_record_once_a_pass_in_an_order_of_its_own(records):
    mixture = Mixture([Component("wiki", records, "left_to_right")], 0, 64, 45)
    passes = [[mixture[i].text for i in range(start, start + 9)] for start in range(0, 45, 9)]
    for visited in passes:
        assert sorted(visited) == sorted(record["text"] for record in records)
    assert len({tuple(visited) for visited in passes}) == 5


def test_every_component_of_a_mixture_shows_every_record_once_a_pass():
    mixture = three_parts(num_examples=3000)
    books = [mixture[i].text for i in range(3000) if mixture[i].text.startswith("b")]
    for start in range(0, len(books) - 6, 7):
        assert len(set(books[start : start + 7])) == 7
    asked = [mixture[i].text for i in range(3000) if mixture[i].text.startswith("q")]
    for start in range(0, len(asked) - 10, 11):
        assert len(set(asked[start : start + 11])) == 11


def test_a_record_that_comes_up_again_is_corrupted_anew():
    records = documents(40)
    mixture = Mixture([Component("wiki", records, "span_corruption")], 0, 128, 400)
    assert len({mixture[i].text for i in range(400)}) > 390
    seen = Counter(reassemble_span_corruption(mixture[i])[:5] for i in range(400) if len(mixture[i].text) > 6)
    assert set(seen) <= {record["text"][:5] for record in records}


def component_of(text: str) -> str:
    return {"d": "wiki", "b": "books", "q": "birth places"}.get(text.lstrip("⁇")[0], "wiki")


def test_shares_are_exact_in_every_block_of_the_stream():
    mixture = three_parts(num_examples=3 * MIXTURE_BLOCK)
    for start in range(0, len(mixture), MIXTURE_BLOCK):
        shares = Counter(mixture._component_and_visit(i)[0] for i in range(start, start + MIXTURE_BLOCK))
        assert shares == {0: 500, 1: 250, 2: 250}
    texts = Counter(component_of(mixture[i].text) for i in range(MIXTURE_BLOCK))
    assert texts["books"] == texts["birth places"] == 250


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0.01, max_value=100), min_size=1, max_size=8))
def test_shares_follow_the_weights_to_a_thousandth(weights):
    components = [Component(str(i), documents(2), "left_to_right", weight) for i, weight in enumerate(weights)]
    mixture = Mixture(components, 0, 64, MIXTURE_BLOCK)
    shares = Counter(mixture._component_and_visit(i)[0] for i in range(MIXTURE_BLOCK))
    assert sum(shares.values()) == MIXTURE_BLOCK
    for number, weight in enumerate(weights):
        exact = weight / sum(weights) * MIXTURE_BLOCK
        assert shares[number] >= 1
        # parts below a thousandth get their one example from the largest part
        assert abs(shares[number] - exact) < 1 + (len(weights) if exact >= MIXTURE_BLOCK / 8 else 0)


def test_components_are_mixed_and_not_laid_end_to_end():
    mixture = three_parts(num_examples=1000)
    served = [mixture._component_and_visit(i)[0] for i in range(1000)]
    for start in range(0, 1000, 100):
        assert set(served[start : start + 100]) == {0, 1, 2}


def test_the_stream_has_an_end():
    mixture = three_parts(num_examples=10)
    assert len(mixture) == 10
    for index in (-1, 10, 1000):
        with pytest.raises(IndexError, match=f"example {index} of a mixture of 10"):
            mixture[index]


@pytest.mark.parametrize(
    ("components", "num_examples", "message"),
    [
        ([], 1, "at least one component"),
        ([Component("wiki", documents(1), "shuffling")], 1, "unknown objective 'shuffling' .*'wiki'.*span_corr"),
        ([Component("wiki", [], "left_to_right")], 1, "component 'wiki' has no records"),
        ([Component("wiki", documents(1), "left_to_right", 0)], 1, "component 'wiki' has weight 0"),
        ([Component("wiki", documents(1), "left_to_right", -2)], 1, "component 'wiki' has weight -2"),
        ([Component("wiki", documents(1), "left_to_right")], 0, "num_examples must be at least 1, got 0"),
    ],
)
def test_mistakes_are_named(components, num_examples, message):
    with pytest.raises(ValueError, match=message):
        Mixture(components, 0, 64, num_examples)
