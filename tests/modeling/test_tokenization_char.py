"""The character tokenizer: every text comes back, every unknown character is named."""

import json
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError
from transformers import AutoTokenizer

from closedbook.data.objectives.table import OBJECTIVES
from closedbook.modeling.tokenization_char import (
    MASK_CHARACTER,
    PAD_CHARACTER,
    QUESTION_CHAT_TEMPLATE,
    CharTokenizer,
    build_char_tokenizer,
)

CHARACTERS = st.characters(exclude_categories=["Cs"])
TRICKY = [
    " lead",
    "trail ",
    "two  spaces",
    "   ",
    "\n",
    "a\nb\r\nc\t",
    "\u2028\x0b\x0c\x85",
    "e\u0301 é",  # combining and precomposed stay what they are
    "漢字かな",
    "🙂👩\u200d🔬",
    "\x00",
    "##un ▁ Ġ </s> [PAD] <unk>",
    "it 's , . n't !",  # where a decoder that cleans up would remove spaces
    f"{PAD_CHARACTER}a{MASK_CHARACTER}b{PAD_CHARACTER}{MASK_CHARACTER}",
    f" {MASK_CHARACTER} b {PAD_CHARACTER} ",
    "",
]


@pytest.fixture(scope="module")
def tokenizer() -> CharTokenizer:
    return build_char_tokenizer(TRICKY)


def test_ids_are_the_two_special_characters_and_then_the_sorted_corpus(tokenizer):
    characters = [PAD_CHARACTER, MASK_CHARACTER]
    characters += sorted(set("".join(TRICKY)) - {PAD_CHARACTER, MASK_CHARACTER})
    assert tokenizer.get_vocab() == {character: number for number, character in enumerate(characters)}
    assert len(tokenizer) == tokenizer.vocab_size == len(characters)
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.eos_token_id) == (0, 1, 1)
    assert (ord(PAD_CHARACTER), ord(MASK_CHARACTER)) == (0x25A1, 0x2047)


@pytest.mark.parametrize("text", TRICKY)
def test_tricky_texts_come_back_exactly_one_id_a_character(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert ids == [tokenizer.get_vocab()[character] for character in text]
    assert tokenizer.decode(ids) == text
    assert tokenizer.tokenize(text) == list(text)
    assert tokenizer.encode(text) == ids


@settings(max_examples=100)
@given(st.text(CHARACTERS, min_size=1, max_size=30), st.data())
def test_any_text_over_the_vocabulary_comes_back_exactly(corpus, data):
    tokenizer = build_char_tokenizer([corpus, "x"])
    alphabet = sorted({*corpus, "x", PAD_CHARACTER, MASK_CHARACTER})
    text = data.draw(st.text(st.sampled_from(alphabet), max_size=40))
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text)
    assert [tokenizer.convert_ids_to_tokens(number) for number in ids] == list(text)
    assert tokenizer.decode(ids) == text


@settings(max_examples=40)
@given(st.text(CHARACTERS, min_size=1, max_size=20), CHARACTERS)
def test_any_character_outside_of_the_vocabulary_is_named(corpus, character):
    tokenizer = build_char_tokenizer([corpus, "x"])
    if character == "\n" and character not in corpus:
        assert tokenizer("x\n")["input_ids"] == tokenizer(f"x{MASK_CHARACTER}")["input_ids"]
    elif character in {*corpus, "x", PAD_CHARACTER, MASK_CHARACTER}:
        assert tokenizer.decode(tokenizer("x" + character)["input_ids"]) == "x" + character
    else:
        with pytest.raises(ValueError, match=rf"U\+{ord(character):04X}"):
            tokenizer("x" + character)


