"""Demonstrations: never what is asked, never twice the same, and a function of pool, question and seeds alone."""

import random
import sys

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from closedbook.evaluation.prompting.demonstrations import (
    ORDERS,
    RELEVANCE,
    SELECTIONS,
    question_key,
    select_demonstrations,
)
from closedbook.evaluation.prompting.embedders import EncoderEmbedder, TfidfEmbedder

pytest.importorskip("bm25s", reason="the extra `icl` is not installed")

WORDS = ["river", "lake", "city", "king", "queen", "novel", "film", "song", "planet", "metal", "sport", "bird"]
WORDS += ["who", "wrote", "which", "is", "the", "of", "in"]


def build_pool(questions) -> Dataset:
    return Dataset.from_list([{"question": question, "answers": ["answer"]} for question in questions])


def random_questions(number: int, seed: int) -> list[str]:
    generator = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < number:
        question = " ".join(generator.choices(WORDS, k=generator.randint(3, 8))) + "?"
        found.setdefault(question_key(question), question)
    return list(found.values())


QUESTIONS = random_questions(40, seed=0)
POOL = build_pool(QUESTIONS)

# How a question may come back in another row: as it is, and in spellings that ask the same.
SPELLINGS = {
    "exact": lambda question: question,
    "case": str.upper,
    "punctuation": lambda question: '"' + question.replace("?", "") + '"!',
    "white space": lambda question: "  " + question.replace(" ", " \u00a0\t") + "\n",
    "unicode": lambda question: "".join(
        chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in question
    ),  # wide letters
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A BERT with random weights, saved as encoders are."""
    torch.manual_seed(0)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=16, **sizes)
    folder = tmp_path_factory.mktemp("encoders") / "bert"
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def embedder(encoder) -> EncoderEmbedder:
    return EncoderEmbedder(encoder)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("selection", SELECTIONS)
def test_neither_the_question_nor_another_spelling_of_it_is_shown(selection, spelling):
    asked = QUESTIONS[:6]
    # planted at the beginning, in the middle and at the end: what "fixed" and every ranking would take first
    planted = [SPELLINGS[spelling](question) for question in asked]
    pool = build_pool([*planted[:2], *QUESTIONS[6:20], *planted, *QUESTIONS[20:], *asked])
    for num_shots in (1, 3, len(QUESTIONS) - 1):
        for question, rows in zip(
            asked, select_demonstrations(pool, asked, num_shots, selection=selection), strict=True
        ):
            keys = [question_key(text) for text in pool[rows]["question"]]
            assert question_key(question) not in keys
            assert len(set(keys)) == len(keys) == num_shots


@pytest.mark.parametrize("selection", SELECTIONS)
def test_of_rows_that_ask_the_same_the_first_is_shown(selection):
    pool = build_pool([*QUESTIONS[:9], *(question.upper() for question in QUESTIONS[:9])])
    (rows,) = select_demonstrations(pool, ["Who is asked?"], 9, selection=selection)
    assert sorted(rows) == list(range(9))


def test_spellings_are_the_same_question_and_other_words_are_not():
    for question in QUESTIONS:
        assert {question_key(spell(question)) for spell in SPELLINGS.values()} == {question_key(question)}
    assert question_key("Who wrote The Wall?") != question_key("Who wrote Wall?")
    assert question_key("Who wrote Résumé?") != question_key("Who wrote Resume?")
    assert question_key("Cafe\u0301") == question_key("CAF\u00c9")  # é in two ways of Unicode


@pytest.mark.parametrize("with_encoder", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_other_questions_and_their_order_do_not_matter(selection, with_encoder, embedder):
    options = {"selection": selection, "embedder": embedder if with_encoder else None, "seed": 3}
    asked = [*QUESTIONS[:12], *random_questions(60, seed=1)[40:]]
    together = select_demonstrations(POOL, asked, 4, **options)
    for question, rows in zip(asked, together, strict=True):
        assert select_demonstrations(POOL, [question], 4, **options) == [rows]
    assert select_demonstrations(POOL, asked[::-1], 4, **options) == together[::-1]


def test_a_draw_is_shared_by_all_questions_but_for_those_that_are_in_it():
    other = ["Who is asked?", "And who else?"]
    for order in ORDERS:
        shared, again = select_demonstrations(POOL, other, 5, selection="random", order=order, seed=7)
        assert shared == again
    for seed in range(5):
        # a longer draw begins like a shorter one
        (draw,) = select_demonstrations(POOL, other[:1], 6, selection="random", seed=seed)
        for row, rows in enumerate(select_demonstrations(POOL, QUESTIONS, 5, selection="random", seed=seed)):
            assert rows == [taken for taken in draw if taken != row][:5]


def test_seeds_draw_every_row_as_often_as_any_other():
    counts = np.zeros(len(POOL))
    for seed in range(160):
        (rows,) = select_demonstrations(POOL, ["Who?"], 10, selection="random", seed=seed)
        counts[rows] += 1
    # each row is drawn in 40 of 160 draws, with a standard deviation of 5.5
    assert abs(counts - 40).max() < 4 * 5.5


def test_fixed_takes_the_first_rows_and_goes_on_behind_the_question_itself():
    rows = select_demonstrations(POOL, ["Who?", QUESTIONS[1], QUESTIONS[30]], 3, selection="fixed")
    assert rows == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]


def test_the_orders_are_arrangements_of_the_same_rows_by_nearness():
    pool = build_pool(["apple", "apple pear", "apple pear plum", "apple pear plum fig"])
    for selection in ("nearest", "bm25", "diverse"):
        ask = {"selection": selection, "questions": ["apple pear plum fig kiwi"], "num_shots": 4}
        assert select_demonstrations(pool, order="near_last", **ask) == [[0, 1, 2, 3]], selection
        assert select_demonstrations(pool, order="near_first", **ask) == [[3, 2, 1, 0]], selection
    ask = {"questions": ["kiwi"], "num_shots": 3, "selection": "fixed"}
    assert select_demonstrations(pool, order="near_first", **ask) == [[2, 1, 0]]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_shuffle_moves_the_places_in_the_same_way_for_every_question(selection):
    seen = set()
    asked = QUESTIONS[:5]
    plain = select_demonstrations(POOL, asked, 4, selection=selection, seed=1)
    for order_seed in range(200 if selection == "fixed" else 10):
        mixed = select_demonstrations(
            POOL, asked[:2], 4, selection=selection, order="shuffled", seed=1, order_seed=order_seed
        )
        moves = {tuple(rows.index(row) for row in after) for rows, after in zip(plain, mixed, strict=False)}
        assert len(moves) == 1
        seen |= moves
    assert len(seen) > 5
    assert selection != "fixed" or len(seen) == 24  # all orders of 4; one is missing with p < 0.005


def test_the_nearest_are_those_of_the_largest_cosine(embedder):
    vectors = embedder.embed(QUESTIONS)
    asked = ["who wrote the novel", "which bird is in the lake", "xyzzy"]
    for question, rows in zip(
        asked, select_demonstrations(POOL, asked, 5, selection="nearest", embedder=embedder), strict=True
    ):
        cosines = vectors @ embedder.embed([question])[0]
        assert min(cosines[rows]) >= max(np.delete(cosines, rows)) - 1e-5  # agreement to 5 decimals is a tie
        assert np.all(np.diff(cosines[rows]) >= -1e-5)


def test_diverse_demonstrations_maximise_what_they_say_they_do(embedder):
    vectors = embedder.embed(QUESTIONS)
    question = "which king is in the film"
    relevance = vectors @ embedder.embed([question])[0]
    chosen: list[int] = []
    for num_shots in range(1, 6):
        (rows,) = select_demonstrations(POOL, [question], num_shots, selection="diverse", embedder=embedder)
        (new,) = set(rows) - set(chosen)
        others = [row for row in range(len(POOL)) if row not in chosen]
        gains = {
            row: RELEVANCE * relevance[row]
            - (1 - RELEVANCE) * max((float(vectors[row] @ vectors[old]) for old in chosen), default=0.0)
            for row in others
        }
        assert gains[new] == pytest.approx(max(gains.values()), abs=3e-5)  # three numbers rounded to 5 decimals
        chosen.append(new)


def test_ties_go_to_the_earlier_row():
    pool = build_pool(["blue lake", "red lake one", "lake red two", "deep red lake", "red lake zero"])
    for selection in ("nearest", "bm25"):
        # the four questions with "red" are equally long and equally near; then all are equally far
        (rows,) = select_demonstrations(pool, ["red"], 4, selection=selection, order="near_first")
        assert rows == [1, 2, 3, 4], selection
        (rows,) = select_demonstrations(pool, ["unheard of"], 3, selection=selection, order="near_first")
        assert rows == [0, 1, 2], selection


@given(
    number=st.integers(2, 12),
    num_shots=st.integers(0, 12),
    selection=st.sampled_from(SELECTIONS),
    order=st.sampled_from(ORDERS),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40)
def test_every_question_gets_its_number_of_distinct_others_or_a_clear_refusal(
    number, num_shots, selection, order, seed
):
    pool = build_pool(QUESTIONS[:number])
    asked = [QUESTIONS[0], "Who?"]
    ask = {"selection": selection, "order": order, "seed": seed, "order_seed": seed}
    if num_shots >= number:  # one question is its own only other
        with pytest.raises(
            ValueError, match=rf"pool of {number} rows has {number - 1} different questions besides"
        ):
            select_demonstrations(pool, asked, num_shots, **ask)
        return
    own, other = select_demonstrations(pool, asked, num_shots, **ask)
    assert len(set(own)) == len(own) == len(set(other)) == len(other) == num_shots
    assert 0 not in own
    assert select_demonstrations(pool, asked, num_shots, **ask) == [own, other]
    if num_shots:
        fewer = select_demonstrations(pool, asked, num_shots - 1, **ask)
        assert set(fewer[0]) < set(own) and set(fewer[1]) < set(other)


def test_no_generator_of_the_process_is_touched():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    for selection in SELECTIONS:
        select_demonstrations(POOL, QUESTIONS[:2], 3, selection=selection, order="shuffled")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_mistakes_are_refused_before_anything_is_embedded():
    class Untouched:
        def embed(self, texts):
            raise AssertionError("embedded although the arguments are wrong")

    ask = {"selection": "nearest", "embedder": Untouched()}
    with pytest.raises(ValueError, match="selection 'closest' is unknown: choose one of random, fixed"):
        select_demonstrations(POOL, ["Who?"], 1, selection="closest")
    with pytest.raises(ValueError, match="order 'far' is unknown: choose one of near_last"):
        select_demonstrations(POOL, ["Who?"], 1, order="far", **ask)
    with pytest.raises(ValueError, match="num_shots is -1"):
        select_demonstrations(POOL, ["Who?"], -1, **ask)
    with pytest.raises(ValueError, match="pass a list of questions"):
        select_demonstrations(POOL, "Who?", 1, **ask)
    with pytest.raises(ValueError, match="41 demonstrations were asked for, but the pool of 40 rows has 40"):
        select_demonstrations(POOL, ["Who?"], 41, **ask)
    unanswered = Dataset.from_list([{"question": "A?", "answers": ["a"]}, {"question": "B?", "answers": []}])
    with pytest.raises(ValueError, match=r"row 1 of the pool, 'B\?', has no answer"):
        select_demonstrations(unanswered, ["Who?"], 1, **ask)
    assert select_demonstrations(POOL, ["Who?", "Where?"], 0, **ask) == [[], []]
    assert select_demonstrations(POOL, [], 3, **ask) == []


def test_an_embedder_that_gives_something_else_is_refused():
    class Broken:
        def __init__(self, vectors):
            self.vectors = vectors

        def embed(self, texts):
            return self.vectors

    with pytest.raises(ValueError, match=r"gave the shape \(3, 2\) for 40 texts"):
        select_demonstrations(POOL, ["Who?"], 1, selection="nearest", embedder=Broken(np.ones((3, 2))))
    with pytest.raises(ValueError, match="not finite"):
        select_demonstrations(
            POOL, ["Who?"], 1, selection="diverse", embedder=Broken(np.full((len(POOL), 2), np.nan))
        )


@pytest.mark.parametrize(
    ("selection", "library"), [("bm25", "bm25s"), ("nearest", "sklearn.feature_extraction.text")]
)
def test_a_missing_library_is_named_with_the_command_that_brings_it(selection, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install closedbook\[icl\]"):
        select_demonstrations(POOL, ["Who?"], 1, selection=selection)


def test_tfidf_rows_have_length_1_and_know_no_case_or_accent():
    embedder = TfidfEmbedder(["Où est le café?", "Who?"])
    vectors = embedder.embed(["le CAFE", "who", "unheard of"]).toarray()
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0])
    with pytest.raises(ValueError, match="none of the 2 texts of the corpus holds a word"):
        TfidfEmbedder(["?", "!!"])


def test_an_encoder_gives_the_mean_over_a_texts_own_tokens_with_length_1(encoder, embedder):
    model = BertModel.from_pretrained(encoder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(encoder)
    texts = ["who", "which king is in the film", "bird " * 30]  # the last is longer than the 16 tokens it can read
    vectors = embedder.embed(texts)
    assert vectors.shape == (3, 32)
    for text, vector in zip(texts, vectors, strict=True):
        ids = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            mean = model(ids).last_hidden_state[0].mean(0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)  # float32, padded or not


def test_many_texts_come_back_in_the_order_they_went_in(embedder):
    texts = random_questions(150, seed=5)  # several batches, sorted by length inside
    vectors = embedder.embed(texts)
    for row in (0, 63, 64, 100, 149):
        assert vectors[row] == pytest.approx(embedder.embed([texts[row]])[0], abs=1e-5)


def test_folders_that_are_no_encoders_are_refused_with_the_reason(encoder, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no encoder: give a folder with config.json"):
        EncoderEmbedder(tmp_path / "nothing")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "code.MyConfig", "AutoModel": "code.MyModel"}}'
    )
    (foreign / "code.py").write_text("raise SystemExit('foreign code ran')")
    with pytest.raises(ValueError, match="--trust_remote_code is not offered for encoders"):
        EncoderEmbedder(foreign)
    unpadded = tmp_path / "unpadded"
    BertModel.from_pretrained(encoder).save_pretrained(unpadded)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(encoder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]").save_pretrained(
        unpadded
    )
    with pytest.raises(ValueError, match="has no pad token: give an encoder"):
        EncoderEmbedder(unpadded)
