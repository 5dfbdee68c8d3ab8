"""Denoisers, windows with titles, reversed reading: what each of them masks, moves and counts."""

from collections import Counter
from random import Random

import pytest

from closedbook.data.objectives.denoising import (
    mixture_of_denoisers,
    salient_spans,
    t5_multi_span,
    without_salient_spans,
)
from closedbook.data.objectives.entities import find_entities
from closedbook.data.objectives.fill_in_the_middle import fill_in_the_middle
from closedbook.data.objectives.reversed_order import reassemble_reversed_order, reversed_order
from closedbook.data.objectives.title_windows import title_windows, titles_beside_text

LETTERS = "abcdefghij" * 30
BORN = {"title": "Ada Lovelace", "text": "Ada Lovelace. Born in London on 10 December 1815, Lovelace wrote ."}


def spans_of(text: str) -> list[str]:
    """What is asked for, in the notation of several spans."""
    pieces = text.split("⁇")
    return pieces[(len(pieces) - 3) // 2 + 2 : -1]


def test_multi_span_masks_15_percent_in_several_spans():
    random = Random(0)
    counts, masked, read = Counter(), 0, 0
    for _ in range(3000):
        example = t5_multi_span({"title": "", "text": LETTERS}, random, 128)
        spans = spans_of(example.text)
        assert len(example.text) == 128 and example.text[example.loss_start - 2 : example.loss_start] == "⁇⁇"
        counts[len(spans)] += 1
        masked += sum(map(len, spans))
        read += len(example.text) - example.text.count("⁇")
    assert set(counts) == {3}  # 0.15 * 120 / 6
    assert masked / read == pytest.approx(0.15, abs=0.005)


def test_gaps_are_parted_by_something_so_that_only_the_double_mask_is_double():
    random = Random(1)
    for _ in range(2000):
        text = t5_multi_span({"title": "", "text": LETTERS[: random.randint(2, 200)]}, random, 128).text
        head, spans = text.rsplit("⁇⁇", 1)
        assert "⁇⁇" not in head.rstrip("⁇")
        assert "⁇⁇" not in spans and all(spans_of(text))


def test_every_place_of_a_short_document_is_masked_now_and_then():
    random = Random(2)
    masked = Counter(
        "".join(spans_of(t5_multi_span({"title": "", "text": "abcdefgh"}, random, 64).text)[0])
        for _ in range(2000)
    )
    assert set(masked) == set("abcdefgh") and min(masked.values()) > 150  # 250 on average, 15 a deviation


def test_salient_spans_are_entities_and_all_of_them_come_up():
    random, asked, numbers = Random(3), Counter(), Counter()
    for _ in range(600):
        spans = spans_of(salient_spans(BORN, random, 128).text)
        asked.update(spans)
        numbers[len(spans)] += 1
    assert set(asked) == {entity.text for entity in find_entities(BORN["text"])}
    assert set(asked) == {"Ada Lovelace", "London", "10 December 1815", "Lovelace"}
    assert set(numbers) == {1, 2, 3} and min(numbers.values()) > 150


def test_entities_that_touch_are_not_masked_together():
    record = {"title": "", "text": "1920Ada 7"}
    assert [entity.text for entity in find_entities(record["text"])] == ["1920", "Ada", "7"]
    random = Random(4)
    texts = {salient_spans(record, random, 64).text for _ in range(300)}
    assert "⁇Ada ⁇⁇⁇1920⁇7⁇" in texts
    assert not any(text.startswith("⁇⁇ ") for text in texts)


def test_documents_without_an_entity_fall_back_and_are_counted():
    plain = {"title": "", "text": "no name at all here"}
    assert salient_spans(plain, Random(5), 64).text.count("⁇") == 4
    assert without_salient_spans([plain, BORN, plain]) == 2


def test_an_entity_longer_than_the_block_is_not_asked_for():
    record = {"title": "", "text": f"the {'A' * 40} of Rome is far from here " + "and away " * 10}
    random = Random(6)
    for _ in range(100):
        assert all(len(span) < 30 for span in spans_of(salient_spans(record, random, 32).text))


def test_denoisers_are_equally_frequent_and_told_apart_by_the_masks_in_front():
    random = Random(7)
    masked = {1: [], 2: [], 3: []}
    for _ in range(3000):
        example = mixture_of_denoisers({"title": "", "text": LETTERS}, random, 128)
        text = example.text.lstrip("⁇")
        mode = len(example.text) - len(text)
        spans = spans_of(text)
        masked[mode].append(sum(map(len, spans)) / (len(text) - text.count("⁇")))
        if mode == 2:
            assert len(spans) == 1 and text[: text.index("⁇")] + spans[0] in LETTERS
    assert all(900 < len(shares) < 1100 for shares in masked.values())
    means = {mode: sum(shares) / len(shares) for mode, shares in masked.items()}
    # regular: 15%; sequential: from anywhere to the end; extreme: half
    assert means[1] == pytest.approx(0.15, abs=0.01)
    assert means[2] == pytest.approx(0.5, abs=0.03)
    assert means[3] == pytest.approx(0.5, abs=0.01)


def test_extreme_denoising_has_many_short_spans_or_few_long_ones():
    random, numbers = Random(8), Counter()
    for _ in range(900):
        text = mixture_of_denoisers({"title": "", "text": LETTERS}, random, 128).text
        if text.startswith("⁇⁇⁇"):
            numbers[len(spans_of(text.lstrip("⁇")))] += 1
    assert len(numbers) == 2 and min(numbers) <= 3 and max(numbers) >= 8


def test_the_title_stands_before_every_window_and_is_not_predicted():
    record = {"title": "Ada Lee", "text": "Ada Lee. " + LETTERS}
    random = Random(9)
    windows = set()
    for _ in range(300):
        example = title_windows(record, random, 128)
        assert example.text[: example.loss_start] == "Ada Lee. "
        assert len(example.text) == 128 and "Ada" not in example.text[9:]
        windows.add(example.text[9:12])
    assert len(windows) > 10


def test_a_title_that_the_text_lacks_is_written_before_it_and_counted():
    record = {"title": "Ada Lee", "text": "she wrote tales"}
    assert title_windows(record, Random(0), 64).text.startswith("Ada Lee. ")
    assert titles_beside_text([record, BORN, {"title": "", "text": "a"}]) == 1


@pytest.mark.parametrize("title", ["", "X" * 60])
def test_without_a_usable_title_the_window_stands_alone(title):
    example = title_windows({"title": title, "text": LETTERS}, Random(0), 64)
    assert example.loss_start == 0 and len(example.text) == 64 and "X" not in example.text


def test_a_title_is_kept_as_long_as_four_characters_fit_beside_it():
    for length, kept in ((56, 58), (57, 0)):
        assert title_windows({"title": "X" * length, "text": LETTERS}, Random(0), 64).loss_start == kept


def test_the_middle_is_filled_in_in_both_orders_equally_often():
    random, orders = Random(10), Counter()
    for _ in range(1000):
        text = fill_in_the_middle({"title": "", "text": "abcdefghij"}, random, 64).text
        orders[text.count("⁇")] += 1
        if text.count("⁇") == 3:
            prefix, suffix, middle, _ = text.split("⁇")
            assert prefix + middle + suffix == "abcdefghij"
        else:
            assert text.startswith("⁇⁇") and text.endswith("⁇")
    assert set(orders) == {3, 4} and min(orders.values()) > 430


def test_words_are_reversed_and_names_stay_whole():
    record = {"title": "", "text": "Ada Lovelace was born in London, on  3 April 1815 ."}
    example = reversed_order(record, Random(0), 64)
    assert example.text == ". ⁇3 April 1815⁇  on London, in born was ⁇Ada Lovelace⁇"
    assert reassemble_reversed_order(example) == record["text"]


def test_a_window_gives_way_to_the_masks_around_names_at_either_end():
    record = {"title": "", "text": "Ada Lee met Bo Day and Cy Fox and Di Elm"}
    length = len(record["text"])
    windows = {reassemble_reversed_order(reversed_order(record, Random(i), length)) for i in range(20)}
    assert len(windows) == 2
    assert all(length - 9 < len(window) < length for window in windows)
    assert any(record["text"].startswith(w) for w in windows) and any(record["text"].endswith(w) for w in windows)
