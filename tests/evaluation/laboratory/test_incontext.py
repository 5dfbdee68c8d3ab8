"""What is counted by shots, the best that is possible, and the tables and the picture of it."""

from itertools import product
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from closedbook.data.generated.mappings import FAMILIES, MappingExamples, split_mappings
from closedbook.evaluation.laboratory.incontext import (
    bayes_accuracies,
    draw_incontext,
    incontext_tables,
    most_frequent_output_accuracies,
    pool,
    reference_accuracies,
    right_by_shots,
)
from closedbook.evaluation.statistics.intervals import wilson_interval


class Reader:
    """Answers from the tokens up to each place, which `rule` is told."""

    def __init__(self, family, rule):
        self.family, self.rule = FAMILIES[family], rule

    def __call__(self, input_ids, use_cache):
        logits = torch.zeros(*input_ids.shape, self.family.vocabulary_size)
        for row, tokens in enumerate(input_ids.tolist()):
            for place in range(0, len(tokens), 2):
                logits[row, place, self.rule(tokens[: place + 1])] = 1
        return SimpleNamespace(logits=logits)


def infer_shift(tokens):
    if len(tokens) == 1:
        return 29
    return 29 + (tokens[-1] + (tokens[1] - 29) - tokens[0]) % 29


def find_key(tokens):
    shown = dict(zip(tokens[:-1:2], tokens[1::2], strict=True))
    return shown.get(tokens[-1], 4)


@pytest.mark.parametrize("family, rule", [("shift", infer_shift), ("lookup", find_key)])
def test_a_reader_that_infers_is_right_from_the_first_shot_on(family, rule):
    examples = MappingExamples(family, "held_out", 0, 8, 50)
    counts = right_by_shots(Reader(family, rule), examples, batch_size=7)
    assert [count["shots"] for count in counts] == list(range(8))
    assert all(count["correct"] == count["n"] > 0 for count in counts[1:])
    counted = [sum(example.counted[shots] for example in examples) for shots in range(8)]
    assert [count["n"] for count in counts] == counted
    assert counts[0]["correct"] < 25


def test_what_comes_after_a_question_is_not_scored_with_it():
    examples = MappingExamples("shift", "training", 0, 8, 40)
    seen = []

    def from_third_shot_on(tokens):
        seen.append(len(tokens))
        return infer_shift(tokens) if len(tokens) >= 7 else 0

    counts = right_by_shots(Reader("shift", from_third_shot_on), examples, batch_size=16)
    assert [count["correct"] for count in counts] == [0, 0, 0, 40, 40, 40, 40, 40]
    assert set(seen) == set(range(1, 16, 2))  # up to x, never its y


def brute_force_bayes(mappings, inputs, shots):
    """By definition: for every mapping that could have been drawn, keep those that agree, guess the likeliest."""
    right = 0.0
    for truth in mappings:
        agree = [m for m in mappings if all(m[x] == truth[x] for x in inputs[:shots])]
        outputs = [m[inputs[shots]] for m in agree]
        most = max(outputs.count(output) for output in outputs)
        ties = {output for output in outputs if outputs.count(output) == most}
        right += (truth[inputs[shots]] in ties) / len(ties)
    return right / len(mappings)


@given(st.data())
@settings(max_examples=60)
def test_the_best_possible_accuracy_is_that_of_brute_force(data):
    num_inputs, num_outputs = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    every = list(product(range(num_outputs), repeat=num_inputs))
    mappings = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=12, unique=True))
    inputs = data.draw(st.lists(st.integers(0, num_inputs - 1), min_size=1, max_size=5))
    expected = [brute_force_bayes(mappings, inputs, shots) for shots in range(len(inputs))]
    assert bayes_accuracies(mappings, inputs) == pytest.approx(expected)


def test_one_shot_pins_a_shift_down_and_a_lookup_is_known_where_it_was_shown():
    assert bayes_accuracies(FAMILIES["shift"].mappings, [3, 28, 0]) == pytest.approx([1 / 29, 1, 1])
    assert bayes_accuracies(FAMILIES["lookup"].mappings, [3, 3, 0, 1, 0]) == pytest.approx(
        [1 / 8, 1, 1 / 8, 1 / 8, 1]
    )


