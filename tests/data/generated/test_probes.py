"""The probes ask only for what the prompt determines, and for nothing that can be guessed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.generated.probes import (
    FILLER,
    NUM_KEYS,
    NUM_SYMBOLS,
    PROBES,
    SEPARATOR,
    VOCABULARY_SIZE,
    ProbeExamples,
)

names = st.sampled_from(sorted(PROBES))
blocks = st.sampled_from([32, 64, 128])
seeds = st.integers(0, 2**31)


@given(blocks, seeds)
def test_a_symbol_to_be_copied_follows_the_one_just_copied_in_exactly_one_place(block, seed):
    example = ProbeExamples("copy", seed, block, 1)[0]
    told = example.tokens[: example.places[0]]
    for place, answer, source in zip(example.places, example.answers, example.sources, strict=True):
        assert [i + 1 for i, token in enumerate(told) if token == example.tokens[place]] == [source]
        assert example.tokens[source] == answer == example.tokens[place + 1]


@given(blocks, seeds)
def test_exactly_one_pair_has_the_key_that_is_asked_for(block, seed):
    example = ProbeExamples("associative_recall", seed, block, 1)[0]
    pairs = {
        place: divmod(token - (2 + NUM_SYMBOLS), NUM_KEYS)
        for place, token in enumerate(example.tokens)
        if token >= 2 + NUM_SYMBOLS
    }
    assert 4 <= len(pairs) <= min(block // 4, NUM_KEYS)
    for place, answer, source in zip(example.places, example.answers, example.sources, strict=True):
        key = example.tokens[place] - 2
        assert [where for where, pair in pairs.items() if pair[0] == key] == [source]
        assert answer == 2 + NUM_KEYS + pairs[source][1]


@given(names, blocks, seeds)
def test_sources_stand_before_all_questions_as_far_away_as_it_says(name, block, seed):
    example = ProbeExamples(name, seed, block, 1)[0]
    fields = example.places, example.answers, example.sources, example.distances
    assert len({len(field) for field in fields}) == 1 and example.places
    assert max(example.sources) < min(example.places)
    until_told = 1 if name == "copy" else 0  # a copy is told at the next place, a value on the spot
    for place, source, distance in zip(example.places, example.sources, example.distances, strict=True):
        assert distance == place + until_told - source


@given(names, blocks, seeds)
def test_examples_fill_the_block_with_known_ids(name, block, seed):
    example = ProbeExamples(name, seed, block, 1)[0]
    assert len(example.tokens) == block
    assert all(0 <= token < VOCABULARY_SIZE for token in example.tokens)
    assert all(0 <= place < block for place in example.places)
    assert example.tokens[-1] != FILLER


@given(names, seeds, st.integers(0, 999))
def test_example_i_depends_on_seed_and_i_alone(name, seed, index):
    one = ProbeExamples(name, seed, 64, 1000)
    _ = one[0], one[500]
    assert one[index] == ProbeExamples(name, seed, 64, index + 1)[index]


@pytest.mark.parametrize("name", PROBES)
def test_other_seeds_and_indices_give_other_examples(name):
    examples = [ProbeExamples(name, seed, 64, 200)[i].tokens for seed in (0, 1) for i in range(200)]
    assert len(set(examples)) == len(examples)


@pytest.mark.parametrize("name, nearest, farthest", [("copy", 5, 59), ("associative_recall", 1, 63)])
def test_sources_stand_all_over_the_block_and_at_all_distances(name, nearest, farthest):
    examples = [ProbeExamples(name, 0, 64, 2000)[i] for i in range(2000)]
    found = {distance for example in examples for distance in example.distances}
    assert min(found) >= nearest and max(found) <= farthest
    assert found >= set(range(nearest + 2, farthest - 4))
    assert {source for example in examples for source in example.sources} >= set(range(3, 46))


@pytest.mark.parametrize("name, num_answers", [("copy", 32), ("associative_recall", 16)])
def test_no_answer_is_likelier_than_another_whatever_asks_for_it(name, num_answers):
    examples = [ProbeExamples(name, 0, 64, 4000)[i] for i in range(4000)]
    last = Counter(example.answers[-1] for example in examples)
    expected = 4000 / num_answers  # five standard deviations are 5 * sqrt(expected) at most
    assert len(last) == num_answers
    assert all(abs(count - expected) < 5 * expected**0.5 for count in last.values())
    asked = Counter((example.tokens[example.places[-1]], example.answers[-1]) for example in examples)
    assert max(asked.values()) < 40  # of about 1,000 or 256 kinds, 4 or 16 each
    assert not {FILLER, SEPARATOR} & {answer for example in examples for answer in example.answers}


@pytest.mark.parametrize("name, documented", [("copy", 0.29), ("associative_recall", 0.24)])
def test_guessing_among_the_candidates_gets_no_more_than_documented(name, documented):
    examples = [ProbeExamples(name, 0, 64, 2000)[i] for i in range(2000)]
    shares = []
    for example in examples:
        if name == "copy":  # one of the symbols that have not been copied yet
            shares += [1 / left for left in range(len(example.answers), 0, -1)]
        else:  # the value that came most often
            pairs = [token - (2 + NUM_SYMBOLS) for token in example.tokens if token >= 2 + NUM_SYMBOLS]
            counts = Counter(pair % NUM_KEYS for pair in pairs)
            shares += [max(counts.values()) / len(pairs)] * len(example.answers)
    assert sum(shares) / len(shares) == pytest.approx(documented, abs=0.01)


def test_a_string_comes_again_symbol_by_symbol():
    example = ProbeExamples("copy", 3, 64, 1)[0]
    assert example.tokens[-len(example.answers) :] == example.answers
    assert len(set(example.answers)) == len(example.answers) >= 4
    assert example.tokens[example.places[0]] == SEPARATOR
    assert len(set(example.distances)) == 1


def test_the_answers_of_a_recall_are_not_among_its_questions():
    examples = [ProbeExamples("associative_recall", 0, 64, 100)[i] for i in range(100)]
    for example in examples:
        assert not set(example.answers) & set(example.tokens[example.places[0] :])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"probe": "copies"}, "unknown probe 'copies'; known: copy, associative_recall"),
        ({"block_size": 16}, "block_size must be between 32 and 128"),
        ({"block_size": 256}, "block_size must be between 32 and 128"),
        ({"num_examples": 0}, "num_examples must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        ProbeExamples(**{"probe": "copy", "seed": 0, "block_size": 64, "num_examples": 10} | change)


def test_an_index_beyond_the_stream_is_an_index_error():
    with pytest.raises(IndexError, match="example 3 of 3"):
        ProbeExamples("copy", 0, 64, 3)[3]
