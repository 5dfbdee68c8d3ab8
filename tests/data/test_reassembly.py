"""Law 9: what an objective does to a record can be undone, and it never looks beyond the record."""

import random as process_wide
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedbook.data.objectives.example import Example
from closedbook.data.objectives.reading import MARK
from closedbook.data.objectives.table import IRREGULAR_RECORDS, OBJECTIVES, PIECES, REASSEMBLE, written_by
from closedbook.modeling.tokenization_char import MASK_CHARACTER

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters=MASK_CHARACTER)
WORDS = ["Ada", "Lovelace", "born", "in", "London", "of", "the", "3", "April", "1815", "(1852)", "é", "Œuvre", "-"]
SENTENCES = st.lists(st.sampled_from([*WORDS, ",", ".", "\n", "New", "York"]), max_size=90).map(" ".join)
TEXTS = st.one_of(st.text(CHARACTERS, max_size=60), SENTENCES, SENTENCES.map(lambda text: text.replace(" ", "")))
TITLES = st.one_of(st.text(CHARACTERS, max_size=20), st.sampled_from(["", "Ada Lovelace", "Al", "X" * 200]))
RECORDS = st.builds(lambda title, text: {"title": title, "text": text}, TITLES, TEXTS)
TITLED = st.builds(lambda title, text: {"title": title, "text": f"{title}. {text}"}, TITLES, TEXTS)
BLOCKS = st.integers(min_value=9, max_value=160)
SEEDS = st.integers(min_value=0, max_value=2**32 - 1)
OF_DOCUMENTS = sorted(OBJECTIVES.keys() - {"question_answering"})

law = settings(max_examples=60)


def test_every_objective_of_documents_has_its_law():
    assert sorted([*REASSEMBLE, *PIECES]) == OF_DOCUMENTS
    assert IRREGULAR_RECORDS.keys() <= OBJECTIVES.keys()


@pytest.mark.parametrize("name", sorted(REASSEMBLE))
@law
@given(record=RECORDS | TITLED, block_size=BLOCKS, seed=SEEDS)
def test_an_example_is_reassembled_to_a_window_of_its_document(name, record, block_size, seed):
    example = OBJECTIVES[name](record, Random(seed), block_size)
    window = REASSEMBLE[name](example)
    assert window in record["text"]
    assert bool(window) == bool(record["text"]) or name == "title_windows"  # all of whose text may be its title
    # what is not the window is masks, or the title, or a copy of the window with less in it
    beside = len(example.text) - example.text.count(MASK_CHARACTER) - len(window)
    copied = range(len(window) + 1) if name == "masked_reconstruction" else (0, len(record["title"]) + 2)
    assert beside in copied


@pytest.mark.parametrize("name", sorted(PIECES))
@law
@given(record=RECORDS | TITLED, block_size=BLOCKS, seed=SEEDS)
def test_every_piece_of_an_example_stands_in_its_document_or_the_title(name, record, block_size, seed):
    example = OBJECTIVES[name](record, Random(seed), block_size)
    pieces = PIECES[name](example)
    assert all(piece in record["text"] or piece in record["title"] for piece in pieces)
    read = sum(len("".join(piece.split())) for piece in pieces)
    written = len("".join(example.text.split()).replace(MASK_CHARACTER, ""))
    beside = 2 if name == "cue_question" else 0  # a first letter that may have become a capital, a question mark
    if name == "entity_marks":  # brackets with a number in the text, and a number for an answer
        beside = 3 * len(MARK.findall(example.text)) + example.text.count(MASK_CHARACTER) // 2
    assert read == written - beside or example.loss_start == 0


