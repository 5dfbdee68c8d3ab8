"""Numbers out of running text, by the rules that the module states."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.evaluation.prompting.number_answers import (
    extract_number,
    find_numbers,
    format_number,
)


def numbers_of(text: str) -> list[str]:
    return [format_number(found.value) for found in find_numbers(text)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("36", ["36"]),
        ("007", ["7"]),
        ("36.", ["36"]),
        ("1,234,567", ["1234567"]),
        ("1,2,3", ["1", "2", "3"]),
        ("12,34", ["12", "34"]),
        ("1,234,5", ["1", "234", "5"]),
        ("1 234", ["1", "234"]),
        ("1\u202f234\u00a0567.5", ["1234567.5"]),
        ("2.50", ["2.5"]),
        (".5", ["0.5"]),
        ("$1,200.50", ["1200.5"]),
        ("$ 3 or €5", ["3", "5"]),
        ("36 seconds", ["36"]),
        ("12kg", ["12"]),
        ("$5/jar", ["5"]),
        ("50%", ["50"]),
        ("-3", ["-3"]),
        ("is \u22123.", ["-3"]),
        ("-$3", ["-3"]),
        ("$-3", ["-3"]),
        ("x=-4", ["-4"]),
        ("5-3", ["5", "3"]),
        ("5 - 3", ["5", "3"]),
        ("5 -3", ["5", "3"]),
        ("10\u201312 days", ["10", "12"]),
        ("minus 3", ["-3"]),
        ("negative $3", ["-3"]),
        ("5 minus 3", ["5", "3"]),
        ("3/4", ["0.75"]),
        ("10/3", ["10/3"]),
        ("-3/4", ["-0.75"]),
        ("3 / 4", ["3", "4"]),
        ("1 1/2", ["1.5"]),
        ("1\u00bd", ["1.5"]),
        (r"\frac{3}{4}", ["0.75"]),
        ("3/0", []),
        ("3/4/2020", ["3", "4", "2020"]),
        ("10:30", ["10", "30"]),
        ("1.5e3", ["1500"]),
        ("3.5e-2", ["0.035"]),
        ("1.5 x 10^3", ["1500"]),
        (r"2 × 10^{4}", ["20000"]),
        ("1.5 million", ["1500000"]),
        ("the 3rd and the 13th", []),
        ("B12", []),
        ("twelve", []),
        ("9x3", ["9", "3"]),
        ("9" * 200, []),
        ("", []),
    ],
)
def test_a_writing_is_read_as_the_table_of_rules_says(text, numbers):
    assert numbers_of(text) == numbers


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is 8.", "8"),
        ("Answer: 8 of 9", "8"),
        ("**Answer:** 8 of 9", "8"),
        ("Therefore, the answer (arabic numerals) is 7,000 and not 3.", "7000"),
        ("The answer to the question is $12.50 for each of 3", "12.5"),
        ("She has 5.\n#### 1,200\n", "1200"),
        (r"so \boxed{36} of 40", "36"),
        ("The answer is 216 / 27 = 8 for 3 people", "8"),
        ("The answer is $5 + $3 = $8", "8"),
        ("The answer is 5. And 3+4=7", "5"),
        ("The answer is 5 = 2 + 3", "5"),
        ("The answer is 5 - 3 = 2 of 9", "2"),
        ("The answer is 5 \u2013 3 = -$2 of 9", "-2"),
        ("The answer is 5 and then b = 2", "5"),
        ("The answer is 216/27 = 8", "8"),
        ("The answer is 5. No, the answer is 6 of 7", "6"),
        ("He bought 5, then the answer is unclear", "5"),
        ("So 5 + 6 = 11.", "11"),
        ("There are 5 and then 7 apples.", "7"),
        ("The answer is -3", "-3"),
        ("answer:\n\n36", "36"),
    ],
)
def test_the_first_number_after_the_last_marker_wins_else_the_last_of_the_text(text, answer):
    assert format_number(extract_number(text)) == answer


@pytest.mark.parametrize("text", ["", "no idea", "The answer is unknown.", "####", "one of them"])
def test_a_text_without_a_number_answers_nothing(text):
    assert extract_number(text) is None


def test_a_found_number_says_where_it_stands():
    (found,) = find_numbers("about -$1,200.50 each")
    assert "about -$1,200.50 each"[found.start : found.end].strip() == "-$1,200.50"


def test_decimals_are_compared_exactly():
    assert extract_number("36.0") == extract_number("72/2") == 36
    assert extract_number("0.33") != extract_number("1/3")


WRITINGS = {
    "plain": lambda value: str(value),
    "thousands": lambda value: f"{value:,}",
    "narrow spaces": lambda value: f"{value:,}".replace(",", "\u202f"),
    "currency": lambda value: f"-${-value:,}" if value < 0 else f"${value:,}",
    "unit": lambda value: f"{value} apples",
    "glued unit": lambda value: f"{value}kg",
    "percent": lambda value: f"{value}%",
    "decimals": lambda value: f"{value}.00",
    "fraction": lambda value: f"{value * 3}/3",
    "scientific": lambda value: f"{value}e0",
    "word": lambda value: f"negative {-value}" if value < 0 else str(value),
    "full stop": lambda value: f"{value}.",
}
FRAMES = [
    "{}",
    "The answer is {}.",
    "Answer: {}\n",
    "#### {}",
    "9 apples = {}",
    "It is 7, so {}",
    r"\boxed{{{}}} of 9",
]


@given(
    value=st.integers(-(10**12), 10**12), writing=st.sampled_from(list(WRITINGS)), frame=st.sampled_from(FRAMES)
)
def test_a_whole_number_in_any_writing_and_frame_is_read_back(value, writing, frame):
    assert extract_number(frame.format(WRITINGS[writing](value))) == value


@given(whole=st.integers(0, 10**6), part=st.integers(1, 99), of=st.integers(2, 100), negative=st.booleans())
def test_a_mixed_number_is_read_back(whole, part, of, negative):
    value = whole + Fraction(part, of)
    sign = "-" if negative else ""
    assert extract_number(f"so {sign}{whole} {part}/{of} hours") == (-value if negative else value)


@given(st.fractions(max_denominator=10**6))
def test_the_shortest_writing_is_read_back(value):
    assert extract_number(f"The answer is {format_number(value)}.") == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_a_decimal_is_exactly_what_its_digits_say(value):
    assert extract_number(f"{value:,}") == Fraction(value)


@given(st.text(alphabet="0123456789.,-/$% eExX^*=()answeri:#{}\n½"))
def test_no_text_makes_it_fail(text):
    assert extract_number(text) is None or isinstance(extract_number(text), Fraction)
