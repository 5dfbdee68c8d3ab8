"""The reference task's corruption, plain reading, and questions; `test_reassembly.py` has the laws of all."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.objectives.example import Example
from closedbook.data.objectives.span_corruption import reassemble_span_corruption, span_corruption
from closedbook.data.objectives.table import left_to_right, question_answering
from closedbook.modeling.tokenization_char import MASK_CHARACTER

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=MASK_CHARACTER), max_size=200)
BLOCKS = st.integers(min_value=6, max_value=160)
SEEDS = st.integers(min_value=0, max_value=2**32)


def document(text: str) -> dict:
    return {"title": "someone", "text": text}


@given(TEXTS, BLOCKS, SEEDS)
def test_the_pieces_of_a_corrupted_document_give_back_its_beginning(text, block_size, seed):
    example = span_corruption(document(text), Random(seed), block_size)
    window = reassemble_span_corruption(example)
    assert text.startswith(window)
    assert example.text.count(MASK_CHARACTER) == 2
    assert len(example.text) == len(window) + 2 <= block_size
    assert example.loss_start == 0
    assert len(window) >= min(len(text), 4)


@given(TEXTS.filter(bool), BLOCKS, SEEDS)
def test_the_masked_span_is_never_empty_and_never_half_of_the_window(text, block_size, seed):
    example = span_corruption(document(text), Random(seed), block_size)
    window, span = reassemble_span_corruption(example), example.text.split(MASK_CHARACTER)[2]
    assert 1 <= len(span) <= max(1, 2 * (len(window) // 4) - 1)


def test_the_span_is_a_quarter_of_the_window_on_average():
    random, spans, windows = Random(0), 0, 0
    for _ in range(20_000):
        example = span_corruption(document("abcdefghij" * 20), random, 128)
        spans += len(example.text.split(MASK_CHARACTER)[2])
        windows += len(example.text) - 2
    # 0.25 less what rounding the quarter down takes, 1.5 of about 58 characters a window
    assert 0.235 < spans / windows < 0.25


def test_every_length_from_four_to_seven_eighths_of_the_block_occurs_equally_often():
    random = Random(1)
    record = document("x" * 500)
    lengths = Counter(len(span_corruption(record, random, 128).text) - 2 for _ in range(21_800))
    assert set(lengths) == set(range(4, 113))
    assert min(lengths.values()) > 120 and max(lengths.values()) < 290  # 200 on average, 14 a deviation


def test_every_place_and_length_of_the_span_occurs():
    random = Random(2)
    record = document("abcdefgh")
    seen = {span_corruption(record, random, 64).text.split(MASK_CHARACTER)[2] for _ in range(4000)}
    whole = {"abcdefgh"[start : start + length] for length in (1, 2, 3) for start in range(9 - length)}
    assert whole <= seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"⁇⁇"}),
        ("a", {"⁇⁇a"}),
        ("ab", {"⁇b⁇a", "a⁇⁇b"}),
        ("abc", {"⁇bc⁇a", "a⁇c⁇b", "ab⁇⁇c"}),
        ("abcd", {"⁇bcd⁇a", "a⁇cd⁇b", "ab⁇d⁇c", "abc⁇⁇d"}),
    ],
)
def test_documents_of_a_few_characters_lose_one_of_them(text, expected):
    random = Random(3)
    assert {span_corruption(document(text), random, 64).text for _ in range(200)} == expected


def test_a_block_too_small_for_a_corruption_is_refused():
    for block_size in (1, 5):
        with pytest.raises(ValueError, match="block"):
            span_corruption(document("abcdefgh"), Random(0), block_size)


@pytest.mark.parametrize("text", ["", "a⁇b", "a⁇b⁇c⁇d"])
def test_what_is_no_corruption_cannot_be_reassembled(text):
    with pytest.raises(ValueError, match="around two masks"):
        reassemble_span_corruption(Example(text, 0))


@given(TEXTS, BLOCKS, SEEDS)
def test_left_to_right_reads_a_window_of_the_document(text, block_size, seed):
    example = left_to_right(document(text), Random(seed), block_size)
    assert example.loss_start == 0
    assert len(example.text) == min(len(text), block_size)
    assert example.text in text
    if len(text) <= block_size:
        assert example.text == text


def test_left_to_right_begins_at_the_beginning_half_of_the_time_and_reaches_the_end():
    text = "".join(chr(0x4E00 + number) for number in range(60))  # every window is different
    random = Random(4)
    starts = Counter(text.index(left_to_right(document(text), random, 50).text) for _ in range(4000))
    assert set(starts) == set(range(11))
    assert 0.5 < starts[0] / 4000 < 0.6


@given(TEXTS.filter(bool), TEXTS.filter(bool), SEEDS)
def test_a_question_is_read_and_its_answer_and_end_are_learnt(question, answer, seed):
    record = {"question": question, "answers": [answer, "another"], "entity": "someone"}
    block_size = len(question) + len(answer) + 2
    example = question_answering(record, Random(seed), block_size)
    assert example.text == f"{question}⁇{answer}⁇"
    assert example.text[: example.loss_start] == question + MASK_CHARACTER
    assert example.text[example.loss_start :] == answer + MASK_CHARACTER
    with pytest.raises(ValueError, match=f"take {block_size} characters, the block holds {block_size - 1}"):
        question_answering(record, Random(seed), block_size - 1)


def test_a_known_seed_gives_the_recorded_corruption():
    """A change here changes what every seed trains on: resumed and repeated runs would no longer agree."""
    record = document("Ada Lovelace. Born in London, Lovelace wrote the first program.")
    assert span_corruption(record, Random("0/7"), 128).text == (
        "Ada Lovelace. Born in London, Lovelace wrote the⁇ program.⁇ first"
    )