@pytest.mark.parametrize(
    "read",
    [
        lambda tokenizer, text: tokenizer(text),
        lambda tokenizer, text: tokenizer(["a", text]),
        lambda tokenizer, text: tokenizer("a", text),
        lambda tokenizer, text: tokenizer(["a"], [text]),
        lambda tokenizer, text: tokenizer([["a", text]], is_split_into_words=True),
        lambda tokenizer, text: tokenizer.encode(text),
        lambda tokenizer, text: tokenizer.tokenize(text),
        lambda tokenizer, text: (
            tokenizer.batch_encode_plus([text]) if hasattr(tokenizer, "batch_encode_plus") else tokenizer([text])
        ),
    ],
    ids=["call", "batch", "pair", "batch-of-pairs", "words", "encode", "tokenize", "batch-encode"],
)
def test_unknown_characters_are_named_with_their_code_points_however_text_comes_in(read):
    tokenizer = build_char_tokenizer(["abc"])
    with pytest.raises(ValueError) as caught:
        read(tokenizer, "aЖb\u00a0")
    message = str(caught.value)
    assert "'Ж' (U+0416)" in message and "(U+00A0)" in message
    assert 'unknown="mask"' in message


def test_the_message_for_a_long_text_stays_short():
    with pytest.raises(ValueError) as caught:
        build_char_tokenizer(["abc"])("a" * 5000 + "!")
    assert len(str(caught.value)) < 400


def test_unknown_characters_can_be_read_as_the_mask_character(tmp_path):
    tokenizer = build_char_tokenizer(["abc"], unknown="mask")
    assert tokenizer("aЖЖb")["input_ids"] == [2, 1, 1, 3]
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("aЖЖb")["input_ids"] == [2, 1, 1, 3]
    with pytest.raises(ValueError, match='unknown must be "error" or "mask"'):
        build_char_tokenizer(["abc"], unknown="drop")


@pytest.mark.parametrize("texts", [[], [""], [PAD_CHARACTER + MASK_CHARACTER]])
def test_an_empty_corpus_is_refused(texts):
    with pytest.raises(ValueError, match="no characters"):
        build_char_tokenizer(texts)


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches_are_padded_on_the_side_asked_for(tokenizer, side):
    batch = tokenizer(["two", "", "漢字かな"], padding=True, padding_side=side)
    for text, ids, mask in zip(["two", "", "漢字かな"], batch["input_ids"], batch["attention_mask"], strict=True):
        pad = [0] * (4 - len(text))
        own = [tokenizer.get_vocab()[character] for character in text]
        assert ids == (pad + own if side == "left" else own + pad)
        assert [place for place, seen in enumerate(mask) if seen] == list(
            range(len(pad), 4) if side == "left" else range(len(text))
        )


def test_padding_is_on_the_right_unless_asked_otherwise(tokenizer):
    assert tokenizer.padding_side == "right"
    assert tokenizer(["ab", "a"], padding=True)["input_ids"][1][1] == 0


def test_skipping_special_tokens_removes_only_the_two_special_characters(tokenizer):
    ids = tokenizer(f"{PAD_CHARACTER}a {MASK_CHARACTER} b")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a  b"


def test_a_saved_tokenizer_is_the_loaded_one(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    for loaded in (CharTokenizer.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)):
        assert loaded.get_vocab() == tokenizer.get_vocab()
        assert loaded.padding_side == "right"
        assert (loaded.pad_token, loaded.mask_token, loaded.eos_token) == ("□", "⁇", "⁇")
        for text in TRICKY:
            assert loaded.decode(loaded(text)["input_ids"]) == text
    loaded.save_pretrained(tmp_path / "again")
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    assert again.get_vocab() == tokenizer.get_vocab()


def test_the_block_is_remembered_and_does_not_cut_anything(tmp_path):
    build_char_tokenizer(["abc"], model_max_length=8).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.model_max_length == 8
    assert len(loaded("abc" * 5)["input_ids"]) == 15
    assert len(loaded("abc" * 5, truncation=True)["input_ids"]) == 8


def test_offsets_point_at_the_characters(tokenizer):
    encoded = tokenizer("é 漢🙂", return_offsets_mapping=True)
    assert encoded["offset_mapping"] == [(place, place + 1) for place in range(4)]


