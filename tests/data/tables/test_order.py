"""Orders that take no memory: permutations of any size, and different ones for different keys."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedbook.data.tables.order import Order


@settings(deadline=None, max_examples=40)
@given(size=st.integers(1, 300), key=st.tuples(st.integers(0, 99), st.integers(0, 9)))
def test_every_place_has_one_record_and_every_record_one_place(size, key):
    order = Order(size, *key)
    assert sorted(order[place] for place in range(size)) == list(range(size))
    assert order[size - 1] == Order(size, *key)[size - 1]


@settings(deadline=None, max_examples=60)
@given(size=st.integers(10**6, 10**15), places=st.sets(st.integers(0, 10**6 - 1), min_size=2, max_size=40))
def test_places_of_large_orders_do_not_meet(size, places):
    found = {Order(size, 1, 2)[place] for place in places}
    assert len(found) == len(places) and all(0 <= index < size for index in found)


def test_orders_look_shuffled_and_depend_on_their_key():
    size = 4096
    order = [Order(size, 0, 0, 0)[place] for place in range(size)]
    other = [Order(size, 0, 0, 1)[place] for place in range(size)]
    # a random permutation has one fixed point on average, and meets another in one place
    assert sum(index == place for place, index in enumerate(order)) < 8
    assert sum(a == b for a, b in zip(order, other, strict=True)) < 8
    # neighbours lie a third of the size apart on average
    assert 0.30 < sum(abs(a - b) for a, b in pairwise(order)) / size**2 < 0.37


def test_places_outside_are_refused():
    for place in (-1, 5):
        with pytest.raises(IndexError, match="in an order of 5"):
            Order(5)[place]
    with pytest.raises(ValueError, match="at least 1 record, got 0"):
        Order(0)
