"""Law 9, the rest: packed rows hold every example once and whole, and never mix two of them."""

from itertools import pairwise
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from closedbook.data.objectives.example import Example
from closedbook.data.packing import IGNORED, TRIMMED_TO, PackingCollator, pack
from closedbook.modeling.configuration_gpt import VanillaGPTConfig
from closedbook.modeling.modeling_gpt import VanillaGPTForCausalLM
from closedbook.modeling.positions import example_indices
from closedbook.modeling.tokenization_char import build_char_tokenizer

VOCABULARY = {character: number for number, character in enumerate("□⁇abcdefgh")}


@st.composite
def example_lists(draw) -> list[Example]:
    texts = draw(st.lists(st.text(st.sampled_from("⁇abcdefgh"), min_size=1, max_size=20), max_size=12))
    return [Example(text, draw(st.integers(0, len(text)))) for text in texts]


def unpack(batch: dict[str, torch.Tensor]) -> list[tuple[list[int], list[int]]]:
    """Tokens and labels of every example of a batch, found by where positions restart; padding left out."""
    found = []
    for ids, labels, positions in zip(
        batch["input_ids"].tolist(), batch["labels"].tolist(), batch["position_ids"].tolist(), strict=True
    ):
        starts = [place for place, position in enumerate(positions) if position == 0] + [len(ids)]
        for start, end in pairwise(starts):
            assert positions[start:end] == list(range(end - start))
            if any(ids[start:end]):
                found.append((ids[start:end], labels[start:end]))
    return found


@given(example_lists(), st.integers(min_value=20, max_value=50))
def test_every_example_appears_once_and_whole_with_its_own_labels(examples, row_length):
    batch = PackingCollator(VOCABULARY, row_length)(examples)
    assert set(batch) == {"input_ids", "labels", "position_ids"}
    for tensor in batch.values():
        assert tensor.shape == (len(batch["input_ids"]), row_length) and tensor.dtype == torch.long
    expected = []
    for example in examples:
        ids = [VOCABULARY[character] for character in example.text]
        learnt = [place >= example.loss_start and place > 0 for place in range(len(ids))]
        expected.append((ids, [i if learn else IGNORED for i, learn in zip(ids, learnt, strict=True)]))
    assert sorted(unpack(batch)) == sorted(expected)


@given(example_lists(), st.integers(min_value=20, max_value=50))
def test_a_trimmed_row_leaves_out_padding_alone(examples, row_length):
    whole = PackingCollator(VOCABULARY, row_length)(examples)
    trimmed = PackingCollator(VOCABULARY, row_length, trim=True)(examples)
    length = trimmed["input_ids"].shape[1]
    assert length == row_length or length % TRIMMED_TO == 0
    for name, tensor in trimmed.items():
        assert torch.equal(tensor, whole[name][:, :length])
    assert not whole["input_ids"][:, length:].any()
    assert length <= TRIMMED_TO or whole["input_ids"][:, length - TRIMMED_TO :].any()