@pytest.mark.parametrize("name", OF_DOCUMENTS)
@law
@given(record=RECORDS | TITLED, block_size=BLOCKS, seed=SEEDS)
def test_an_example_fits_the_block_and_has_something_to_predict(name, record, block_size, seed):
    example = OBJECTIVES[name](record, Random(seed), block_size)
    assert len(example.text) <= block_size
    assert 0 <= example.loss_start <= len(example.text)
    assert example.position_start == 0
    if len(record["text"]) > 2 + len(record["title"]):
        assert max(1, example.loss_start) < len(example.text)


@pytest.mark.parametrize("name", OF_DOCUMENTS)
@law
@given(record=RECORDS, block_size=BLOCKS, seed=SEEDS)
def test_an_example_depends_on_record_generator_and_block_alone(name, record, block_size, seed):
    before = str(record)
    process_wide.seed(seed)
    np.random.seed(seed)
    states = process_wide.getstate(), str(np.random.get_state())
    example = OBJECTIVES[name](record, Random(seed), block_size)
    assert states == (process_wide.getstate(), str(np.random.get_state()))
    assert str(record) == before
    process_wide.seed(seed + 1)
    assert OBJECTIVES[name](dict(record), Random(seed), block_size) == example


@pytest.mark.parametrize("name", OF_DOCUMENTS)
def test_documents_are_never_mixed(name):
    """Two documents without a common character, one after the other through the same objective and generator."""
    random = Random(0)
    latin = {"title": "Ada Lee", "text": "Ada Lee. Born in Rome on 3 April 1920, " + "a plain tale " * 20}
    greek = {"title": "Ζηνων", "text": "Ζηνων ο Κιτιευς γεννηθηκε στο Κιτιον " * 8}
    shared = set(latin["text"]) & set(greek["text"]) | set(". " + MASK_CHARACTER)
    shared |= set().union(*written_by([name], []))
    for _ in range(50):
        for record, other in ((latin, greek), (greek, latin)):
            text = OBJECTIVES[name](record, random, 128).text
            assert not set(text) & (set(other["text"]) - shared)


@pytest.mark.parametrize("name", sorted(set(REASSEMBLE) - {"span_corruption", "left_to_right"}))
@pytest.mark.parametrize("length", [129, 140, 300])
def test_no_part_of_a_long_document_is_lost(name, length):
    """Every character is its own, so that a window tells where it was; a name every 30, for salient spans."""
    text = "".join(chr(0x4E00 + number) if number % 30 else " A" for number in range(length))[:length]
    record = {"title": "Ada Lee", "text": text}
    random, seen = Random(0), [0] * length
    draws = 400
    for _ in range(draws):
        window = REASSEMBLE[name](OBJECTIVES[name](record, random, 128))
        start = text.index(window)
        for place in range(start, start + len(window)):
            seen[place] += 1
    assert min(times for times, character in zip(seen, text, strict=True) if character != " ") > draws / 50


@pytest.mark.parametrize("name", sorted(set(REASSEMBLE) - {"left_to_right", "reversed_order"}))
def test_a_block_too_small_is_refused_by_name(name):
    with pytest.raises(ValueError, match="a block of 4 characters is too small"):
        OBJECTIVES[name]({"title": "", "text": "abcdefgh"}, Random(0), 4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("title_windows", "Ada. a⁇b"),
        ("t5_multi_span", "a⁇b⁇c"),
        ("t5_multi_span", "ab⁇"),
        ("salient_spans", "a⁇b⁇⁇c⁇d⁇"),
        ("mixture_of_denoisers", "⁇a⁇b⁇c⁇"),
        ("masked_reconstruction", "a⁇b⁇ab⁇"),
        ("masked_reconstruction", "a⁇b⁇⁇abc⁇"),
        ("fill_in_the_middle", "a⁇b⁇c"),
        ("fill_in_the_middle", "a⁇b⁇c⁇d⁇"),
        ("reversed_order", "a⁇b c"),
    ],
)
def test_what_an_objective_did_not_write_is_not_reassembled(name, text):
    with pytest.raises(ValueError):
        REASSEMBLE[name](Example(text, 0))
