"""Laws of the writer, for any tokenizer and objective: examples fit, and their loss begins between two tokens."""

import pickle
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from closedbook.data.mixture import Component, Mixture
from closedbook.data.objectives.table import OBJECTIVES, QUESTIONS, REASSEMBLE
from closedbook.data.packing import IGNORED, PackingCollator
from closedbook.data.people.biographies import biography_documents
from closedbook.data.people.population import Population
from closedbook.data.writing.question_form import DEFAULT_PROMPT, QuestionForm, encode_prompt, own_prefix
from closedbook.data.writing.text_forms import GAP, TEXT_FORMS, check_text_forms
from closedbook.data.writing.token_writer import TokenWriter
from closedbook.data.writing.tokenizers import add_marks, check_tokenizer_name, train_tokenizer
from closedbook.modeling.tokenization_char import MASK_CHARACTER

DOCUMENTS = biography_documents(Population(12, seed=1), versions=1, seed=1, unit="biography").to_list()
TEXTS = [document["text"] for document in DOCUMENTS]
QUESTION = {"question": "Where was Zoë born?", "answers": ["Orléans"]}
BLOCK = 48


def learned(model, trainer, pre_tokenizer, decoder, special, **options) -> Tokenizer:
    backend = Tokenizer(model)
    backend.pre_tokenizer, backend.decoder = pre_tokenizer, decoder
    backend.train_from_iterator(
        [*TEXTS, "Question: Where? Answer: ____ Missing: Zoë Orléans"],
        trainer(vocab_size=500, special_tokens=special, show_progress=False, **options),
    )
    return backend