@given(example_lists())
def test_padding_is_at_the_end_of_a_row_and_has_no_label(examples):
    batch = PackingCollator(VOCABULARY, 24)(examples)
    padding = batch["input_ids"] == 0
    assert (padding.long().diff(dim=-1) >= 0).all()
    assert (batch["labels"][padding] == IGNORED).all()
    # whoever pads must not ask for positions beyond a model's block, nor make an example of every token
    longest = max((len(example.text) for example in examples), default=1)
    assert (batch["position_ids"][padding] < longest).all()
    for row, positions in zip(padding, batch["position_ids"], strict=True):
        starts = int((positions[row] == 0).sum())
        assert starts == -(-int(row.sum()) // longest)


@given(st.lists(st.integers(min_value=1, max_value=40), max_size=60), st.integers(min_value=40, max_value=100))
def test_rows_hold_each_example_once_and_do_not_overflow(lengths, row_length):
    rows = pack(lengths, row_length)
    assert sorted(member for row in rows for member in row) == list(range(len(lengths)))
    contents = sorted(sum(lengths[member] for member in row) for row in rows)
    assert all(0 < content <= row_length for content in contents)
    # no two rows could have been one, hence at most one row is half empty
    assert len(contents) < 2 or contents[0] + contents[1] > row_length
    assert len(rows) <= 2 * sum(lengths) / row_length + 1
    assert rows == pack(lengths, row_length)


def test_rows_of_realistic_examples_are_almost_full():
    random = Random(0)
    for _ in range(20):
        lengths = [random.randint(6, 114) for _ in range(128)]
        lower_bound = -(-sum(lengths) // 256)
        assert len(pack(lengths, 256)) <= lower_bound + 1


def test_an_example_as_long_as_a_row_fits_and_a_longer_one_is_refused():
    collator = PackingCollator(VOCABULARY, 8)
    assert collator([Example("abcdefgh", 0)])["input_ids"].shape == (1, 8)
    with pytest.raises(ValueError, match="an example of 9 tokens does not fit into a row of 8"):
        collator([Example("a", 0), Example("abcdefgha", 0)])


def test_unknown_characters_are_named():
    with pytest.raises(ValueError, match=r"'Ж' \(U\+0416\), in 'abЖ'"):
        PackingCollator(VOCABULARY, 8)([Example("abЖ", 0)])


def test_a_first_character_is_never_predicted_from_the_example_before():
    batch = PackingCollator(VOCABULARY, 8)([Example("abcd", 0), Example("efgh", 0)])
    assert batch["labels"].tolist() == [[IGNORED, 3, 4, 5, IGNORED, 7, 8, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 3]]


def test_ids_are_those_of_the_tokenizer():
    texts = ["Zoë ⁇ in\nParis ⁇", "  □ é"]
    tokenizer = build_char_tokenizer(texts)
    batch = PackingCollator(tokenizer.get_vocab(), 30)([Example(text, 0) for text in texts])
    assert batch["input_ids"][0, :21].tolist() == [i for ids in tokenizer(texts)["input_ids"] for i in ids]


def shifted(batch: dict[str, torch.Tensor]) -> list[tuple[tuple[int, ...], int]]:
    """Tokens and first position of every example of a batch, told apart as a model does; padding left out."""
    found = []
    rows = zip(batch["input_ids"], batch["position_ids"], example_indices(batch["position_ids"]), strict=True)
    for ids, positions, examples in rows:
        for number in examples.unique():
            member = examples == number
            first = int(positions[member][0])
            assert positions[member].tolist() == list(range(first, first + int(member.sum())))
            if ids[member].any():
                found.append((tuple(ids[member].tolist()), first))
    return found


@given(example_lists(), st.data())
def test_examples_begin_at_their_positions_and_never_join(examples, data):
    """Few different starts and lengths, so that one example often ends where another could go on."""
    examples = [Example(e.text[:4], 0, data.draw(st.integers(0, 6))) for e in examples]
    batch = PackingCollator(VOCABULARY, 20)(examples)
    expected = [(tuple(VOCABULARY[c] for c in e.text), e.position_start) for e in examples]
    assert sorted(shifted(batch)) == sorted(expected)
    block = max([1, *(example.position_start + len(example.text) for example in examples)])
    assert all(0 <= position < block for row in batch["position_ids"].tolist() for position in row)


@pytest.mark.parametrize("starts", [(0, 3), (3, 0), (1, 4), (0, 0), (2, 5)])
def test_two_examples_whose_positions_would_join_are_kept_apart(starts):
    examples = [Example(text, 0, start) for text, start in zip(("abc", "def"), starts, strict=True)]
    batch = PackingCollator(VOCABULARY, 8)(examples)
    assert sorted(shifted(batch)) == [((2, 3, 4), starts[0]), ((5, 6, 7), starts[1])]


def test_empty_examples_leave_no_trace():
    batch = PackingCollator(VOCABULARY, 8)([Example("", 0, 3), Example("abc", 0), Example("", 0)])
    assert shifted(batch) == [((2, 3, 4), 0)]
    alone = PackingCollator(VOCABULARY, 8)([Example("", 0)])
    assert (alone["labels"] == IGNORED).all() and (alone["position_ids"] == 0).all()


@torch.no_grad()
def test_a_packed_example_with_shifted_positions_is_read_as_if_alone():
    torch.manual_seed(0)
    config = VanillaGPTConfig(
        vocab_size=10,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        initializer_range=0.5,  # so that positions count
    )
    model = VanillaGPTForCausalLM(config).eval()
    examples = [Example("abcde", 0, 0), Example("fgh", 0, 5), Example("bad", 0, 8), Example("c", 0, 15)]
    batch = PackingCollator(VOCABULARY, 16)(examples)
    logits = model(batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    index = example_indices(batch["position_ids"])
    for example in examples:
        ids = torch.tensor([[VOCABULARY[character] for character in example.text]])
        positions = torch.arange(len(example.text)).unsqueeze(0) + example.position_start
        alone = model(ids, position_ids=positions, use_cache=False).logits[0]
        if example.position_start:
            unshifted = model(ids, use_cache=False).logits[0]
            assert not torch.allclose(alone, unshifted, atol=1e-2)  # the positions are read at all
        starts = (batch["position_ids"] == example.position_start) & (batch["input_ids"] == ids[0, 0])
        row, start = starts.nonzero()[0].tolist()
        assert int(index[row, start]) == 0 or int(index[row, start]) != int(index[row, start - 1])
        # the same sums in another order: float32 rounding
        torch.testing.assert_close(logits[row, start : start + ids.shape[1]], alone, atol=1e-5, rtol=1e-5)


def test_no_examples_give_no_rows():
    assert PackingCollator(VOCABULARY, 8)([])["input_ids"].shape == (0, 8)