@pytest.mark.parametrize("text", ["\n", "\n\n", "a\nb", "\na\n"])
@pytest.mark.parametrize("trust", [True, False])
def test_a_line_feed_is_the_end_of_a_text_where_no_text_of_the_vocabulary_has_one(tmp_path, text, trust):
    build_char_tokenizer(["abc"]).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=trust)
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert ids == tokenizer.encode(text.replace("\n", MASK_CHARACTER)) and len(ids) == len(text)
    assert len(tokenizer) == 5
    with pytest.raises(Exception, match=r"U\+000D|WordLevel error"):
        build_char_tokenizer(["abc"])("a\r\n")


def test_a_line_feed_of_the_corpus_is_a_token_of_its_own():
    tokenizer = build_char_tokenizer(["a\nb"])
    assert tokenizer("a\nb")["input_ids"] == [3, 2, 4]
    assert tokenizer.decode([3, 2, 4]) == "a\nb"


def patterns_of(part) -> list[str]:
    """Every regular expression anywhere in a tokenizer.json."""
    if isinstance(part, dict):
        found = [part["Regex"]] if isinstance(part.get("Regex"), str) else []
        return found + [pattern for value in part.values() for pattern in patterns_of(value)]
    return [pattern for value in part for pattern in patterns_of(value)] if isinstance(part, list) else []


# Written so that Python's and Rust's readers take it and JavaScript's does not: flags in the pattern, comments,
# possessive and atomic groups, POSIX classes, \\A, \\z, \\h, conditionals.
NOT_JAVASCRIPT = re.compile(r"\(\?(?![:=!]|<[=!a-zA-Z])|\[\[:|\\[AzZGhHKRX]|[*+?}]\+")


@pytest.mark.parametrize("texts", [["abc"], TRICKY])
@pytest.mark.parametrize("unknown", ["error", "mask"])
def test_the_saved_tokenizer_holds_no_pattern_that_javascript_cannot_read(tmp_path, texts, unknown):
    build_char_tokenizer(texts, unknown=unknown).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert not [pattern for pattern in patterns_of(saved) if NOT_JAVASCRIPT.search(pattern)]
    assert NOT_JAVASCRIPT.search("(?m).") and not NOT_JAVASCRIPT.search("(?:a|b)+(?<=c)")


@pytest.mark.parametrize("text", TRICKY)
def test_folders_saved_with_a_pattern_give_the_same_ids(tokenizer, tmp_path, text):
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    saved = json.loads(path.read_text(encoding="utf-8"))
    saved["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "(?m)."},
        "behavior": "Isolated",
        "invert": False,
    }
    path.write_text(json.dumps(saved), encoding="utf-8")
    old = CharTokenizer.from_pretrained(tmp_path)
    assert old.backend_tokenizer.pre_tokenizer.__class__.__name__ == "Split"
    assert old(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert old.decode(old(text)["input_ids"]) == tokenizer.decode(tokenizer(text)["input_ids"])


def test_the_chat_template_writes_what_question_answering_teaches():
    tokenizer = build_char_tokenizer(["Where? In Oslo. Rome"])
    tokenizer.chat_template = QUESTION_CHAT_TEMPLATE
    taught = OBJECTIVES["question_answering"]({"question": "Where?", "answers": ["Oslo"]}, Random(0), 64)
    asked = [{"role": "user", "content": "Where?"}]
    told = [*asked, {"role": "assistant", "content": "Oslo"}]
    assert tokenizer.apply_chat_template(told, tokenize=False) == taught.text
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert prompt == taught.text[: taught.loss_start]
    read = tokenizer.apply_chat_template(told, return_dict=True, return_assistant_tokens_mask=True)
    assert read["assistant_masks"] == [int(place >= taught.loss_start) for place in range(len(taught.text))]
    with pytest.raises(TemplateError, match="no system"):
        tokenizer.apply_chat_template([{"role": "system", "content": "Rome"}], tokenize=False)