def gpt2_like() -> PreTrainedTokenizerFast:
    backend = learned(
        models.BPE(),
        trainers.BpeTrainer,
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
        ["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def llama_like() -> PreTrainedTokenizerFast:
    """With a beginning of text before every text, and a space that belongs to the word after it."""
    backend = learned(
        models.BPE(unk_token="<unk>"),
        trainers.BpeTrainer,
        pre_tokenizers.Metaspace(),
        decoders.Metaspace(),
        ["<unk>", "<s>", "</s>"],
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def bert_like() -> PreTrainedTokenizerFast:
    backend = learned(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer,
        pre_tokenizers.BertPreTokenizer(),
        decoders.WordPiece(),
        ["[UNK]", "[PAD]", "[MASK]"],
    )
    backend.normalizer = normalizers.NFC()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]"
    )


MAKERS = {
    "bytes": lambda: train_tokenizer("train:bpe:500", TEXTS, BLOCK),
    "unigram": lambda: train_tokenizer("train:unigram:400", TEXTS, BLOCK),
    "gpt2": gpt2_like,
    "llama": llama_like,
    "bert": bert_like,
}


@cache
def writer_of(name: str, in_words: bool) -> TokenWriter:
    tokenizer = MAKERS[name]()
    if not in_words:
        add_marks(tokenizer)
    return TokenWriter(tokenizer, QuestionForm(DEFAULT_PROMPT, tokenizer) if in_words else None)


KINDS = [(name, in_words) for name in MAKERS for in_words in (False, True)]
CASES = [
    (name, in_words, objective)
    for name, in_words in KINDS
    for objective in OBJECTIVES
    if not in_words or objective in TEXT_FORMS or objective == QUESTIONS
]


@pytest.mark.parametrize(("name", "in_words", "objective"), CASES)
def test_examples_fit_the_block_and_are_the_same_again(name, in_words, objective):
    writer = writer_of(name, in_words)
    copy = pickle.loads(pickle.dumps(writer))  # as a data worker gets it
    for number, document in enumerate(DOCUMENTS[:6]):
        record = QUESTION if objective == QUESTIONS else document
        example = writer.make(objective, record, f"7/{number}", BLOCK)
        assert 0 < len(example) <= BLOCK and 0 <= example.loss_start < len(example)
        assert copy.make(objective, record, f"7/{number}", BLOCK) == example


@pytest.mark.parametrize(("name", "in_words"), KINDS)
def test_what_is_read_and_what_is_predicted_part_between_two_tokens(name, in_words):
    writer = writer_of(name, in_words)
    tokenizer = writer.tokenizer
    for read, predicted in (
        ("Zoë was born in", " Orléans"),
        ("Zo", "ë was born"),
        ("born in Or", "léans."),
        ("", "Zoë"),
    ):
        found = writer._encode(read, predicted, ends=False)
        prefix = len(own_prefix(tokenizer)) if in_words else 0
        before, after = found.ids[prefix : found.loss_start], found.ids[found.loss_start :]

        def squeezed(ids, tokenizer=tokenizer):
            return tokenizer.decode(ids, clean_up_tokenization_spaces=False).replace(" ", "")

        if (
            name != "bert" and tokenizer.unk_token_id not in found.ids
        ):  # words of BERT's are cut, not their letters
            assert squeezed(before) == read.replace(" ", "")
            assert squeezed(after) == predicted.replace(" ", "")
        assert len(after) > 0


@settings(max_examples=40)
@given(st.text(alphabet="aë Zürich漢.,:\n", min_size=1, max_size=60), st.integers(0, 60))
def test_any_border_of_any_text_in_bytes_loses_nothing(text, place):
    writer = writer_of("bytes", False)
    found = writer._encode(text[:place], text[place:], ends=False)
    assert writer.tokenizer.decode(found.ids, clean_up_tokenization_spaces=False) == text
    read = writer.tokenizer.decode(found.ids[: found.loss_start], clean_up_tokenization_spaces=False)
    assert text.startswith(read) and len(read) <= place


@pytest.mark.parametrize("objective", REASSEMBLE)
def test_marks_in_tokens_are_undone_as_those_in_characters(objective):
    from closedbook.data.objectives.example import Example

    writer = writer_of("bytes", False)
    for number, document in enumerate(DOCUMENTS):
        made = writer.make(objective, document, f"3/{number}", BLOCK)
        read, predicted = (
            writer.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            for ids in (made.ids[: made.loss_start], made.ids[made.loss_start :])
        )
        window = REASSEMBLE[objective](Example(read + predicted, len(read)))
        assert window in document["text"] and made.characters == len(read + predicted)


def test_a_question_is_taught_as_it_is_asked():
    for name in ("gpt2", "llama"):
        writer = writer_of(name, True)
        made = writer.make(QUESTIONS, QUESTION, "0/0", BLOCK)
        asked = encode_prompt(writer.tokenizer, writer.form.read(QUESTION["question"]))
        assert list(made.ids[: made.loss_start]) == asked
        assert made.ids[-1] == writer.tokenizer.eos_token_id
        assert writer.tokenizer.decode(made.ids[made.loss_start : -1]).strip() == "Orléans"


def test_a_chat_template_is_read_with_one_beginning_of_text():
    tokenizer = llama_like()
    tokenizer.chat_template = (
        "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %} Answer:"
    )
    form = QuestionForm("chat", tokenizer)
    ids = encode_prompt(tokenizer, form.read("Where?"))
    assert ids.count(tokenizer.bos_token_id) == 1 == own_prefix(tokenizer).count(tokenizer.bos_token_id)
    assert (
        form.predicted("Rome") == "Rome" and QuestionForm(DEFAULT_PROMPT, tokenizer).predicted("Rome") == " Rome"
    )


def test_words_stand_for_marks():
    writer = writer_of("gpt2", True)
    document = DOCUMENTS[0]
    for objective in TEXT_FORMS:
        texts = [writer.tokenizer.decode(writer.make(objective, document, str(n), 200).ids) for n in range(6)]
        assert not any(MASK_CHARACTER in text for text in texts)
        assert all(text.endswith("<|endoftext|>") for text in texts)
    gaps = writer.tokenizer.decode(writer.make("masked_reconstruction", document, "1", 200).ids)
    copy, _, text = gaps.partition("\nText:")
    assert GAP in copy and text.strip().removesuffix("<|endoftext|>") in document["text"]


def test_windows_of_long_documents_begin_and_end_at_words():
    writer = writer_of("gpt2", True)
    document = {"title": "", "text": " ".join(TEXTS)}
    words = set(document["text"].split())
    for number in range(20):
        text = writer.tokenizer.decode(writer.make("left_to_right", document, str(number), 40).ids)
        assert text.split()[0] in words
        assert "<|endoftext|>" not in text or document["text"].endswith(text.removesuffix("<|endoftext|>"))


def test_a_mixture_of_tokens_is_the_same_by_any_worker_and_packs():
    writer = writer_of("bytes", False)
    parts = [
        Component("text", DOCUMENTS, "left_to_right", 2.0),
        Component("cue", DOCUMENTS, "entity_cue", 1.0),
        Component("asked", [QUESTION], QUESTIONS, 1.0),
    ]
    mixture = Mixture(parts, 5, BLOCK, 600, shift_positions=True, writer=writer)
    again = pickle.loads(pickle.dumps(mixture))
    examples = [mixture[i] for i in range(600)]
    assert [again[i] for i in reversed(range(600))] == examples[::-1]
    # the shares are of predicted tokens, whatever an example of each has
    loss = dict.fromkeys(("text", "cue", "asked"), 0)
    for index, example in enumerate(examples):
        name = mixture.components[mixture._component_and_record(index)[0]].name
        loss[name] += len(example) - max(1, example.loss_start)
    assert loss["text"] / sum(loss.values()) == pytest.approx(0.5, abs=0.06)
    batch = PackingCollator({}, row_length=128)(examples[:20])
    assert int((batch["labels"] != IGNORED).sum()) == sum(len(e) - max(1, e.loss_start) for e in examples[:20])


def test_what_cannot_be_is_refused_in_one_line():
    with pytest.raises(ValueError, match="no mask token"):
        TokenWriter(gpt2_like())
    with pytest.raises(ValueError, match="takes .* tokens|take .* tokens, the block holds 6"):
        writer_of("gpt2", True).make(QUESTIONS, QUESTION, "0", 6)
    with pytest.raises(ValueError, match="a block of 3 tokens is too small for left_to_right|too small"):
        writer_of("gpt2", True).make("masked_reconstruction", DOCUMENTS[0], "0", 3)
    with pytest.raises(ValueError, match="fill_in_the_middle is told by marks"):
        check_text_forms(["left_to_right", "fill_in_the_middle"])
    with pytest.raises(ValueError, match="no chat template"):
        QuestionForm("chat", gpt2_like())
    with pytest.raises(ValueError, match="has no {question}"):
        QuestionForm("Where?", gpt2_like())
    for name in ("train:wordpiece:400", "train:bpe", "train:bpe:100"):
        with pytest.raises(ValueError, match=name):
            check_tokenizer_name(name)
    with pytest.raises(ValueError, match="no characters"):
        train_tokenizer("train:bpe:300", ["", " "], 8)


def test_the_same_texts_give_the_same_vocabulary():
    one, other = (train_tokenizer("train:bpe:420", TEXTS, 64) for _ in range(2))
    assert one.get_vocab() == other.get_vocab() and len(one) == 420
