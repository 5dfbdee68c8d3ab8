"""The objective that makes a model say its titles."""

from random import Random

import pytest

from closedbook.data.objectives.titles import title_pieces, titles, without_titles


def test_a_title_is_predicted_with_its_end():
    example = titles({"title": "Ada Lee", "text": "Ada Lee. Born in Rome."}, Random(0), 64)
    assert (example.text, example.loss_start) == ("Ada Lee⁇", 0)
    assert title_pieces(example) == ["Ada Lee"]


def test_a_title_longer_than_the_block_is_cut():
    assert titles({"title": "X" * 40, "text": ""}, Random(0), 9).text == "X" * 8 + "⁇"


def test_a_document_without_a_title_is_read_and_counted():
    record = {"title": "", "text": "abcdefgh"}
    assert titles(record, Random(0), 64).text == "abcdefgh"
    assert without_titles([record, {"title": "Ada", "text": ""}]) == 1


def test_a_block_that_holds_no_title_is_refused():
    with pytest.raises(ValueError, match="a block of 1 characters is too small for a title"):
        titles({"title": "Ada", "text": ""}, Random(0), 1)
