"""Example i of a mixture depends on (seed, i) alone, shares are kept, and no record is left out."""

import pickle
from collections import Counter
from random import Random

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from closedbook.data.mixture import KEPT, MIXTURE_BLOCK, Component, Mixture
from closedbook.data.objectives.example import Example
from closedbook.data.objectives.span_corruption import reassemble_span_corruption


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


@settings(max_examples=20)
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


def loss_characters(example: Example) -> int:
    return len(example.text) - max(1, example.loss_start)


def test_weights_are_shares_of_the_characters_to_be_predicted():
    """Answers are a thirtieth of a document's length here, and get the same share of the loss."""
    mixture = three_parts(num_examples=10 * MIXTURE_BLOCK)
    totals = Counter()
    for i in range(len(mixture)):
        totals[mixture._component_and_visit(i)[0]] += loss_characters(mixture[i])
    shares = [totals[number] / sum(totals.values()) for number in range(3)]
    # what one example predicts is estimated from all 30, 7 and 11 records, spans and windows being drawn anew
    assert shares == pytest.approx([0.5, 0.25, 0.25], abs=0.02)


def test_components_have_the_same_number_of_examples_in_every_block_of_the_stream():
    mixture = three_parts(num_examples=3 * MIXTURE_BLOCK)
    blocks = [
        Counter(mixture._component_and_visit(i)[0] for i in range(start, start + MIXTURE_BLOCK))
        for start in range(0, len(mixture), MIXTURE_BLOCK)
    ]
    assert blocks[0] == blocks[1] == blocks[2]
    texts = Counter(component_of(mixture[i].text) for i in range(MIXTURE_BLOCK))
    assert texts["books"] == blocks[0][1] and texts["birth places"] == blocks[0][2]


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


# --- phases


def phased(*parts: tuple[float, float], num_examples: int = 5000, weights=None, **options) -> Mixture:
    """One component a part of the run, each with a few documents of its own letter."""
    weights = weights or [1.0] * len(parts)
    components = [
        Component(letter, documents(5 + number, letter), "left_to_right", weight, begin, end)
        for number, (letter, (begin, end), weight) in enumerate(zip("dbcefg", parts, weights, strict=False))
    ]
    return Mixture(components, 0, 64, num_examples, **options)


def served_by(mixture: Mixture) -> list[int]:
    return [mixture._component_and_visit(i)[0] for i in range(len(mixture))]


def test_a_component_is_active_in_its_part_of_the_run_and_nowhere_else():
    mixture = phased((0, 1), (0.3, 0.5), (0.7, 1), num_examples=5000)
    served = served_by(mixture)
    for number, (begin, end) in {1: (1500, 2500), 2: (3500, 5000)}.items():
        places = [i for i, component in enumerate(served) if component == number]
        assert begin <= min(places) < begin + 20 and end - 20 < max(places) < end
        assert len(places) == pytest.approx((end - begin) / 2, rel=0.05)
    assert set(served[:1500]) == set(served[2500:3500]) == {0}
    texts = {mixture[i].text[0] for i in range(1500)}
    assert texts == {"d"}


grid = st.integers(0, 10).map(lambda tenth: tenth / 10)
parts = st.tuples(grid, grid).filter(lambda part: part[0] < part[1])


@settings(max_examples=50)
@given(st.lists(parts, max_size=4), st.integers(1, 6000), st.lists(st.floats(0.05, 20), min_size=5, max_size=5))
def test_every_component_is_walked_through_without_a_gap_across_phases(others, num_examples, weights):
    mixture = phased((0, 1), *others, num_examples=num_examples, weights=weights)
    places = [mixture._component_and_visit(i) for i in range(num_examples)]
    for number, component in enumerate(mixture.components):
        visits = [visit for served, visit in places if served == number]
        assert visits == list(range(len(visits)))
        for i, (served, _) in enumerate(places):
            if served == number:
                assert round(component.begin * num_examples) <= i < round(component.end * num_examples)


def test_every_record_comes_up_once_a_pass_also_across_phases():
    mixture = phased((0, 1), (0.31, 0.77), (0.5, 1), num_examples=2345)
    for number, component in enumerate(mixture.components):
        size = len(component.records)
        texts = [mixture[i].text for i, served in enumerate(served_by(mixture)) if served == number]
        passes = [texts[start : start + size] for start in range(0, len(texts) - size + 1, size)]
        assert len(passes) > 20 and all(len(set(one)) == size for one in passes)


def test_weights_are_shares_of_the_characters_within_every_phase():
    components = [
        Component("wiki", documents(50), "span_corruption", 3),
        Component("birth places", questions(40), "question_answering", 1, 0.5),
    ]
    mixture = Mixture(components, 0, 64, 40_000)
    totals = Counter()
    for i in range(20_000, 40_000):
        totals[mixture._component_and_visit(i)[0]] += loss_characters(mixture[i])
    assert totals[1] / (totals[0] + totals[1]) == pytest.approx(0.25, abs=0.01)


def test_what_comes_later_changes_nothing_before():
    early = phased((0, 1), (0.2, 1))
    for later in (((0, 1), (0.2, 1), (0.6, 1)), ((0, 1), (0.2, 1), (0.6, 0.8), (0.9, 1)), ((0, 1), (0.2, 0.6))):
        other = phased(*later)
        assert [other[i] for i in range(3000)] == [early[i] for i in range(3000)]
        assert [other[i] for i in range(3000, 5000)] != [early[i] for i in range(3000, 5000)]


@pytest.mark.parametrize("gap", [((0.1, 1),), ((0, 0.9),), ((0, 0.4), (0.5, 1))])
def test_a_part_of_the_run_without_any_component_is_refused(gap):
    with pytest.raises(ValueError, match=r"no component is active between [\d.]+ and [\d.]+ of the run"):
        phased(*gap)


@pytest.mark.parametrize("part", [(0.5, 0.5), (0.6, 0.5), (-0.1, 1), (0, 1.1)])
def test_an_impossible_part_of_the_run_is_refused(part):
    with pytest.raises(ValueError, match="component 'b' is active from .* need 0 <= begin < end <= 1"):
        phased((0, 1), part)


def test_a_phase_too_short_for_an_example_is_passed_over():
    mixture = phased((0, 1), (0.5, 0.51), num_examples=10)
    assert served_by(mixture) == [0] * 10


# --- positions


def test_shifted_examples_are_the_same_texts_at_every_position_that_fits():
    plain, moved = phased((0, 1), num_examples=3000), phased((0, 1), num_examples=3000, shift_positions=True)
    starts = Counter()
    for i in range(3000):
        assert (moved[i].text, moved[i].loss_start) == (plain[i].text, plain[i].loss_start)
        assert plain[i].position_start == 0
        assert 0 <= moved[i].position_start <= 64 - len(moved[i].text)
        starts[moved[i].position_start] += 1
    room = 64 - len(plain[0].text)  # all documents are of one length
    assert set(starts) == set(range(room + 1))
    assert min(starts.values()) > 3000 / (room + 1) / 2


def test_an_example_as_long_as_the_block_is_not_shifted():
    records = [{"title": "", "text": "x" * 100}]
    mixture = Mixture([Component("long", records, "left_to_right")], 0, 64, 20, shift_positions=True)
    assert all(mixture[i].position_start == 0 for i in range(20))


# --- ends and mistakes


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
