"""Sequences of shots show one mapping, ask only for what can be inferred, and never show a held-out mapping."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.generated.mappings import FAMILIES, HELD_OUT_SHARE, SPLITS, MappingExamples, split_mappings

families = st.sampled_from(sorted(FAMILIES))
splits = st.sampled_from(SPLITS)
seeds = st.integers(0, 2**31)


def one(family, split="training", seed=0, num_pairs=8, index=0, num_mappings=0):
    return MappingExamples(family, split, seed, num_pairs, index + 1, num_mappings)[index]


@given(families, splits, seeds, st.integers(1, 12))
def test_every_output_is_what_the_mapping_makes_of_the_input_before_it(family, split, seed, num_pairs):
    example, facts = one(family, split, seed, num_pairs), FAMILIES[family]
    assert len(example.tokens) == 2 * num_pairs and example.inputs == example.tokens[::2]
    assert example.mapping in facts.mappings
    for place, answer in zip(example.places, example.answers, strict=True):
        assert example.tokens[place + 1] == answer == facts.num_inputs + example.mapping[example.tokens[place]]
    assert max(example.tokens) < facts.vocabulary_size


@given(families, splits, seeds)
def test_the_kth_place_has_k_pairs_before_it(family, split, seed):
    assert one(family, split, seed).places == tuple(2 * shots for shots in range(8))


@given(splits, seeds)
def test_a_lookup_counts_where_its_input_was_shown_and_a_shift_is_never_shown_its_input(split, seed):
    lookup, shift = one("lookup", split, seed), one("shift", split, seed)
    assert lookup.counted == tuple(x in lookup.inputs[:shots] for shots, x in enumerate(lookup.inputs))
    assert len(set(shift.inputs)) == len(shift.inputs) and all(shift.counted)


def test_the_families_are_whole_and_without_repetition():
    assert len(FAMILIES["lookup"].mappings) == 8**4
    assert len(FAMILIES["shift"].mappings) == 29
    for family in FAMILIES.values():
        assert len(set(family.mappings)) == len(family.mappings)
        assert {len(mapping) for mapping in family.mappings} == {family.num_inputs}
        assert {output for mapping in family.mappings for output in mapping} == set(range(family.num_outputs))


@pytest.mark.parametrize("family", FAMILIES)
def test_held_out_mappings_are_never_in_a_training_stream(family):
    parts = split_mappings(family)
    assert set(parts["training"]).isdisjoint(parts["held_out"])
    assert set(parts["training"]) | set(parts["held_out"]) == set(FAMILIES[family].mappings)
    assert len(parts["held_out"]) == round(HELD_OUT_SHARE * len(FAMILIES[family].mappings))
    for split in SPLITS:
        for seed in (0, 7):
            drawn = {example.mapping for example in MappingExamples(family, split, seed, 4, 500)}
            assert drawn <= set(parts[split])


@given(families, st.integers(1, 20), st.integers(1, 20))
def test_fewer_training_mappings_are_part_of_more_and_leave_the_held_out_ones_as_they_are(family, fewer, more):
    fewer, more = sorted((fewer, more))
    small, large = split_mappings(family, fewer), split_mappings(family, more)
    assert len(small["training"]) == fewer and small["training"] == large["training"][:fewer]
    assert small["held_out"] == large["held_out"] == split_mappings(family)["held_out"]
    assert one(family, num_mappings=fewer).mapping in small["training"]


@given(families, splits, seeds, st.integers(0, 50))
def test_an_example_depends_on_seed_and_index_alone(family, split, seed, index):
    long = MappingExamples(family, split, seed, 6, 100)
    assert long[index] == one(family, split, seed, 6, index)
    assert list(MappingExamples(family, split, seed, 6, 3)) == [long[0], long[1], long[2]]


@pytest.mark.parametrize("family", FAMILIES)
def test_other_seeds_and_other_indices_give_other_examples(family):
    examples = [
        example.tokens for seed in range(3) for example in MappingExamples(family, "training", seed, 8, 40)
    ]
    assert len(set(examples)) > 100  # of 120; of so few lookups some may be alike


@pytest.mark.parametrize("family", FAMILIES)
def test_all_mappings_and_all_inputs_are_equally_likely(family):
    examples = list(MappingExamples(family, "held_out", 3, 4, 3000))
    inputs = Counter(x for example in examples for x in example.inputs)
    expected = 12_000 / FAMILIES[family].num_inputs
    # five standard deviations of a count that is binomial or, without replacement, narrower
    assert all(abs(inputs[x] - expected) < 5 * expected**0.5 for x in range(FAMILIES[family].num_inputs))
    drawn = Counter(example.mapping for example in examples)
    expected = 3000 / len(split_mappings(family)["held_out"])
    assert max(drawn.values()) < expected + 6 * expected**0.5


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("sort", "training", 0, 8, 1), "unknown family 'sort'; known: lookup, shift"),
        (("shift", "test", 0, 8, 1), "unknown split 'test'; known: training, held_out"),
        (("shift", "training", 0, 0, 1), "num_pairs must be at least 1, got 0"),
        (("shift", "training", 0, 8, 0), "num_examples must be at least 1, got 0"),
        (("shift", "training", 0, 30, 1), "shift has 29 inputs, none of which comes twice"),
        (("shift", "training", 0, 8, 1, 24), "shift has 23 mappings to train on .* but 24 were asked for"),
        (("shift", "training", 0, 8, 1, -1), "but -1 were asked for"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MappingExamples(*arguments)


def test_there_is_no_example_beyond_the_stream():
    with pytest.raises(IndexError, match="example 2 of 2"):
        MappingExamples("lookup", "training", 0, 4, 2)[2]
