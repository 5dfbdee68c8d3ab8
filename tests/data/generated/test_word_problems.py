"""Generated word problems: what they say, what they compute, and which of them are kept for the test."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.generated.word_problems import (
    ALPHABET,
    ANSWER_STYLES,
    LARGEST,
    TEST_SHARE,
    WordProblem,
    WordProblems,
    direct_answer,
    filler_answer,
    worked_answer,
)
from closedbook.evaluation.prompting.arithmetic_steps import check_steps
from closedbook.evaluation.prompting.number_answers import extract_number

seeds, indices = st.integers(0, 2**32), st.integers(0, 10_000)
lengths, parts = st.integers(1, 9), st.sampled_from(["training", "test"])


def draw(seed, index, num_steps=3, part="training", most_sentences=8):
    return WordProblems(seed, index + 1, [num_steps], part, most_sentences)[index]


def retell(problem):
    """What the question says, read and computed by another program than the one that wrote it."""
    value = int(re.match(r"\w+ has (\d+) ", problem.question)[1])
    for sentence in problem.question.split(". ")[1:-1]:
        number = int(found[0]) if (found := re.search(r"\d+", sentence)) else None
        if re.search("gets as many|doubles", sentence):
            value *= 2
        elif "half" in sentence:
            assert value % 2 == 0
            value //= 2
        elif re.search("gives|loses|sells", sentence):
            value -= number
        elif number is not None:
            assert re.search("gets|finds|buys", sentence)
            value += number
        assert 1 <= value <= LARGEST
    return value


@given(seeds, indices, lengths, parts)
def test_the_rationale_computes_the_answer_to_what_is_told(seed, index, num_steps, part):
    problem = draw(seed, index, num_steps, part)
    assert retell(problem) == problem.answer
    assert len(problem.equations) == len(problem.steps) == num_steps
    checked = check_steps(problem.rationale)
    assert len(checked) == num_steps and all(step.holds for step in checked)
    assert checked[-1].claimed == problem.answer
    value = problem.start
    for (operator, operand), equation, step in zip(problem.steps, problem.equations, checked, strict=True):
        assert equation.startswith(f"{value}{operator}{operand}=")
        value = step.claimed


@given(seeds, indices, lengths, parts)
def test_a_problem_is_a_pure_function_of_seed_and_index(seed, index, num_steps, part):
    problem = draw(seed, index, num_steps, part)
    assert problem == WordProblems(seed, 10**9, [num_steps], part, 8)[index]
    assert problem.part == part


@given(seeds, indices, lengths)
def test_every_style_of_answer_ends_in_the_answer(seed, index, num_steps):
    problem = draw(seed, index, num_steps)
    known = set("".join(ALPHABET))
    for style in ANSWER_STYLES.values():
        assert extract_number(style(problem)) == problem.answer
        assert set(problem.question + style(problem)) <= known
    assert direct_answer(problem) == str(problem.answer)
    assert worked_answer(problem) == f"{problem.rationale} {problem.answer}"
    assert len(filler_answer(problem)) == len(worked_answer(problem))
    assert set(filler_answer(problem).rpartition(" ")[0]) == {"."}


def test_problems_take_turns_in_their_numbers_of_steps():
    problems = WordProblems(0, 7, [2, 5, 3], "training")
    assert [len(problem.steps) for problem in problems] == [2, 5, 3, 2, 5, 3, 2]
    with pytest.raises(IndexError):
        problems[7]


def test_no_chain_of_the_test_is_in_training_whatever_the_seeds_and_the_wording():
    chains = {
        part: {(p.start, p.steps) for seed in (0, 1) for p in WordProblems(seed, 800, [2, 3], part, 5)}
        for part in ("training", "test")
    }
    assert min(map(len, chains.values())) > 1000
    assert not chains["training"] & chains["test"]


def test_no_question_of_a_single_step_is_in_both_parts_but_its_arithmetic_is():
    questions, facts = {}, {}
    for part, count in (("training", 4000), ("test", 400)):
        problems = [*WordProblems(0, count, [1], part)]
        questions[part] = {problem.question for problem in problems}
        facts[part] = {problem.equations[0] for problem in problems}
    assert not questions["training"] & questions["test"]
    assert len(facts["training"] & facts["test"]) > 0.9 * len(facts["test"])


def test_about_a_tenth_of_all_chains_is_kept_for_the_test():
    words = "Ada has 1 pen. How many does she have?"
    pairs = [(("+", one), ("+", other)) for one in range(1, 10) for other in range(10)]
    chains = [(start, steps) for start in range(1, 11) for steps in pairs]
    kept = sum(WordProblem(words, start, steps).part == "test" for start, steps in chains)
    # 900 fair draws: four standard deviations are 36
    assert abs(kept - len(chains) / TEST_SHARE) < 36


@pytest.mark.parametrize("num_steps", [1, 4, 8])
@pytest.mark.parametrize("part", ["training", "test"])
def test_every_answer_is_equally_likely(num_steps, part):
    counts = Counter(problem.answer for problem in WordProblems(3, 1200, [num_steps], part))
    assert set(counts) == set(range(1, LARGEST + 1))
    # 1200 draws of 30 answers: 40 each, with a standard deviation of 6.2; 25 are four of them
    assert 15 < min(counts.values()) <= max(counts.values()) < 65


def test_problems_of_few_steps_are_as_long_as_those_of_many():
    def sentences(num_steps):
        return [problem.question.count(".") - 1 for problem in WordProblems(0, 700, [num_steps], "training", 8)]

    for num_steps in (1, 2, 8):
        counts = Counter(sentences(num_steps))
        assert set(counts) == set(range(num_steps, 9))
    assert set(sentences(9)) == {9}
    assert {problem.question.count(".") for problem in WordProblems(0, 50, [2], "training")} == {3}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0, 0, [1], "training"), "must be at least 1"),
        ((0, 1, [], "training"), "must be at least 1"),
        ((0, 1, [2, 0], "training"), r"got 1 and \[2, 0\]"),
        ((0, 1, [1], "dev"), "part must be one of training, test, not 'dev'"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        WordProblems(*arguments)