def test_the_most_frequent_output_is_guessed_and_ties_are_shared():
    example = SimpleNamespace(answers=(5, 5, 6, 6, 7, 5))
    # nothing shown; 5; 5 twice; 5, 5, 6; 5 and 6 alike; the same with a 7
    assert most_frequent_output_accuracies(example, 8) == [1 / 8, 1, 0, 0, 0, 1 / 2]


def test_references_are_those_of_the_questions_that_count():
    shift, lookup = (reference_accuracies(family, 5, 4, 30) for family in ("shift", "lookup"))
    assert shift["chance"] == 1 / 29 and lookup["chance"] == 1 / 8
    assert shift["bayes"]["held_out"] == pytest.approx([1 / 29, 1, 1, 1])
    known = len(split_mappings("shift")["training"])
    assert shift["num_mappings"] == known
    assert shift["bayes"]["training"] == pytest.approx([1 / known, 1, 1, 1])
    assert shift["most_frequent_output"]["held_out"][1:] == [0, 0, 0]  # a shift gives no output twice
    assert lookup["bayes"]["held_out"][0] is None and lookup["bayes"]["held_out"][1:] == [1, 1, 1]
    assert lookup["most_frequent_output"]["held_out"][1] == 1  # what was shown is what is asked
    assert lookup["most_frequent_output"]["held_out"][3] < 0.9


def run(family="shift", variant="vanilla", seed=0, num_mappings=23, correct=5):
    counts = [{"shots": 0, "n": 0, "correct": 0}, {"shots": 1, "n": 10, "correct": correct}]
    own = {"family": family, "variant": variant, "seed": seed, "num_mappings": num_mappings}
    return own | {"parameters": 1234, "seconds": 2.0 + seed, "training": counts, "held_out": counts}


def test_runs_are_pooled_answer_by_answer_and_keep_their_seeds_apart():
    pooled = pool([run(seed=0, correct=2), run(seed=2, correct=9)])
    assert pooled["seeds"] == [0, 2] and pooled["seconds"] == 3
    assert pooled["by_seed"]["held_out"] == [0.2, 0.9]
    assert pooled["held_out"][0]["accuracy"] is None
    assert (pooled["held_out"][1]["n"], pooled["held_out"][1]["correct"]) == (20, 11)
    assert pooled["held_out"][1]["interval"] == list(wilson_interval(11, 20))


@pytest.fixture
def figure():
    """Pooled rows and references."""
    rows = [
        pool([run(variant=name, correct=correct)]) for name, correct in (("vanilla", 9), ("perceiver-last", 1))
    ]
    rows += [pool([run(num_mappings=4, correct=3)])]
    values = {"training": [None, 1.0], "held_out": [None, 0.75]}
    own = {"num_mappings": 23, "chance": 0.1, "bayes": values, "most_frequent_output": values}
    return rows, {"lookup": own, "shift": own}  # of lookup there are no rows yet


def test_the_tables_show_shots_seeds_references_and_numbers_of_mappings(figure):
    text = incontext_tables(*figure)
    assert "lookup" not in text
    assert "| vanilla | 1,234 | 90 | 90.0 [59.6, 98.2] | 90.0 | 90.0 [59.6, 98.2] |" in text
    assert "| perceiver-last | 1,234 | 10 |" in text
    assert "| best possible |  | 75 |  |  | 100 |" in text
    assert "after 1 shots, by number of mappings" in text
    assert "| vanilla | 4 | 30.0" in text and "| vanilla | 23 | 90.0" in text
    assert text.count("perceiver-last") == 1  # it was not trained on fewer


def test_the_picture_is_drawn_with_and_without_fewer_mappings(figure, tmp_path):
    rows, references = figure
    for number, own in enumerate((rows, rows[:1])):
        path = tmp_path / f"{number}.png"
        draw_incontext(own, references, path)
        assert path.read_bytes().startswith(b"\x89PNG")
