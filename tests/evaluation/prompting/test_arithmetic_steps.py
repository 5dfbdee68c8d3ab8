"""Rationales checked by arithmetic: what is a step, and when it holds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.prompting.arithmetic_steps import check_steps, judge_rationale, last_result


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("Matteo = 55 * 4 = 220 miles", ["55 * 4 = 220"]),
        ("he spent 10 jars * $5/jar = $50", ["10 jars * $5/jar = $50"]),
        ("There are 17 green jelly beans * 2 = 34 red ones.", ["17 green jelly beans * 2 = 34"]),
        ("60 jellybeans \u2013 51 red and green beans = 9", ["60 jellybeans \u2013 51 red and green beans = 9"]),
        ("because 9 x 3 = 27", ["9 x 3 = 27"]),
        ("9x3=27", ["9x3=27"]),
        ("216 ÷ 27 = 8 and 4 × 2 = 8", ["216 ÷ 27 = 8", "4 × 2 = 8"]),
        ("so 1/2*8 = 4 hours", ["1/2*8 = 4"]),
        ("Scottish unicorns:27(1/3)=9", ["27(1/3)=9"]),
        ("(2 + 3) * 4 = 20", ["(2 + 3) * 4 = 20"]),
        ("80,000*1.5=120,000", ["80,000*1.5=120,000"]),
        ("10% of 40 seconds is 40*0.1=4 seconds", ["40*0.1=4"]),
        ("30% of the 90 balls = 27", ["30% of the 90 balls = 27"]),
        ("1/3 of 27 = 9", ["1/3 of 27 = 9"]),
        ("24/240 = $0.10 = 10 cents", ["24/240 = $0.10"]),
        ("24 / 2 = 4 * 3 = 12", ["24 / 2 = 4 * 3", "4 * 3 = 12"]),
        ("12 = 5 + 7", ["12 = 5 + 7"]),
        ("11 sets of tables = 11 * 13 = 143", ["11 * 13 = 143"]),
        ("Day 2 = 5 + 7 = 12", ["5 + 7 = 12"]),
        ("3 / 1/2 = 6", ["3 / 1/2 = 6"]),
        ("8/4/2 = 1", ["8/4/2 = 1"]),
        ("12/2^2 = 3", ["12/2^2 = 3"]),
        ("2 times 5 equals 10", ["2 times 5 equals 10"]),
        (r"\(5 \times 3 = 15\)", [r"5 \times 3 = 15"]),
        ("**5 + 3 = 8**", ["5 + 3 = 8"]),
        ("48 / 2 = **24** clips, **3 + 4** = **7**", ["48 / 2 = 24", "3 + 4 = 7"]),
        ("2**3 + 3**2 = 17", ["2**3 + 3**2 = 17"]),
        (r"\(3 \times 4 = \boxed{12}\)", [r"3 \times 4 = 12"]),
        (r"\$5 * 3 = \$15\text{ a day}", ["$5 * 3 = $15"]),
        ("2**3 = 8", ["2**3 = 8"]),
        ("- 5 + 3 = 8", ["5 + 3 = 8"]),
        ("5 - -3 = 8", ["5 - -3 = 8"]),
        ("She sold <<48/2=24>>24 clips", ["48/2=24"]),
        ("She sold 48/2 = <<48/2=24>>24 clips", ["48/2 = 24"]),
        ("half of 48 is = <<48/2=24>>24 clips", ["48/2=24"]),
        ("20/25 * 100 = 80%", ["20/25 * 100 = 80%"]),
        ("20/25 = 80%", ["20/25 = 80%"]),
        ("100% - 20% = 80%", ["100% - 20% = 80%"]),
        ("10/3 = 3.33", ["10/3 = 3.33"]),
        ("20/30 = 66.7%", ["20/30 = 66.7%"]),
        ("1e3 + 1 = 1001", ["1e3 + 1 = 1001"]),
    ],
)
def test_steps_are_found_in_running_text_and_hold(text, steps):
    found = check_steps(text)
    assert [step.text for step in found] == steps
    assert all(step.holds for step in found)


@pytest.mark.parametrize("text", ["5 + 3 = 9", "10/3 = 3", "10/3 = 3.34", "5 + 3 = 80%", "-3 + 5 = -2"])
def test_a_wrong_result_does_not_hold(text):
    (step,) = check_steps(text)
    assert not step.holds


def test_a_running_total_in_one_chain_is_wrong_as_written():
    assert [step.holds for step in check_steps("5 + 3 = 8 + 2 = 10")] == [False, True]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("3 * 4 = 12 = 13", [True, False]),
        ("1 / 4 = 0.25 = 25%", [True, True]),
        ("3 * 20 = 60 minutes = 1 hour", [True]),
        ("3 * 20 = 60 = 1 hour", [True]),
        ("5 * 100 = 500 = $5", [True]),
        ("x = 5, y = 7", []),
    ],
)
def test_bare_numbers_in_a_chain_are_compared_where_no_unit_changes(text, holds):
    assert [step.holds for step in check_steps(text)] == holds


@pytest.mark.parametrize(
    "text",
    [
        "2x + 3 = 9",
        "X - X*25% = $19.50",
        "half of 8 + 2 = 6",
        "5 million * 2 = 10",
        "y + 5 * 3 = 20",
        "9 * 3 = 216 * P",
        "Profit - 5 * 3 = 15",
        "5 + 3 <= 8",
        "5 (2 + 3) = 25",
        "speed = 55",
        "3/0 = 4",
        "9^20^20 = 1",
        "((9^20)^20)^20 = 1",
        f"{' * '.join(['(9^20)^19'] * 5)} = 1",
        f"{'9' * 50} + 1 = 3",
        "no arithmetic at all",
        "",
    ],
)
def test_what_cannot_be_read_is_not_judged(text):
    assert check_steps(text) == []
    assert judge_rationale(text, Fraction(1)) == "not checkable"


def test_a_rationale_is_right_if_all_steps_hold_and_the_last_result_is_the_answer():
    text = "First 38 + 2 = 40.\nThen 10% of 40 is 40 * 0.1 = 4.\nSo 40 - 4 = 36 seconds."
    assert judge_rationale(text, Fraction(36)) == "right"
    assert judge_rationale(text, Fraction(4)) == "wrong"
    assert judge_rationale(text, None) == "wrong"
    assert judge_rationale(text.replace("= 40.", "= 41."), Fraction(36)) == "wrong"


def test_the_last_result_counts_even_where_its_left_side_cannot_be_read():
    text = "10 + 2 = 12, and 2/3 * x = 12, which gives x = 18"
    assert last_result(text) == 18
    assert judge_rationale(text, Fraction(18)) == "right"


def calculated(parts: tuple) -> tuple[str, Fraction | None]:
    """A bracket with two operands and an operator, and what it comes to; None where anything is over zero."""
    (left, left_value), operator, (right, right_value) = parts
    text = f"({left} {operator} {right})"
    if left_value is None or right_value is None or (operator == "/" and right_value == 0):
        return text, None
    return text, OPERATIONS[operator](left_value, right_value)


OPERATIONS = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
}
EXPRESSIONS = st.recursive(
    st.integers(0, 999).map(lambda number: (str(number), Fraction(number))),
    lambda inner: st.tuples(inner, st.sampled_from(list(OPERATIONS)), inner).map(calculated),
    max_leaves=8,
)


@given(expression=EXPRESSIONS, off=st.sampled_from([0, 0, 1, -2]))
def test_nested_expressions_come_to_their_value(expression, off):
    text, value = expression
    steps = check_steps(f"so that is {text} + 0 = {(value if value is not None else 0) + off} apples")
    if value is None:
        assert steps == []
    else:
        (step,) = steps
        assert step.value == value
        assert step.holds == (off == 0)


@given(
    first=st.integers(0, 10**6),
    operator=st.sampled_from(["+", "-", "*", "x", "×", "\u2013"]),
    second=st.integers(1, 10**6),
    unit=st.sampled_from(["", " apples", " red balls", "kg"]),
    money=st.booleans(),
)
def test_a_step_holds_in_any_dress_and_any_other_result_does_not(first, operator, second, unit, money):
    value = {"+": first + second, "-": first - second, "\u2013": first - second}.get(operator, first * second)
    sign = "$" * money
    text = f"She has {sign}{first:,}{unit} {operator} {sign}{second:,}{unit} = {{}}{unit}."
    (step,) = check_steps(text.format(f"{value:,}"))
    assert step.holds and step.claimed == value
    assert judge_rationale(text.format(f"{value:,}"), Fraction(value)) == "right"
    (step,) = check_steps(text.format(f"{value + 1:,}"))
    assert not step.holds


@given(st.text(alphabet="0123456789.,+-*/^()=$% xo<>\n"))
def test_no_text_makes_it_fail(text):
    for step in check_steps(text):
        assert step.text in " ".join(text.split()) or "<<" in text
